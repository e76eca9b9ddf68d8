package engine

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redisfault"
	"github.com/seri-queue/seri/internal/store"
)

const (
	claimFirst   = 200 * time.Millisecond // after a reply was lost; twice as long before each further try
	claimTimeout = time.Second            // for one call: a part of a cluster that is away must not keep the others waiting
	claimSlack   = time.Second            // by which Redis' clock may have been put forward since the reply was lost
)

// claimer is what claims need of the store.
type claimer interface {
	Claim(ctx context.Context, q keys.Queue, of store.Unheard, length time.Duration) (store.Batch, error)
}

// claims asks for the leases that were granted in replies that were lost. Without it such tasks would belong to nobody until
// their leases run out, and count a crash. It asks for as long as the leases would last, more and more seldom: Redis may carry
// a call out even later, when it comes to the connection's buffer.
type claims struct {
	store  claimer
	length time.Duration // of a lease
	take   func(b store.Batch, asked time.Time) []*attempt
	slots  *slots
	logger *slog.Logger
	news   chan struct{}

	mu     sync.Mutex
	doubts map[keys.Queue]*doubts
}

// doubts are calls about one queue of which it is not known whether they leased tasks.
type doubts struct {
	calls []unheard
	next  time.Time     // when to ask
	step  time.Duration // until then
}

type unheard struct {
	nonce string
	tasks int       // that it asked for
	asked time.Time // when
	until time.Time // when its leases would be over
}

func newClaims(s claimer, length time.Duration, take func(store.Batch, time.Time) []*attempt, slots *slots, logger *slog.Logger) *claims {
	return &claims{store: s, length: length, take: take, slots: slots, logger: logger, news: make(chan struct{}, 1), doubts: make(map[keys.Queue]*doubts)}
}

// doubt remembers a dequeue that may have leased tasks although it returned err.
func (c *claims) doubt(q keys.Queue, want store.Wanted, asked time.Time, err error) {
	if !redisfault.MayHaveRun(err) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.doubts[q]
	if d == nil {
		d = &doubts{}
		c.doubts[q] = d
	}
	d.calls = append(d.calls, unheard{want.Nonce, want.Tasks, asked, time.Now().Add(c.length)})
	d.step = claimFirst
	d.postpone()
	select {
	case c.news <- struct{}{}:
	default:
	}
}

// postpone sets when to ask next. Workers that lost the same Redis do not ask in step.
func (d *doubts) postpone() {
	d.next = time.Now().Add(d.step/2 + rand.N(d.step/2))
	d.step *= 2
}

// run claims until ctx ends, and then a last time, to hand back what nobody would have.
func (c *claims) run(ctx context.Context) error {
	for {
		next := c.round(ctx, time.Now(), c.start)
		timer := time.NewTimer(time.Until(next))
		select {
		case <-timer.C:
		case <-c.news:
		case <-ctx.Done():
			timer.Stop()
			c.round(context.WithoutCancel(ctx), time.Now().Add(c.length), c.handBack)
			return nil
		}
		timer.Stop()
	}
}

// round asks about what is to be asked about by the time due, passes on what it gets, and returns when the next question is due.
func (c *claims) round(ctx context.Context, due time.Time, pass func([]*attempt)) (next time.Time) {
	next = time.Now().Add(time.Hour)
	for q, of := range c.open(due) {
		call, cancel := context.WithTimeout(ctx, claimTimeout)
		asked := time.Now()
		of.Ago = asked.Sub(of.oldest) + claimTimeout + claimSlack
		batch, err := c.store.Claim(call, q, of.Unheard, c.length)
		cancel()
		if err != nil && ctx.Err() == nil {
			c.logger.WarnContext(ctx, "leases not claimed", "queue", q, "error", err)
		}
		if len(batch.Leases) > 0 {
			c.logger.WarnContext(ctx, "claimed tasks that were leased in a reply that was lost", "queue", q, "count", len(batch.Leases))
			pass(c.take(batch, asked))
		}
		c.settle(q, batch.Leases)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range c.doubts {
		if d.next.Before(next) {
			next = d.next
		}
	}
	return next
}

// question is what a queue is to be asked about, all but how long ago that was.
type question struct {
	store.Unheard
	oldest time.Time // when the first of the calls was made
}

// open returns the calls to ask about by the time due, and forgets those whose leases are over by now.
func (c *claims) open(due time.Time) map[keys.Queue]question {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, open := time.Now(), make(map[keys.Queue]question)
	for q, d := range c.doubts {
		d.calls = slices.DeleteFunc(d.calls, func(u unheard) bool { return u.until.Before(now) })
		if len(d.calls) == 0 {
			delete(c.doubts, q)
		} else if !d.next.After(due) {
			of := question{oldest: now}
			for _, u := range d.calls {
				of.Nonces, of.Tasks = append(of.Nonces, u.nonce), of.Tasks+u.tasks
				if u.asked.Before(of.oldest) {
					of.oldest = u.asked
				}
			}
			open[q] = of
		}
	}
	return open
}

// settle forgets calls whose leases were claimed, and says when to ask about the others again.
func (c *claims) settle(q keys.Queue, claimed []store.Lease) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.doubts[q]
	d.calls = slices.DeleteFunc(d.calls, func(u unheard) bool {
		return slices.ContainsFunc(claimed, func(l store.Lease) bool { return l.Nonce == u.nonce })
	})
	if d.postpone(); len(d.calls) == 0 {
		delete(c.doubts, q)
	}
}

// start runs attempts, for which there may be no room: they are this worker's, and nobody else can.
func (c *claims) start(attempts []*attempt) {
	c.slots.release(-len(attempts))
	c.slots.start(attempts)
}

func (c *claims) handBack(attempts []*attempt) {
	for _, a := range attempts {
		c.slots.send(outcome{attempt: a, kind: handedBack, err: seri.ErrStopping})
	}
}
