package engine

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/seri-queue/seri"
)

// settleTime is how long handlers have to return after their context has ended with [seri.ErrStopping].
const settleTime = time.Second

// slots runs handlers, a bounded number at once.
type slots struct {
	free     chan struct{} // one element for each free slot
	registry *registry
	reporter *reporter
	outcomes chan<- outcome
	grace    time.Duration
	logger   *slog.Logger

	running sync.WaitGroup
	sending sync.RWMutex // held for reading from where a handler's outcome is decided until it is sent
}

func newSlots(n int, r *registry, reporter *reporter, outcomes chan<- outcome, grace time.Duration, logger *slog.Logger) *slots {
	s := &slots{
		free: make(chan struct{}, n), registry: r, reporter: reporter, outcomes: outcomes, grace: grace, logger: logger,
	}
	s.release(n)
	return s
}

// acquire waits for a free slot and takes all that are free then; 0 if ctx has ended.
func (s *slots) acquire(ctx context.Context) int {
	if ctx.Err() != nil {
		return 0
	}
	select {
	case <-ctx.Done():
		return 0
	case <-s.free:
	}
	for n := 1; ; n++ {
		select {
		case <-s.free:
		default:
			return n
		}
	}
}

func (s *slots) release(n int) {
	for range n {
		s.free <- struct{}{}
	}
}

// start runs an attempt in a slot that was acquired for it.
func (s *slots) start(a *attempt) {
	a.started = time.Now()
	s.running.Go(func() {
		defer s.release(1)
		var o outcome
		defer func() { // also after runtime.Goexit, or the task would never end and the slot never be free
			if o.attempt == nil {
				o = a.fail(errGoexit)
			}
			s.send(o)
		}()
		if !s.registry.provable(a) { // the reply took longer than the lease
			o = outcome{attempt: a, kind: handedBack, err: seri.ErrLeaseLost}
			return
		}
		o = a.run(func(p seri.ProgressInfo) { s.reporter.note(a, p) })
	})
}

// send passes an outcome on, unless the task was handed back while its handler would not end.
func (s *slots) send(o outcome) {
	s.sending.RLock()
	defer s.sending.RUnlock()
	if !o.attempt.settled.Swap(true) {
		s.outcomes <- o
	}
}

// run waits for its end, gives running handlers the grace period, then ends their contexts and hands back the tasks of
// those that do not return even then. No attempt may be started once ctx has ended.
func (s *slots) run(ctx context.Context) error {
	<-ctx.Done()
	done := make(chan struct{})
	go func() { // ends with the handlers; one that never returns is left behind with the process
		s.running.Wait()
		close(done)
	}()
	if within(done, s.grace) {
		return nil
	}
	unfinished := 0
	for _, attempts := range s.registry.byQueue() {
		for _, a := range attempts {
			a.cancel(seri.ErrStopping)
			unfinished++
		}
	}
	s.logger.InfoContext(ctx, "grace period is over, stopping handlers", "running", unfinished, "grace", s.grace)
	if within(done, settleTime) {
		return nil
	}
	s.handBack(ctx)
	return nil
}

// handBack gives up on handlers that ignore the end of their context. Their late outcomes are refused by the fence.
func (s *slots) handBack(ctx context.Context) {
	s.sending.Lock() // an outcome that is decided has been sent: when this returns, the completer may end
	defer s.sending.Unlock()
	for q, attempts := range s.registry.byQueue() {
		for _, a := range attempts {
			if a.settled.Swap(true) {
				continue // its outcome is sent
			}
			s.logger.ErrorContext(ctx, "handler ignored the end of its context, handing its task back", "task_id", a.lease.ID(),
				"queue", q, "type", a.lease.Message.Type, "token", a.lease.Token, "running_for", time.Since(a.started))
			s.outcomes <- outcome{attempt: a, kind: handedBack, err: seri.ErrStopping}
		}
	}
}

func within(done <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}
