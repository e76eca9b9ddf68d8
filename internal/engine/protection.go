package engine

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"
)

// Protector keeps the machine under a worker from being taken away on purpose, be it to scale in or for a deployment.
type Protector interface {
	// Protect does so for d from now on, in place of what was agreed before.
	Protect(ctx context.Context, d time.Duration) error
	// Release ends it.
	Release(ctx context.Context) error
}

const (
	protectEvery  = time.Second      // between two looks at what runs
	lengthyAfter  = 10 * time.Second // an attempt that has run for so long may well go on
	lengthyFor    = time.Hour        // how long a type is remembered of which an attempt has outlasted the grace period
	protectMargin = 2 * time.Minute  // beyond the last attempt's time limit; less is renewed
	protectLinger = 10 * time.Second // without need before it is released, so that tasks in a row share one protection
	protectRest   = 5 * time.Minute  // without protection after the longest hold: a deployment that waits gets its turn
	protectFirst  = 5 * time.Second  // after a call that failed; doubled up to the next line
	protectLimit  = 5 * time.Minute
	protectLast   = time.Second // for the release at the end
)

// protection asks for protection while tasks run that the grace period is too short for. It decides by looking at what
// runs, once a second, so that it costs a task nothing: no handler waits for it, and none fails by it.
type protection struct {
	protector Protector
	most      time.Duration // of one hold
	grace     time.Duration
	registry  *registry
	logger    *slog.Logger

	lengthy map[string]time.Time // types of which an attempt has outlasted the grace period, and when one was last seen to
	since   time.Time            // when the hold began; zero: there is none
	until   time.Time            // what is agreed
	unused  time.Time            // since when no attempt needs it; zero: one does
	next    time.Time            // not to be asked for before: after an error, or after a hold that was as long as it may be
	backoff time.Duration
	told    string // the last error that the log has
}

func (p *protection) run(ctx context.Context) error {
	p.lengthy = make(map[string]time.Time)
	ticker := time.NewTicker(protectEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			p.look(ctx, time.Now())
		case <-ctx.Done():
			if p.held() { // whoever runs a worker may have other things to do after it
				last, cancel := context.WithTimeout(context.WithoutCancel(ctx), protectLast)
				defer cancel()
				p.release(last, time.Now())
			}
			return nil
		}
	}
}

func (p *protection) held() bool { return !p.since.IsZero() }

// look does what the moment asks for: one call at most.
func (p *protection) look(ctx context.Context, now time.Time) {
	end, needed := p.need(now)
	switch {
	case needed:
		p.unused = time.Time{}
	case p.unused.IsZero():
		p.unused = now
	}
	switch {
	case p.held() && now.Sub(p.since) >= p.most:
		p.logger.InfoContext(ctx, "protection has lapsed: it was held for as long as it may be", "for", p.most, "rest", protectRest)
		p.since, p.next = time.Time{}, now.Add(protectRest)
	case now.Before(p.next):
	case needed && !p.held():
		p.since = now
		if !p.protect(ctx, now, end) {
			p.since = time.Time{}
		}
	case needed && p.until.Before(end) && p.until.Before(p.since.Add(p.most)) && p.until.Sub(now) < protectMargin:
		p.protect(ctx, now, end)
	case p.held() && !needed && now.Sub(p.unused) >= protectLinger:
		p.release(ctx, now)
	}
}

// need returns when the last of the attempts that need protection is over by its time limit; false if none does. Those
// need it that would not be ended by their limit within the grace period, and that have run for a while, or are of a type
// that is known to take longer than the grace period.
func (p *protection) need(now time.Time) (end time.Time, needed bool) {
	for typ, seen := range p.lengthy {
		if now.Sub(seen) >= lengthyFor {
			delete(p.lengthy, typ)
		}
	}
	p.registry.eachRunning(func(a *attempt, limit time.Time) {
		age := now.Sub(a.started)
		if age > p.grace {
			p.lengthy[a.lease.Message.Type] = now
		}
		if limit.Sub(now) <= p.grace {
			return
		}
		if _, known := p.lengthy[a.lease.Message.Type]; known || age >= lengthyAfter {
			needed = true
			if limit.After(end) {
				end = limit
			}
		}
	})
	return end, needed
}

// eachRunning calls look with each attempt that runs, and its time limit.
func (r *registry) eachRunning(look func(a *attempt, limit time.Time)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range r.held {
		if a.end != 0 && a.ctx.Err() == nil && !a.settled.Load() { // end is set after started, under this lock
			look(a, r.born.Add(time.Duration(a.end)))
		}
	}
}

// protect asks for protection until a little after end, but no longer than a hold may last.
func (p *protection) protect(ctx context.Context, now, end time.Time) bool {
	until := end.Add(protectMargin)
	if last := p.since.Add(p.most); until.After(last) {
		until = last
	}
	if err := p.protector.Protect(ctx, until.Sub(now)); err != nil {
		p.failed(ctx, now, "worker is not protected from being stopped while tasks run", err)
		return false
	}
	p.worked()
	p.until = until
	p.logger.InfoContext(ctx, "protected from being stopped: tasks run that may outlast the grace period", "for", until.Sub(now).Round(time.Second), "grace", p.grace)
	return true
}

func (p *protection) release(ctx context.Context, now time.Time) {
	if err := p.protector.Release(ctx); err != nil {
		p.failed(ctx, now, "protection not released; it lapses by itself", err)
		if !p.until.After(now) {
			p.since = time.Time{}
		}
		return
	}
	p.worked()
	p.since = time.Time{}
	p.logger.InfoContext(ctx, "protection released: no task runs that needs it")
}

func (p *protection) worked() { p.next, p.backoff, p.told = time.Time{}, 0, "" }

// failed puts the next call off, and tells of each kind of error once.
func (p *protection) failed(ctx context.Context, now time.Time, what string, err error) {
	p.backoff = min(max(2*p.backoff, protectFirst), protectLimit)
	p.next = now.Add(p.backoff/2 + rand.N(p.backoff/2)) // workers that were refused together do not come again together
	if told := what + err.Error(); told != p.told && ctx.Err() == nil {
		p.told = told
		p.logger.WarnContext(ctx, what, "error", err)
	}
}

// protection returns the part that asks for protection. Where nobody can be asked, it only waits for its end.
func (e *Engine) protection(leases *registry, logger *slog.Logger) func(context.Context) error {
	if e.Protector == nil || e.ProtectFor == 0 {
		return func(ctx context.Context) error { <-ctx.Done(); return nil }
	}
	p := &protection{protector: e.Protector, most: e.ProtectFor, grace: e.Grace, registry: leases, logger: logger}
	return p.run
}
