package role

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/client"
	"github.com/seri-queue/seri/internal/api"
	"github.com/seri-queue/seri/internal/consumers"
	"github.com/seri-queue/seri/internal/events"
	"github.com/seri-queue/seri/internal/gateway"
	"github.com/seri-queue/seri/internal/redisurl"
	"github.com/seri-queue/seri/internal/relay"
	"github.com/seri-queue/seri/internal/run"
	"github.com/seri-queue/seri/internal/store"
	"github.com/seri-queue/seri/internal/telemetry"
	"github.com/seri-queue/seri/internal/timetable"
	"github.com/seri-queue/seri/internal/token"
	"github.com/seri-queue/seri/internal/web"
	"github.com/seri-queue/seri/tasks"
	"github.com/seri-queue/seri/tasks/samples"
)

// API serves HTTP: tasks in, events out.
type API struct {
	Common
	Serve  `embed:""`
	Divide `embed:""`
	Admin  `embed:""`

	Part string `name:"role" env:"SERI_ROLE" default:"all" placeholder:"ROLE" help:"all: everything; gateway: live events and looking at a task only, to run them apart from the rest of the api; relay: copy events to where --events says, and nothing else."`

	APIKeys     string `env:"SERI_API_KEYS" placeholder:"ID:SHA256,…" help:"API keys, as hashes; \"seri key\" makes one. Without any, the api does not start."`
	APIKeysFile string `env:"SERI_API_KEYS_FILE" placeholder:"FILE" help:"File with API keys, one a line."`
	InsecureDev Switch `env:"SERI_INSECURE_DEV" help:"Answer without API keys, on loopback only."`

	HTTPDrain Duration `name:"http-drain" env:"SERI_HTTP_DRAIN" default:"3s" placeholder:"DURATION" help:"How long to go on serving after SIGTERM while /readyz says 503, so that load balancers notice."`
}

// Serve are the settings of how HTTP is served.
type Serve struct {
	HTTPAddr          string   `name:"http-addr" env:"SERI_HTTP_ADDR" placeholder:"HOST:PORT" help:"Where to listen. Default: :8080, or 127.0.0.1:8080 without API keys."`
	AllowUnknownTypes Switch   `env:"SERI_ALLOW_UNKNOWN_TYPES" help:"Accept tasks of types that no worker has declared; they wait for one."`
	AllowedOrigins    []string `env:"SERI_ALLOWED_ORIGINS" placeholder:"ORIGIN,…" help:"Other sites whose pages may open WebSockets: https://app.example.com."`
	MemoryLimit       Count    `env:"SERI_MEMORY_LIMIT" default:"85" placeholder:"PERCENT" help:"Share of Redis' maxmemory from which on new tasks are refused with 503, while what is there is worked off. 100: Redis itself refuses them."`
	TokenSecrets      string   `env:"SERI_TOKEN_SECRETS" placeholder:"ID:BASE64,…" help:"Secrets that sign the tokens with which browsers watch: the first signs, all check. Without any, there are no tokens."`
	TokenSecretsFile  string   `env:"SERI_TOKEN_SECRETS_FILE" placeholder:"FILE" help:"File with such secrets, one a line."`
	MaxConnections    Count    `env:"SERI_MAX_CONNECTIONS" default:"100000" placeholder:"NUMBER" help:"Live connections at once; never more than 95 % of the files that the process may open."`
	MaxPerKey         Count    `env:"SERI_MAX_PER_KEY" default:"10000" placeholder:"NUMBER" help:"Live connections at once of one API key or one token."`
	MaxPerAddress     Count    `env:"SERI_MAX_PER_ADDRESS" default:"1000" placeholder:"NUMBER" help:"Live connections at once of one address; behind proxies in a private network, of the last public address in X-Forwarded-For."`
	HTTPGrace         Duration `name:"http-grace" env:"SERI_HTTP_GRACE" default:"10s" placeholder:"DURATION" help:"How long open requests may take to end after SIGTERM."`
}

