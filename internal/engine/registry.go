package engine

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/store"
)

// registry knows every lease that this worker holds, from the fetch until its outcome is written. It ends the context of
// a handler at the moment when its lease can no longer be proven to be alive, whatever Redis and the heartbeat do.
type registry struct {
	born   time.Time // of the monotonic times in attempts
	logger *slog.Logger

	mu   sync.Mutex
	held map[*attempt]struct{}
	byID map[taskID]*attempt
}

type taskID struct {
	queue keys.Queue
	id    string
}

func newRegistry(logger *slog.Logger) *registry {
	return &registry{
		born: time.Now(), logger: logger, held: make(map[*attempt]struct{}), byID: make(map[taskID]*attempt),
	}
}

// errUnproven is why a lease counts as lost that nobody has taken, as far as this worker knows.
var errUnproven = errors.New("not extended in time")

// add takes a lease in that was asked for at the time asked, for the given length.
func (r *registry) add(lease store.Lease, handler *seri.Handler, asked time.Time, length time.Duration) *attempt {
	ctx, cancel := context.WithCancelCause(context.Background()) // an attempt ends by what becomes of its lease, not with the fetcher
	a := &attempt{lease: lease, handler: handler, ctx: ctx, cancel: cancel}
	a.end = time.AfterFunc(length, func() { // an extension sets it anew
		if !r.provable(a) {
			r.lose(a, errUnproven)
		}
	})
	r.prove(a, asked, length)
	r.mu.Lock()
	r.held[a] = struct{}{}
	r.byID[taskID{lease.Queue, lease.ID()}] = a
	r.mu.Unlock()
	return a
}

// remove forgets a lease whose outcome is written, or that is lost.
func (r *registry) remove(a *attempt) {
	a.settled.Store(true)
	a.end.Stop()
	a.cancel(context.Canceled)
	r.mu.Lock()
	delete(r.held, a)
	if id := (taskID{a.lease.Queue, a.lease.ID()}); r.byID[id] == a {
		delete(r.byID, id)
	}
	r.mu.Unlock()
}

// prove notes that the lease was certainly alive for length from the time asked, when the request was sent.
func (r *registry) prove(a *attempt, asked time.Time, length time.Duration) {
	end := asked.Add(length)
	a.provable.Store(int64(end.Sub(r.born)))
	a.end.Reset(time.Until(end))
}

// provable reports whether the lease is certainly alive.
func (r *registry) provable(a *attempt) bool {
	return int64(time.Since(r.born)) < a.provable.Load()
}

// lose ends a handler whose lease is, or may be, another's by now. The attempt itself is ended by its slot.
func (r *registry) lose(a *attempt, why error) {
	if a.settled.Load() || a.ctx.Err() != nil {
		return
	}
	a.cancel(seri.ErrLeaseLost)
	r.logger.Warn("lease lost", "task_id", a.lease.ID(), "queue", a.lease.Queue, "type", a.lease.Message.Type,
		"token", a.lease.Token, "error", why)
}

// byQueue returns the held leases of each queue.
func (r *registry) byQueue() map[keys.Queue][]*attempt {
	r.mu.Lock()
	defer r.mu.Unlock()
	queues := make(map[keys.Queue][]*attempt)
	for a := range r.held {
		queues[a.lease.Queue] = append(queues[a.lease.Queue], a)
	}
	return queues
}

// withID returns the held leases of tasks with this ID, in whichever queue.
func (r *registry) withID(queues []keys.Queue, id string) []*attempt {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []*attempt
	for _, q := range queues {
		if a := r.byID[taskID{q, id}]; a != nil {
			found = append(found, a)
		}
	}
	return found
}
