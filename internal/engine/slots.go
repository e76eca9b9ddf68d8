package engine

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/store"
)

// settleTime is how long handlers have to return after their context has ended with [seri.ErrStopping].
const settleTime = time.Second

// slots runs handlers, a bounded number at once, and keeps a few attempts waiting for those that end soon.
type slots struct {
	size     int
	registry *registry
	reporter *reporter
	outcomes chan<- outcome
	grace    time.Duration
	logger   *slog.Logger

	room    chan struct{} // holds an element when there may be room
	quiet   chan struct{} // closed when the slots are to end and no handler runs but those that were written off
	sending sync.RWMutex  // held for reading from where a handler's outcome is decided until it is sent

	mu      sync.Mutex
	taken   int        // places in use: by attempts that run or wait here, and by those that are being fetched
	workers int        // goroutines that run attempts
	lost    int        // of them, those whose handlers were given up
	ending  bool       // no attempt begins any more
	waiting []*attempt // the next one first
	moved   time.Time  // when the first of them last went to a slot, or came
	kept    chan struct{}
	pace    pace
}

func newSlots(n int, r *registry, reporter *reporter, outcomes chan<- outcome, grace time.Duration, logger *slog.Logger) *slots {
	return &slots{
		size: n, registry: r, reporter: reporter, outcomes: outcomes, grace: grace, logger: logger,
		room: make(chan struct{}, 1), quiet: make(chan struct{}), kept: make(chan struct{}, 1),
	}
}

// acquire waits until tasks should be fetched, takes the places for them and returns their number; 0 if ctx has ended.
func (s *slots) acquire(ctx context.Context) int {
	for ctx.Err() == nil {
		s.mu.Lock()
		n := s.wanted()
		s.taken += n
		s.mu.Unlock()
		if n > 0 {
			return n
		}
		select {
		case <-ctx.Done():
		case <-s.room:
		}
	}
	return 0
}

// wanted says how many tasks should be fetched now: at once if a slot is free, and otherwise when what is kept waiting has
// shrunk to a half, so that one call brings many. To be called with mu held.
func (s *slots) wanted() int {
	ahead := s.pace.ahead(s.size)
	if s.taken >= s.size && s.taken > s.size+ahead/2 || s.taken >= s.size+ahead {
		return 0
	}
	return min(s.size+ahead-s.taken, store.MaxBatch)
}

// release gives places back for which there was no task; a negative number takes places although there may be none.
func (s *slots) release(n int) {
	if n == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken -= n
	s.ring()
}

// ring wakes acquire if tasks should be fetched. To be called with mu held.
func (s *slots) ring() {
	if s.wanted() > 0 {
		select {
		case s.room <- struct{}{}:
		default:
		}
	}
}

// start runs attempts for which places were acquired.
func (s *slots) start(attempts []*attempt) {
	s.mu.Lock()
	if len(s.waiting) == 0 {
		s.moved = time.Now()
	}
	s.waiting = append(s.waiting, attempts...)
	more := min(s.size-s.workers, len(s.waiting))
	s.workers += more
	if len(s.waiting) > more {
		select {
		case s.kept <- struct{}{}:
		default:
		}
	}
	s.mu.Unlock()
	for range more {
		go s.work(nil)
	}
}

// work runs attempts until none is waiting, after having ended one.
func (s *slots) work(ended *attempt) {
	mark := labels.Get().(*label)
	mark.set()
	returned := false
	defer func() { // a handler that ends its goroutine (runtime.Goexit) does not end the work
		labels.Put(mark)
		if !returned {
			go s.work(ended)
		}
	}()
	for ended = s.next(ended); ended != nil; ended = s.next(ended) {
		ended.slot = mark.slot
		s.perform(ended)
	}
	returned = true
}

// next frees the place of an attempt that has ended and returns the next one; nil if none is waiting.
func (s *slots) next(ended *attempt) *attempt {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if ended != nil {
		s.taken--
		if ended.stuck {
			s.lost--
			s.logger.Warn("slot back: the handler has ended after all", append(ended.about(), "running_for", time.Since(ended.started))...)
		} else {
			took := now.Sub(ended.started)
			s.pace.note(took)
			ended.meter.Took(took)
		}
		s.ring()
	}
	if len(s.waiting) == 0 {
		s.workers--
		s.rest()
		return nil
	}
	s.moved = now
	a := s.waiting[0]
	s.waiting[0] = nil
	s.waiting = s.waiting[1:]
	return a
}

// writeOff gives a handler up that goes on although its context has ended: its attempt ends as if it had returned that
// error, and its slot is used no more until it does return. False if it has returned meanwhile.
func (s *slots) writeOff(a *attempt) bool {
	s.mu.Lock()
	if a.settled.Swap(true) {
		s.mu.Unlock()
		return false
	}
	a.stuck = true // and its place stays taken
	s.lost++
	s.mu.Unlock()
	s.outcomes <- a.judge(a.ctx, nil, errIgnored)
	return true
}

// stuck returns how many slots are written off.
func (s *slots) stuck() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lost
}

// busy returns how many slots run a handler that is not given up.
func (s *slots) busy() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.workers - s.lost
}

// rest closes quiet when there is nobody left to wait for. To be called with mu held.
func (s *slots) rest() {
	if s.ending && s.workers == s.lost {
		s.ending = false
		close(s.quiet)
	}
}

// perform runs one attempt and passes its outcome on.
func (s *slots) perform(a *attempt) {
	a.started = time.Now()
	var o outcome
	defer func() { // also after runtime.Goexit, or the task would never end
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
	s.registry.logs.stamp(o)
}

// send passes an outcome on, unless the task was handed back while its handler would not end.
func (s *slots) send(o outcome) {
	s.sending.RLock()
	defer s.sending.RUnlock()
	if !o.attempt.settled.Swap(true) {
		s.outcomes <- o
	}
}

// run waits for its end, hands back what has not begun, gives running handlers the grace period, then ends their contexts
// and hands back the tasks of those that do not return even then. No attempt may be started once ctx has ended.
func (s *slots) run(ctx context.Context) error {
	<-ctx.Done()
	s.mu.Lock()
	unstarted := s.waiting
	s.waiting = nil
	s.ending = true
	s.rest()
	s.mu.Unlock()
	for _, a := range unstarted {
		s.send(outcome{attempt: a, kind: handedBack, err: seri.ErrStopping})
	}

	if within(s.quiet, s.grace) {
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
	if within(s.quiet, settleTime) {
		return nil
	}
	s.handBack(ctx)
	return nil
}

// handBack gives up on handlers that ignore the end of their context. Their late outcomes are refused by the fence.
func (s *slots) handBack(ctx context.Context) {
	stacks := stacks() // of all at once, and before anybody waits for the lock
	s.sending.Lock()   // an outcome that is decided has been sent: when this returns, the completer may end
	defer s.sending.Unlock()
	for _, attempts := range s.registry.byQueue() {
		for _, a := range attempts {
			if a.settled.Swap(true) {
				continue // its outcome is sent
			}
			s.logger.ErrorContext(ctx, "handler ignored the end of its context, handing its task back", append(a.about(), "running_for", time.Since(a.started), "stack", stacks.slot(a.slot))...)
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
