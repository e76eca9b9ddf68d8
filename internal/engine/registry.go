package engine

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/meter"
	"github.com/seri-queue/seri/internal/store"
)

// registry knows every lease that this worker holds, from the fetch until its outcome is written. It ends the context of
// a handler at the moment when its lease can no longer be proven to be alive, whatever Redis and the heartbeat do, or when
// its time is up. One timer serves all: it is set to the earliest of those moments.
type registry struct {
	born   time.Time // of the monotonic times in attempts
	meters *meter.Worker
	logs   *taskLogs
	logger *slog.Logger

	mu    sync.Mutex
	held  []*attempt // each knows its place
	alarm *time.Timer
	at    moment // for which the alarm is set; 0: it is not
}

// moment is a monotonic time: nanoseconds since the registry's start.
type moment = int64

func newRegistry(logger *slog.Logger) *registry {
	meters := new(meter.Worker)
	return &registry{born: time.Now(), meters: meters, logs: newTaskLogs(nil, 0, nil, meters, logger), logger: logger}
}

// errUnproven is why a lease counts as lost that nobody has taken, as far as this worker knows.
var errUnproven = errors.New("not extended in time")

func (r *registry) moment(t time.Time) moment { return int64(t.Sub(r.born)) }

// add takes leases in that were asked for at the time asked, for the given length.
func (r *registry) add(leases []store.Lease, handler func(typ string) (*seri.Handler, *meter.Type), asked time.Time, length time.Duration) []*attempt {
	attempts := make([]*attempt, len(leases))
	for i := range leases {
		ctx, cancel := context.WithCancelCause(context.Background()) // an attempt ends by what becomes of its lease, not with the fetcher
		attempts[i] = &attempt{lease: leases[i], ctx: ctx, cancel: cancel, registry: r}
		attempts[i].handler, attempts[i].meter = handler(leases[i].Message.Type)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range attempts {
		a.place = len(r.held)
		r.held = append(r.held, a)
		r.proveLocked(a, asked, length)
	}
	return attempts
}

// remove forgets a lease whose outcome is written, or that is lost.
func (r *registry) remove(a *attempt) {
	a.settled.Store(true)
	a.cancel(context.Canceled)
	r.mu.Lock()
	defer r.mu.Unlock()
	last := len(r.held) - 1
	r.held[a.place] = r.held[last]
	r.held[a.place].place = a.place
	r.held[last] = nil
	r.held = r.held[:last]
}

// prove notes that the lease was certainly alive for length from the time asked, when the request was sent.
func (r *registry) prove(a *attempt, asked time.Time, length time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.proveLocked(a, asked, length)
}

func (r *registry) proveLocked(a *attempt, asked time.Time, length time.Duration) {
	end := r.moment(asked.Add(length))
	a.provable.Store(end)
	r.wakeLocked(end)
}

// limit ends the attempt with [seri.ErrTimeout] at the given time.
func (r *registry) limit(a *attempt, end time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a.end = r.moment(end)
	if a.end <= r.moment(time.Now()) {
		a.cancel(seri.ErrTimeout)
		return
	}
	r.wakeLocked(a.end)
}

// wakeLocked makes sure that the alarm goes off at the given moment.
func (r *registry) wakeLocked(at moment) {
	if r.at != 0 && r.at <= at {
		return
	}
	r.at = at
	wait := time.Duration(at - r.moment(time.Now()))
	if r.alarm == nil {
		r.alarm = time.AfterFunc(wait, r.watch)
	} else {
		r.alarm.Reset(wait)
	}
}

// watch ends the attempts whose moment has come and sets the alarm for the next.
func (r *registry) watch() {
	now := r.moment(time.Now())
	var unproven []*attempt
	r.mu.Lock()
	r.at = 0
	next := moment(math.MaxInt64)
	for _, a := range r.held {
		if a.ctx.Err() != nil {
			continue
		}
		if end := a.provable.Load(); end <= now {
			unproven = append(unproven, a)
			continue
		} else {
			next = min(next, end)
		}
		switch {
		case a.end == 0: // not started
		case a.end <= now:
			a.cancel(seri.ErrTimeout)
		default:
			next = min(next, a.end)
		}
	}
	if next != math.MaxInt64 {
		r.wakeLocked(next)
	}
	r.mu.Unlock()
	for _, a := range unproven {
		r.lose(a, errUnproven)
	}
}

// stop ends the alarm.
func (r *registry) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.alarm != nil {
		r.alarm.Stop()
	}
}

// provable reports whether the lease is certainly alive.
func (r *registry) provable(a *attempt) bool {
	return r.moment(time.Now()) < a.provable.Load()
}

// lose ends a handler whose lease is, or may be, another's by now. The attempt itself is ended by its slot.
func (r *registry) lose(a *attempt, why error) {
	if a.settled.Load() || a.ctx.Err() != nil {
		return
	}
	a.cancel(seri.ErrLeaseLost)
	r.meters.LeasesLost.Add(1)
	r.logger.Warn("lease lost", append(a.about(), "error", why)...)
}

// byQueue returns the held leases of each queue.
func (r *registry) byQueue() map[keys.Queue][]*attempt {
	r.mu.Lock()
	defer r.mu.Unlock()
	queues := make(map[keys.Queue][]*attempt)
	for _, a := range r.held {
		queues[a.lease.Queue] = append(queues[a.lease.Queue], a)
	}
	return queues
}

// overdue returns the attempts whose context has ended and whose handler has not, as far as is known.
func (r *registry) overdue() []*attempt {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []*attempt
	for _, a := range r.held {
		if a.end != 0 && a.ctx.Err() != nil && !a.settled.Load() {
			found = append(found, a)
		}
	}
	return found
}

// withID returns the held leases of tasks with this ID, in whichever queue.
func (r *registry) withID(id string) []*attempt {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []*attempt
	for _, a := range r.held {
		if a.lease.ID() == id {
			found = append(found, a)
		}
	}
	return found
}