// Check implements [Role].
func (a *API) Check() error {
	var f faults
	a.Common.check(&f)
	a.Serve.check(&f)
	a.Admin.check(&f)
	checkTracing(&f)
	f.add("partitions", a.Partitions.wrong)
	f.add("insecure-dev", a.InsecureDev.wrong)
	f.limit("http-drain", a.HTTPDrain, 0, 0)
	switch {
	case a.Part == "relay" && !relay.IsURL(a.Events):
		f.add("events", fmt.Sprintf("is %q, but a relay copies them to another system: give its URL, %s", a.Events, relay.Schemes))
		return f.err()
	case a.Part == "relay": // nobody calls it
		return f.err()
	case a.Part != "all" && a.Part != "gateway":
		f.add("role", fmt.Sprintf("is %q, must be all, gateway or relay", a.Part))
	}
	var keys *api.Keys
	known := f.checkBoth("api-keys", a.APIKeys, a.APIKeysFile, func(text string) (err error) {
		keys, err = api.ParseKeys(text)
		return err
	})
	switch {
	case known && keys.Len() == 0 && !a.InsecureDev.On:
		f.add("api-keys", "is missing, so nobody could call the api; make a key with \"seri key\", or give --insecure-dev to answer everybody on loopback")
	case keys.Len() > 0 && a.InsecureDev.On:
		f.add("insecure-dev", "would ignore the API keys that are given; leave out one of them")
	case a.InsecureDev.On && a.HTTPAddr != "" && !isLoopback(a.HTTPAddr):
		f.add("http-addr", fmt.Sprintf("is %q, but --insecure-dev answers on loopback only: use 127.0.0.1:8080", a.HTTPAddr))
	}
	return f.err()
}

func (s *Serve) check(f *faults) {
	f.add("allow-unknown-types", s.AllowUnknownTypes.wrong)
	f.limit("http-grace", s.HTTPGrace, 0, 0)
	f.add("memory-limit", s.MemoryLimit.wrong)
	if s.MemoryLimit.N > 100 {
		f.add("memory-limit", fmt.Sprintf("is %d, must be a percentage from 1 to 100", s.MemoryLimit.N))
	}
	if s.HTTPAddr != "" {
		if _, _, err := net.SplitHostPort(s.HTTPAddr); err != nil {
			f.add("http-addr", fmt.Sprintf("is %q, must be host:port such as 127.0.0.1:8080 or :8080", s.HTTPAddr))
		}
	}
	_, err := gateway.New(nil, gateway.Config{Origins: s.AllowedOrigins})
	f.check("allowed-origins", err)
	f.checkBoth("token-secrets", s.TokenSecrets, s.TokenSecretsFile, func(text string) error {
		_, err := token.Parse(text)
		return err
	})
	f.add("max-connections", s.MaxConnections.wrong)
	f.add("max-per-key", s.MaxPerKey.wrong)
	f.add("max-per-address", s.MaxPerAddress.wrong)
}

// tokens returns the secrets of tokens; nil: there are none.
func (s *Serve) tokens() (*token.Ring, error) {
	text, err := withFile(s.TokenSecrets, s.TokenSecretsFile)
	if err != nil {
		return nil, err
	}
	return token.Parse(text)
}

// withFile returns a setting together with what stands in a file, if there is one.
func withFile(text, name string) (string, error) {
	if name == "" {
		return text, nil
	}
	file, err := os.ReadFile(name)
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(text + "\n" + string(file)), nil
}

func (a *API) keys() (*api.Keys, error) {
	text, err := withFile(a.APIKeys, a.APIKeysFile)
	if err != nil {
		return nil, err
	}
	return api.ParseKeys(text)
}

func isLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Run implements [Role].
func (a *API) Run(ctx context.Context, out, log io.Writer) error {
	logger, lines, end, err := a.Log.open(ctx, "api", log)
	if err != nil {
		return err
	}
	defer end()
	spans, endSpans, err := telemetry.Open(ctx, "api", Version(), logger)
	if err != nil {
		return err
	}
	defer endSpans()
	rdb, err := a.connect(ctx, logger)
	if err != nil {
		return err
	}
	defer rdb.Close()
	trips := meterRedis(rdb)
	if a.Part == "relay" {
		return a.runRelay(ctx, out, rdb, logger, trips, lines)
	}
	if err := a.permitted(ctx, rdb); err != nil {
		return err
	}
	keys, err := a.keys()
	if err != nil {
		return err
	}
	if a.HTTPAddr == "" {
		if a.HTTPAddr = ":8080"; a.InsecureDev.On {
			a.HTTPAddr = "127.0.0.1:8080"
		}
	}
	listener, err := a.listen(ctx)
	if err != nil {
		return err
	}
	types, err := compiledTypes()
	if err != nil {
		return err
	}
	config := api.Config{Keys: keys, Insecure: a.InsecureDev.On, Types: types, Web: page(nil)}
	if config.LiveOnly = a.Part == "gateway"; config.LiveOnly {
		config.Web = nil
	}
	queues := client.New(rdb, client.Config{Partitions: a.Partitions.ByQueue, MaxEvents: a.MaxEvents.N, Events: string(a.carrier())})
	traced(&config, queues, spans)
	config.Partitions = a.Partitions.table()
	config.Schedules = timetable.New(rdb, store.Config{MaxEvents: a.MaxEvents.N, Events: a.carrier()})
	parts, hub, err := a.Serve.parts(ctx, listener, rdb, &a.Carrying, queues, config, a.HTTPDrain.Duration, logger)
	if err != nil {
		listener.Close()
		return err
	}
	telling, err := a.Admin.tell(ctx, "api", out, logger, queues, hub, trips, lines)
	if err != nil {
		listener.Close()
		return err
	}
	logger.InfoContext(ctx, "api started", "addr", listener.Addr().String(), "keys", keys.Len())
	defer logger.InfoContext(ctx, "api stopped")
	defer tellStop(ctx, logger)()
	return run.Stack(ctx, append(telling, parts...)...)
}

// permitted returns an error if the Redis user may not do all that an api does to a queue, and to consumers of events. Which
// ones there will be is not known; its rules are the same for all.
func (a *API) permitted(ctx context.Context, rdb redis.UniversalClient) error {
	check, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	if err := store.New(rdb, store.Config{Events: a.carrier()}).Permit(check, seri.DefaultQueue, store.Producing); err != nil {
		return err
	}
	return consumers.New(rdb).Permitted(check)
}

// compiledTypes are the types of task that the api knows without any worker: those of package tasks.
func compiledTypes() ([]client.TypeInfo, error) {
	handlers, err := tasks.Handlers(tasks.Config{})
	if err != nil {
		return nil, err
	}
	return api.TypesOf(handlers)
}

// healthURL is where the api's own port says that it is alive.
func (s *Serve) healthURL() (string, error) {
	host, port, err := net.SplitHostPort(cmp.Or(s.HTTPAddr, ":8080"))
	if err != nil {
		return "", fmt.Errorf("--http-addr (SERI_HTTP_ADDR) is %q, must be host:port such as 127.0.0.1:8080 or :8080", s.HTTPAddr)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port) + "/healthz", nil
}

func (s *Serve) listen(ctx context.Context) (net.Listener, error) {
	return listen(ctx, s.HTTPAddr, "http-addr")
}

// listen opens the port that a setting names.
func listen(ctx context.Context, addr, setting string) (net.Listener, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", addr)
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err // which does not repeat the address
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w; choose another address with --%s (%s)", addr, err, setting, variableOf(setting))
	}
	return listener, nil
}

