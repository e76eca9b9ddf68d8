package api

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/client"
	"github.com/seri-queue/seri/internal/partition"
	"github.com/seri-queue/seri/internal/token"
	"github.com/seri-queue/seri/internal/typeschema"
)

// Tasks is what the API asks of the store; [*client.Client] has it.
type Tasks interface {
	Enqueue(ctx context.Context, m seri.Message) error
	EnqueueBatch(ctx context.Context, ms []seri.Message) []error
	Task(ctx context.Context, queue, id string) (seri.Info, error)
	Find(ctx context.Context, id string) (seri.Info, error)
	Revoke(ctx context.Context, queue, id string) (seri.Info, error)
	Log(ctx context.Context, queue, id string) (client.TaskLog, error)
	Queues(ctx context.Context) ([]client.QueueInfo, error)
	Queue(ctx context.Context, name string) (client.QueueInfo, error)
	Page(ctx context.Context, queue string, state seri.State, cursor string, limit int) (tasks []seri.Info, next string, err error)
	Pause(ctx context.Context, queue string) error
	Resume(ctx context.Context, queue string) error
	Types(ctx context.Context) ([]client.TypeInfo, error)
}

// Config says what the API serves and to whom.
type Config struct {
	// Tasks is the store. Required.
	Tasks Tasks
	// Schedules are those on record. nil: their routes do not exist.
	Schedules Schedules
	// Idempotency remembers Idempotency-Keys. nil: requests that carry one are refused.
	Idempotency Idempotency
	// Types are the task types compiled into this process, which are known without a worker. See [TypesOf].
	Types []client.TypeInfo
	// AllowUnknownTypes accepts tasks of types that nobody has declared; their payloads are not checked.
	AllowUnknownTypes bool

	// Partitions are those that Tasks divides queues into, to tell where a task has been put. nil: none is divided.
	Partitions *partition.Table

	// Keys are the API keys without which nothing under /v1 is answered. Required unless Insecure is set.
	Keys *Keys
	// Tokens make and check the tokens with which browsers watch. nil: there are none, and live endpoints need a key.
	Tokens *token.Ring
	// Origins are those (scheme://host[:port]) whose pages may read live events and their own tasks, besides the server's own.
	Origins []string
	// LiveOnly leaves out all but live events and what consumers acknowledge of them, looking at a task, and the probes: a gateway alone.
	LiveOnly bool
	// Insecure answers without API keys, and in turn only to loopback host names and not to pages of other sites.
	// The caller must bind to loopback. For development.
	Insecure bool

	// Full says that there is no memory for new tasks, which are then refused; see [MemoryGuard]. nil: there always is.
	Full func() bool

	// LogReader reads lines of tasks' logs that are in CloudWatch. nil: only where they are is told.
	LogReader LogReader

	// Consumers are those who acknowledge live events. nil: their routes do not exist.
	Consumers Consumers
	// Events and WebSocket serve GET /v1/events and GET /v1/ws. nil: the route does not exist.
	Events, WebSocket http.Handler
	// Web serves everything that is no route of the API: the page. nil: 404.
	Web http.Handler

	// Ready says why requests should go elsewhere, or nil; see [ErrDraining]. It is given 2 s. nil: always ready.
	Ready func(context.Context) error
	// Trace begins a span for a request and returns what ends it, with the route ("GET /path") and the status. nil: there are
	// no spans.
	Trace func(r *http.Request) (ctx context.Context, end func(route string, status int))
	// Logger receives one line for each request, and what went wrong inside. Default: [slog.Default].
	Logger *slog.Logger
	// Version of the program, for the documentation. Default: "dev".
	Version string
}

func (c Config) withDefaults() (Config, error) {
	var errs []error
	if c.Tasks == nil {
		errs = append(errs, errors.New("option Tasks is missing"))
	}
	if c.Keys.Len() == 0 && !c.Insecure {
		errs = append(errs, errors.New("no API keys are given; give some, or set Insecure for development on loopback"))
	}
	if c.Keys.Len() > 0 && c.Insecure {
		errs = append(errs, errors.New("API keys are given together with Insecure, which would ignore them"))
	}
	if c.Ready == nil {
		c.Ready = func(context.Context) error { return nil }
	}
	if c.Full == nil {
		c.Full = func() bool { return false }
	}
	c.Logger = cmp.Or(c.Logger, slog.Default())
	c.Version = cmp.Or(c.Version, "dev")
	return c, errors.Join(errs...)
}

// server is the state that the handlers share.
type server struct {
	config    Config
	types     *knownTypes
	validator typeschema.Validator
	now       func() time.Time
}

// New returns the handler of the whole HTTP surface. The error lists every fault of the configuration.
func New(config Config) (http.Handler, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	return newHandler(config, time.Now)
}

func newHandler(config Config, now func() time.Time) (http.Handler, error) {
	s := &server{config: config, now: now, types: &knownTypes{compiled: config.Types, live: config.Tasks.Types, now: now}}

	table := &routes{ServeMux: http.NewServeMux(), server: s}
	api := humago.New(table, humaConfig(config.Version))
	s.addTask(api)
	if !config.LiveOnly {
		s.addTasks(api)
		s.addLogs(api)
		s.addBatch(api)
		s.addQueues(api)
		s.addSchedules(api)
		s.addTypes(api)
		s.addTokens(api)
	}
	s.addLive(api, table)
	s.addConsumers(api)
	addScript(table)
	table.HandleFunc("GET /healthz", s.healthz)
	table.HandleFunc("GET /readyz", s.readyz)
	table.HandleFunc("GET /problems/{code}", explainProblem)
	if err := addDocs(api, table); err != nil {
		return nil, err
	}
	table.Handle("/v1/", table.elsewhere(nil))
	table.Handle("/", table.elsewhere(config.Web))

	var handler http.Handler = table
	if config.Insecure {
		handler = guardLoopback(handler)
	}
	return s.observe(handler), nil
}

// storeContext bounds all that one request asks of the store.
func storeContext(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, storeTimeout)
}

// humaConfig leaves out what huma adds by default: schema links in every answer, and documentation from a CDN.
func humaConfig(version string) huma.Config {
	config := huma.DefaultConfig("Seri", version)
	config.OpenAPIPath, config.DocsPath, config.SchemasPath = "", "", ""
	config.CreateHooks = nil
	config.RejectUnknownQueryParameters = true // a misspelt filter would otherwise mean "everything"
	config.Transformers = []huma.Transformer{fromHuma}
	return config
}
