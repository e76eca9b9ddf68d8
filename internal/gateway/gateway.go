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
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/seri-queue/seri/internal/events"
)

// Config tunes a [Gateway]. The zero value is ready to use.
type Config struct {
	// Origins are the origins (scheme://host[:port]) whose pages may open a WebSocket, besides that of the gateway
	// itself. They are compared exactly. Requests without an Origin do not come from a page and are allowed.
	Origins []string
	// KeepAlive is the silence after which an SSE stream gets a comment. Default: 15 s, well below the 60 s after which
	// load balancers cut what is silent.
	KeepAlive time.Duration
	// Ping is the interval of WebSocket pings; a peer that is silent for two and a half of them is gone. Default: 25 s.
	Ping time.Duration
	// WriteTimeout is how long one write may take until the client counts as gone. Default: 10 s.
	WriteTimeout time.Duration
	// Retry is how long an EventSource waits before it reconnects. Default: 2 s.
	Retry time.Duration
	// Spread is the time over which clients are asked to come back when the gateway stops. Default: 5 s.
	Spread time.Duration
	// Problem writes the answer to a request that is refused before its stream begins. The status is 403, 404, 405, 422,
	// 426, 500 or 503. faults, of a 422 only, say what is wrong by place, such as "query.task": "is empty"; then
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
	c.Logger = cmp.Or(c.Logger, slog.Default())
	if c.Problem == nil {
		c.Problem = writeProblem
	}
	var errs []error
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"KeepAlive", c.KeepAlive}, {"Ping", c.Ping}, {"WriteTimeout", c.WriteTimeout}, {"Retry", c.Retry}, {"Spread", c.Spread}} {
		if d.value < 0 {
			errs = append(errs, fmt.Errorf("option %s is %v, must be positive", d.name, d.value))
		}
	}
	for _, origin := range c.Origins {
		if u, err := url.Parse(origin); err != nil || u.Scheme == "" || u.Host == "" || origin != u.Scheme+"://"+u.Host {
			errs = append(errs, fmt.Errorf("option Origins has %q, must be scheme://host[:port]", origin))
		}
	}
	return c, errors.Join(errs...)
}

// errStopping is the cause with which streams end when the gateway stops.
var errStopping = errors.New("the gateway is stopping")

// Gateway serves streams while its Run does; at other times it refuses them with 503.
type Gateway struct {
	hub      *events.Hub
	cfg      Config
	upgrader websocket.Upgrader
	opened   chan struct{} // closed when Run has begun to take streams

	mu      sync.Mutex
	running context.Context // of Run, for as long as it takes new streams; nil: it does not
	streams sync.WaitGroup
}

// New returns a gateway to the events of hub.
func New(hub *events.Hub, cfg Config) (*Gateway, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	g := &Gateway{hub: hub, cfg: cfg, opened: make(chan struct{})}
	g.upgrader = websocket.Upgrader{
		ReadBufferSize:  512, // clients have little to say; this is held by each connection
		WriteBufferSize: 4096,
		WriteBufferPool: new(sync.Pool), // held only while something is written
		Subprotocols:    []string{subprotocol},
		CheckOrigin:     g.allowsOrigin,
		Error: func(w http.ResponseWriter, r *http.Request, status int, reason error) {
			if status == http.StatusBadRequest { // it asks for an upgrade, but not for one that can be made
				status = http.StatusUpgradeRequired
			}
			g.cfg.Problem(w, r, status, reason.Error(), nil)
		},
	}
	return g, nil
}

// Run lets streams be opened until ctx ends; then it ends them, and returns when they have ended. Stop it before the
// HTTP server: a server that shuts down waits for streams, and nothing else ends them. A gateway runs once.
func (g *Gateway) Run(ctx context.Context) error {
	streams, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer end(nil)
	g.mu.Lock()
	g.running = streams
	g.mu.Unlock()
	close(g.opened)

	<-ctx.Done()
	g.mu.Lock()
	g.running = nil
	g.mu.Unlock()
	end(errStopping)
	g.streams.Wait()
	return ctx.Err()
}

// Opened is closed as soon as [Gateway.Run] takes streams.
func (g *Gateway) Opened() <-chan struct{} { return g.opened }

// open counts a new stream and returns a context that ends with the gateway. done must be called when the stream has
// ended. It is false if the gateway does not run.
func (g *Gateway) open() (ctx context.Context, done func(), ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.running == nil {
		return nil, nil, false
	}
	g.streams.Add(1)
	return g.running, g.streams.Done, true
}

// comeBack returns a delay after which a client may reconnect: a random one, so that clients that were cut together
// come back one by one.
func (g *Gateway) comeBack() time.Duration {
	return (g.cfg.Retry/4 + rand.N(g.cfg.Spread+1)).Truncate(time.Millisecond)
}