// parts returns what serves HTTP on the listener, from the bottom up. config holds what is not among the settings; drain
// is how long everything goes on when the end has come, but for /readyz. hub is the part that has figures of its own.
func (s *Serve) parts(ctx context.Context, listener net.Listener, rdb redis.UniversalClient, carrying *Carrying, queues *client.Client, config api.Config, drain time.Duration, logger *slog.Logger) ([]run.Part, *events.Hub, error) {
	if !config.LiveOnly { // a gateway changes nothing
		if err := queues.Declare(ctx); err != nil {
			return nil, nil, err
		}
	}
	tokens, err := s.tokens()
	if err != nil {
		return nil, nil, err
	}
	if tokens == nil && config.Insecure {
		tokens = token.Development() // pages in development do as they will in production
	}
	transport, err := carrying.transport(ctx, rdb)
	if err != nil {
		return nil, nil, err
	}
	hub, err := events.NewOn(transport, snapshots{queues}, events.Config{Partitions: config.Partitions, Logger: logger})
	if err != nil {
		return nil, nil, err
	}
	acknowledged := consumers.New(rdb)
	live, err := gateway.New(hub, gateway.Config{
		Consumers: acknowledged,
		Origins:   s.AllowedOrigins, Tokens: tokens, Problem: api.LiveProblem, Logger: logger,
		Connections: min(s.MaxConnections.N, gateway.Descriptors()), PerHolder: s.MaxPerKey.N, PerAddress: s.MaxPerAddress.N,
		Logs: logsOf(queues),
	})
	if err != nil {
		return nil, nil, err
	}
	memory := api.NewMemoryGuard(func(ctx context.Context) ([]redisurl.Memory, error) { return redisurl.Memories(ctx, rdb) }, s.MemoryLimit.N, logger)
	var draining atomic.Bool
	if config.Idempotency = api.NewRedisIdempotency(rdb); config.Tasks == nil {
		config.Tasks = queues
	}
	config.AllowUnknownTypes, config.Version, config.Logger = s.AllowUnknownTypes.On, Version(), logger
	config.Consumers = acknowledged
	config.Events, config.WebSocket = live.SSE(), live.WebSocket()
	config.Tokens, config.Origins = tokens, s.AllowedOrigins
	config.Full = memory.Full
	config.LogReader = new(reader).read
	config.Ready = func(ctx context.Context) error {
		if draining.Load() {
			return api.ErrDraining
		}
		return rdb.Ping(ctx).Err()
	}
	handler, err := api.New(config)
	if err != nil {
		return nil, nil, err
	}
	server := api.NewServer(handler, logger)
	return []run.Part{ // starts downwards, stops upwards
		{Name: "memory", Run: memory.Run},
		{Name: "http", Run: func(ctx context.Context) error { return s.serve(ctx, server, listener, live.Opened()) }},
		{Name: "events", Run: hub.Run},
		{Name: "live connections", Run: live.Run}, // they end first: their requests would keep the server from ending
		{Name: "readiness", Run: func(ctx context.Context) error {
			<-ctx.Done()
			draining.Store(true)
			<-time.After(drain)
			return nil
		}},
	}, hub, nil
}

// serve answers requests from ready on until ctx ends, and lets those that are open then end within the grace period.
// Requests that come earlier wait in the listener: a port that is open promises an answer, and not that it is too early.
func (s *Serve) serve(ctx context.Context, server *http.Server, listener net.Listener, ready <-chan struct{}) error {
	select {
	case <-ready:
	case <-ctx.Done():
		return listener.Close()
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve HTTP: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.HTTPGrace.Duration)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		server.Close()
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// page serves the page, the samples that its forms begin with, and the files that tasks have written, if there are any
// to be served here.
func page(files http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", web.Handler())
	mux.Handle("GET /samples/", http.StripPrefix("/samples/", http.FileServerFS(samples.FS)))
	if files != nil {
		mux.Handle("GET /files/", http.StripPrefix("/files/", files))
	}
	return mux
}
