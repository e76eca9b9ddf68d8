package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/seri-queue/seri/internal/consumers"
	"github.com/seri-queue/seri/internal/events"
	"github.com/seri-queue/seri/internal/token"
)

// Config tunes a [Gateway]. The zero value is ready to use.
type Config struct {
	// Origins are the origins (scheme://host[:port]) whose pages may open a WebSocket, besides that of the gateway
	// itself. They are compared exactly. Requests without an Origin do not come from a page and are allowed.
	Origins []string
	// KeepAlive is the silence after which an SSE stream gets a comment. Default: 15 s, well below the 60 s after which
	// load balancers cut what is silent.
	KeepAlive time.Duration
	// Ping is how long a WebSocket is told nothing until it is pinged. A client that is silent itself is pinged after one and a half
	// of it at the latest, and is gone after two and a half. Default: 25 s.
	Ping time.Duration
	// WriteTimeout is how long one write may take until the client counts as gone. Default: 10 s.
	WriteTimeout time.Duration
	// Retry is how long an EventSource waits before it reconnects, on average: each is told another time between half of it
	// and one and a half of it, because a gateway that dies cannot tell them. Default: 2 s.
	Retry time.Duration
	// Spread is the time over which clients are asked to come back when the gateway stops. Default: 5 s.
	Spread time.Duration
	// Tokens check the tokens that clients bring. nil: whoever reaches the gateway may watch everything; otherwise, whoever
	// is [Trusted], or has a token for what he asks for.
	Tokens *token.Ring
	// Connections bounds the connections that are open at once; beyond, and where the process comes close to its GOMEMLIMIT,
	// they are refused with 503. Default: 95 % of the descriptors that the process may open.
	Connections int
	// PerHolder bounds those of one API key, or of one token. Default: 10,000, because an application may hand on by one
	// key what all its users watch.
	PerHolder int
	// PerAddress bounds those of one address, or of one network of 64 bits of IPv6. Where proxies stand in front, that is the
	// last public one of X-Forwarded-For. Default: 1,000, because a whole office may have one address.
	PerAddress int
	// Consumers remember what named consumers have acknowledged. nil: there are none.
	Consumers *consumers.Registry
	// Acknowledgement is how long a consumer may take events and acknowledge none, until they are delivered again. Default: 30 s.
	Acknowledgement time.Duration
	// Subscriptions bounds the things that one WebSocket is about. Default: 100.
	Subscriptions int
	// Messages bounds what one client may send in a minute; half of that it may send at once. Default: 240.
	Messages int
	// Patience is how long a WebSocket may be open without a subscription at first. Default: 10 s.
	Patience time.Duration
	// Logs opens a task's own log, for those who may watch everything; an empty queue is any. nil: there are none to be had.
	Logs func(ctx context.Context, queue, task string) (LogTail, error)
	// Problem writes the answer to a request that is refused before its stream begins. The status is 401, 403, 404, 405,
	// 422, 426, 429, 500 or 503. faults, of a 422 only, say what is wrong by place, such as "query.task": "is empty"; then
	// detail is empty. Default: a problem of RFC 9457 without a type.
	Problem func(w http.ResponseWriter, r *http.Request, status int, detail string, faults map[string]string)
	// Logger receives the gateway's log. Default: [slog.Default].
	Logger *slog.Logger
}

