package engine

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/meter"
	"github.com/seri-queue/seri/internal/store"
	"github.com/seri-queue/seri/internal/wire"
)

const leaseLength = 30 * time.Second

// extendFunc is a store that can extend leases.
type extendFunc func(ctx context.Context, q keys.Queue, leases []*store.Lease) ([]error, error)

func (f extendFunc) Extend(ctx context.Context, q keys.Queue, leases []*store.Lease, _ time.Duration) ([]error, error) {
	return f(ctx, q, leases)
}

// extendAll says yes to all leases.
func extendAll(_ context.Context, _ keys.Queue, leases []*store.Lease) ([]error, error) {
	return make([]error, len(leases)), nil
}

// unreachable is a Redis that does not answer.
func unreachable(ctx context.Context, _ keys.Queue, _ []*store.Lease) ([]error, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// recordFunc is a store that takes progress.
type recordFunc func(ctx context.Context, reports []store.Report) ([]error, error)

func (f recordFunc) Progress(ctx context.Context, _ keys.Queue, reports []store.Report) ([]error, error) {
	return f(ctx, reports)
}

// endings is a store that ends attempts: it calls do for each call, and remembers the IDs of those that went well.
type endings struct {
	do func(call string, ids []string) ([]error, error) // nil: yes to all

	mu      sync.Mutex
	written []string // "complete a b": one call, and the tasks it was about
}

// count returns how many outcomes were written.
func (e *endings) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	for _, call := range e.written {
		n += strings.Count(call, " ")
	}
	return n
}

func (e *endings) end(kind string, ids []string) ([]error, error) {
	if e.do != nil {
		if errs, err := e.do(kind, ids); err != nil || errs != nil {
			return errs, err
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.written = append(e.written, kind+" "+strings.Join(ids, " "))
	return make([]error, len(ids)), nil
}

func (e *endings) Complete(_ context.Context, _ keys.Queue, completions []store.Completion) ([]error, error) {
	var ids []string
	for _, c := range completions {
		ids = append(ids, c.Lease.ID())
	}
	return e.end("complete", ids)
}

func (e *endings) Retry(_ context.Context, _ keys.Queue, retries []store.Retry) ([]error, error) {
	var ids []string
	for _, r := range retries {
		ids = append(ids, r.Lease.ID())
	}
	return e.end("retry", ids)
}

func (e *endings) Archive(_ context.Context, _ keys.Queue, archived []store.Ending) ([]error, error) {
	var ids []string
	for _, a := range archived {
		ids = append(ids, a.Lease.ID())
	}
	return e.end("archive", ids)
}

func (e *endings) Requeue(_ context.Context, _ keys.Queue, leases []*store.Lease) ([]error, error) {
	var ids []string
	for _, l := range leases {
		ids = append(ids, l.ID())
	}
	return e.end("requeue", ids)
}

// journal is a log that tests can read.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) has(message string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Contains(j.text.String(), message)
}

func (j *journal) logger() *slog.Logger { return slog.New(slog.NewTextHandler(j, nil)) }

// held adds a lease of the queue "q" that is asked for now.
func held(r *registry, id string, handle func(ctx context.Context, payload []byte) ([]byte, error)) *attempt {
	return heldIn(r, "q", id, handle)
}

func heldIn(r *registry, q keys.Queue, id string, handle func(ctx context.Context, payload []byte) ([]byte, error)) *attempt {
	handler := &seri.Handler{Type: "test", Run: handle}
	return take(r, leaseOf(q, id), handler, time.Now(), leaseLength)
}

func leaseOf(q keys.Queue, id string) store.Lease {
	return store.Lease{Queue: q, Message: wire.Message{ID: id, Type: "test", MaxRetries: 3}, Token: 7, Nonce: "n"}
}

// during runs a part of the engine while do does its work, and waits for its end.
func during(t *testing.T, run func(context.Context) error, do func(ctx context.Context)) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	do(ctx)
	stop()
	if err := <-ended; err != nil {
		t.Errorf("run ended with %v", err)
	}
}

func silent() *slog.Logger { return slog.New(slog.DiscardHandler) }

func wantCause(t *testing.T, ctx context.Context, want error) {
	t.Helper()
	if got := context.Cause(ctx); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the handler's context has ended with %v, want %v", got, want)
	}
}

// take is [registry.add] for one lease.
func take(r *registry, lease store.Lease, handler *seri.Handler, asked time.Time, length time.Duration) *attempt {
	return r.add([]store.Lease{lease}, func(string) (*seri.Handler, *meter.Type) { return handler, nil }, asked, length)[0]
}