func (c Config) withDefaults() (Config, error) {
	c.KeepAlive = cmp.Or(c.KeepAlive, 15*time.Second)
	c.Ping = cmp.Or(c.Ping, 25*time.Second)
	c.WriteTimeout = cmp.Or(c.WriteTimeout, 10*time.Second)
	c.Retry = cmp.Or(c.Retry, 2*time.Second)
	c.Spread = cmp.Or(c.Spread, 5*time.Second)
	c.Connections = cmp.Or(c.Connections, Descriptors())
	c.PerHolder = cmp.Or(c.PerHolder, 10_000)
	c.PerAddress = cmp.Or(c.PerAddress, 1000)
	c.Subscriptions = cmp.Or(c.Subscriptions, 100)
	c.Acknowledgement = cmp.Or(c.Acknowledgement, 30*time.Second)
	c.Messages = cmp.Or(c.Messages, 240)
	c.Patience = cmp.Or(c.Patience, 10*time.Second)
	c.Logger = cmp.Or(c.Logger, slog.Default())
	if c.Problem == nil {
		c.Problem = writeProblem
	}
	var errs []error
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"KeepAlive", c.KeepAlive}, {"Ping", c.Ping}, {"WriteTimeout", c.WriteTimeout}, {"Retry", c.Retry}, {"Spread", c.Spread}, {"Patience", c.Patience}, {"Acknowledgement", c.Acknowledgement}} {
		if d.value < 0 {
			errs = append(errs, fmt.Errorf("option %s is %v, must be positive", d.name, d.value))
		}
	}
	for _, n := range []struct {
		name  string
		value int
	}{{"Connections", c.Connections}, {"PerHolder", c.PerHolder}, {"PerAddress", c.PerAddress}, {"Subscriptions", c.Subscriptions}, {"Messages", c.Messages}} {
		if n.value < 0 {
			errs = append(errs, fmt.Errorf("option %s is %d, must be positive", n.name, n.value))
		}
	}
	for _, origin := range c.Origins {
		if !IsOrigin(origin) {
			errs = append(errs, fmt.Errorf("option Origins has %q, must be scheme://host[:port]", origin))
		}
	}
	return c, errors.Join(errs...)
}

// IsOrigin reports whether text is an origin as browsers write it: scheme://host[:port].
func IsOrigin(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Scheme != "" && u.Host != "" && text == u.Scheme+"://"+u.Host
}

// errStopping is the cause with which streams end when the gateway stops.
var errStopping = errors.New("the gateway is stopping")

// Gateway serves streams while its Run does; at other times it refuses them with 503.
type Gateway struct {
	hub      *events.Hub
	cfg      Config
	upgrader websocket.Upgrader
	opened   chan struct{} // closed when Run has begun to take streams
	door     *admission
	memory   memory
	crew     *crew
	alarms   *alarms
	watch    *watch // set by Run
	now      func() time.Time
	born     time.Time
	life     context.Context // of all streams; set by Run

	mu      sync.Mutex
	running bool // whether new streams are taken
	peers   map[*peer]struct{}
	streams sync.WaitGroup
}

// New returns a gateway to the events of hub.
func New(hub *events.Hub, cfg Config) (*Gateway, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	g := &Gateway{hub: hub, cfg: cfg, door: newAdmission(cfg), memory: new(heap), now: time.Now, born: time.Now(), opened: make(chan struct{}), peers: make(map[*peer]struct{})}
	// A client has at least one interval to answer a ping, so it may come a little late.
	g.crew, g.alarms = newCrew(g.moment, cfg.Ping/5), newAlarms(g.moment, cfg.Ping)
	g.upgrader = websocket.Upgrader{
		ReadBufferSize:  128,            // used for the handshake only: see peer
		WriteBufferPool: new(sync.Pool), // or a buffer would be made for each
		Subprotocols:    []string{commandProtocol, eventProtocol},
		CheckOrigin:     g.allowsOrigin,
		Error: func(w http.ResponseWriter, r *http.Request, status int, reason error) {
			if status != http.StatusBadRequest {
				g.cfg.Problem(w, r, status, reason.Error(), nil)
				return
			}
			// It asks for an upgrade, but not for one that can be made.
			g.askForUpgrade(w, r, "The request for a WebSocket is not that of RFC 6455: "+strings.TrimPrefix(reason.Error(), "websocket: ")+".")
		},
	}
	return g, nil
}

// Run lets streams be opened until ctx ends, or the system does not tell of clients any more; then it ends them, and returns
// when they have ended. Stop it before the HTTP server: a server that shuts down waits for streams, and nothing else ends
// them. A gateway runs once.
func (g *Gateway) Run(ctx context.Context) error {
	life, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer end(nil)
	watch, err := openWatch()
	if err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	g.watch = watch
	var staff sync.WaitGroup
	defer staff.Wait()
	staff.Go(func() { g.tidy(ctx) })
	deaf := make(chan error, 1) // holds why clients are not heard any more
	staff.Go(func() {
		if err := watch.run(); err != nil {
			deaf <- fmt.Errorf("gateway: %w", err)
		}
	})
	defer watch.close() // nothing is lost by an error
	gone := make(chan struct{})
	staff.Go(func() { g.alarms.run(gone) })
	defer close(gone)
	g.crew.open()
	defer g.crew.close()
	g.mu.Lock()
	g.life, g.running = life, true
	g.mu.Unlock()
	close(g.opened)

	select {
	case <-ctx.Done():
		err = ctx.Err()
	case err = <-deaf:
	}
	end(errStopping)
	g.mu.Lock()
	g.running = false
	for p := range g.peers {
		p.Wake()
	}
	g.mu.Unlock()
	g.streams.Wait()
	return err
}

// register makes a peer be told when the gateway stops.
func (g *Gateway) register(p *peer) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.peers[p] = struct{}{}
}

func (g *Gateway) unregister(p *peer) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.peers, p)
}

// Opened is closed as soon as [Gateway.Run] takes streams.
func (g *Gateway) Opened() <-chan struct{} { return g.opened }

// visit is a connection that was let in: by whom it is counted, and by which address.
type visit struct {
	g               *Gateway
	holder, address string
}

// leave must be called once, when the connection has ended.
func (v visit) leave() {
	v.g.door.leave(v.holder, v.address)
	v.g.streams.Done()
}

// open counts a new stream. It is false if the gateway does not run.
func (g *Gateway) open() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.running {
		g.streams.Add(1)
	}
	return g.running
}

// enter is what every connection passes: it returns what the client may watch. The visit must be left when the connection
// has ended. It is false if the request has been answered. By commands, the client may say later what it may watch.
func (g *Gateway) enter(w http.ResponseWriter, r *http.Request, commands bool) (granted grant, v visit, ok bool) {
	granted, err := g.access(r)
	if errors.Is(err, errUnauthorized) && commands {
		err = nil // it may say by a message what it may watch
	}
	switch {
	case errors.Is(err, errOrigin):
		g.cfg.Problem(w, r, http.StatusForbidden, "Pages of this origin may not use the token.", nil)
		return granted, v, false
	case err != nil:
		g.cfg.Problem(w, r, http.StatusUnauthorized, "To watch, "+err.Error()+".", nil)
		return granted, v, false
	case granted.ambient && !g.allowsOrigin(r):
		g.cfg.Problem(w, r, http.StatusForbidden, "Pages of this origin may not use the cookie.", nil)
		return granted, v, false
	}
	holder := granted.holder
	if holder == "key " {
		holder = ""
	}
	v = visit{g, holder, addressOf(r)}
	switch why := g.door.admit(v.holder, v.address); why {
	case houseFull:
		g.unavailable(w, r, "There is no room for more connections here; come back later.")
		return granted, v, false
	case holderFull, addressFull:
		what := map[refusal]string{holderFull: "This key or token", addressFull: "This address"}[why]
		g.refuse(w, r, http.StatusTooManyRequests, what+" has as many connections as it may have.")
		return granted, v, false
	}
	if !g.open() {
		g.door.leave(v.holder, v.address)
		g.unavailable(w, r, "The gateway is starting or stopping.")
		return granted, v, false
	}
	return granted, v, true
}

// silence is after how long without a sign of life a client counts as gone.
func (g *Gateway) silence() time.Duration { return g.cfg.Ping * 5 / 2 }

// spread returns how long one client is to wait before it reconnects, if nobody tells it otherwise.
func (g *Gateway) spread() time.Duration {
	return (g.cfg.Retry/2 + rand.N(g.cfg.Retry+1)).Truncate(time.Millisecond)
}

// comeBack returns a delay after which a client may reconnect: a random one, so that clients that were cut together
// come back one by one.
func (g *Gateway) comeBack() time.Duration {
	return (g.cfg.Retry/4 + rand.N(g.cfg.Spread+1)).Truncate(time.Millisecond)
}
