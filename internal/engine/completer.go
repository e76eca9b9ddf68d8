package engine

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/pause"
	"github.com/seri-queue/seri/internal/store"
)

// ender is what the completer needs of the store.
type ender interface {
	Complete(ctx context.Context, q keys.Queue, completions []store.Completion) ([]error, error)
	Retry(ctx context.Context, q keys.Queue, retries []store.Retry) ([]error, error)
	Archive(ctx context.Context, q keys.Queue, endings []store.Ending) ([]error, error)
	Requeue(ctx context.Context, q keys.Queue, leases []*store.Lease) ([]error, error)
}

// completer writes outcomes: whatever has come in while its last calls were under way.
type completer struct {
	store    ender
	registry *registry
	outcomes <-chan outcome
	patience time.Duration // how long one call is repeated at most
	alone    bool          // all outcomes are of one queue: none can hold up another's
	logger   *slog.Logger

	lanes *lanes
}

// newCompleter returns the completer of a worker that serves so many queues.
func newCompleter(s ender, r *registry, outcomes <-chan outcome, patience time.Duration, queues int, logger *slog.Logger) *completer {
	return &completer{store: s, registry: r, outcomes: outcomes, patience: patience, alone: queues == 1, logger: logger, lanes: newLanes()}
}

// writeTimeout limits one try of one call.
const writeTimeout = 5 * time.Second

// lastWrites is how long outcomes are still written once the completer has been asked to end. Those that Redis has not
// taken by then are left to their leases, which run out: a worker that is being stopped must not wait for a Redis that is down.
const lastWrites = 5 * time.Second

// run writes outcomes until its end, and then those that are waiting.
func (c *completer) run(ctx context.Context) error {
	writing, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	defer context.AfterFunc(ctx, func() {
		pause.For(writing, lastWrites)
		giveUp()
	})()
	defer c.lanes.wait()
	for {
		select {
		case o := <-c.outcomes:
			c.write(writing, c.gather(o))
		case <-ctx.Done():
			for {
				select {
				case o := <-c.outcomes:
					c.write(writing, c.gather(o))
				default:
					return nil
				}
			}
		}
	}
}

// gather returns first and what is waiting behind it.
func (c *completer) gather(first outcome) []outcome {
	batch := []outcome{first}
	for len(batch) < store.MaxBatch {
		select {
		case o := <-c.outcomes:
			batch = append(batch, o)
		default:
			return batch
		}
	}
	return batch
}

// write writes a batch, one call for each queue and kind of outcome.
func (c *completer) write(ctx context.Context, batch []outcome) {
	groups := make(map[group][]outcome)
	for _, o := range batch {
		g := group{o.attempt.lease.Queue, o.kind}
		groups[g] = append(groups[g], o)
	}
	if len(groups) == 1 && c.alone {
		for g, outcomes := range groups {
			c.settle(ctx, g, outcomes)
		}
		return
	}
	c.lanes.write(ctx, groups, c.settle)
}

// settle writes outcomes of one kind and queue and logs how those attempts ended whose outcomes are written; what became of
// the others is logged where it is found out.
func (c *completer) settle(ctx context.Context, g group, outcomes []outcome) {
	settled := outcomes
	if g.kind != abandoned { // of which nothing is to be written
		settled = c.writeGroup(ctx, g.queue, g.kind, outcomes)
	}
	for _, o := range settled {
		o.count()
		c.log(ctx, o)
	}
	for _, o := range outcomes {
		c.registry.remove(o.attempt)
	}
}

// writeGroup writes outcomes of one kind, again and again while some lease is certainly alive. Then nobody but this worker
// can have ended those tasks, so a task that a repeated call finds ended was ended by a call whose reply was lost.
// A script that fails on one task is not repeated for that task, nor is any call for more than the completer's patience:
// the heartbeat keeps the leases alive meanwhile, so no more would be written until the process ends. The end of ctx ends
// all tries. It returns the outcomes that were written.
func (c *completer) writeGroup(ctx context.Context, q keys.Queue, kind outcomeKind, outcomes []outcome) (written []outcome) {
	begun := time.Now()
	for try, backoff := 1, 50*time.Millisecond; ; try, backoff = try+1, min(2*backoff, 2*time.Second) {
		call, cancel := context.WithTimeout(ctx, writeTimeout)
		answers, err := c.end(call, q, kind, outcomes)
		cancel()
		if err == nil {
			for i, answer := range answers {
				fenced, ok := errors.AsType[*seri.FencedError](answer)
				// Taken for a yes only if the lease is alive even now: this call may have arrived much later than it was sent.
				if ok && !(try > 1 && fenced.Seen == 0 && c.registry.provable(outcomes[i].attempt)) {
					c.registry.meters.Refused.Outcome.Add(1)
					c.logger.WarnContext(ctx, "outcome refused: the lease was lost", append(outcomes[i].attempt.about(), "error", fenced)...)
					continue
				}
				written = append(written, outcomes[i])
			}
			return written
		}
		broken := scriptFailed(err)
		if broken && len(outcomes) > 1 {
			for i := range outcomes {
				written = append(written, c.writeGroup(ctx, q, kind, outcomes[i:i+1])...)
			}
			return written
		}
		alive := outcomes[:0:0]
		for _, o := range outcomes {
			if c.registry.provable(o.attempt) && !broken && time.Since(begun) < c.patience && ctx.Err() == nil {
				alive = append(alive, o)
			} else {
				c.registry.meters.OutcomesLost.Add(1)
				c.logger.ErrorContext(ctx, "outcome not written: the task will run again", append(o.attempt.about(), "error", err)...)
			}
		}
		if outcomes = alive; len(outcomes) == 0 {
			return nil
		}
		c.logger.WarnContext(ctx, "outcomes not written yet", "queue", q, "count", len(outcomes), "error", err, "retry_in", backoff)
		pause.For(ctx, backoff)
	}
}

// scriptFailed reports whether err is about what the script found in the tasks, and not about the state of Redis.
func scriptFailed(err error) bool {
	reply, ok := errors.AsType[redis.Error](err)
	if !ok {
		return false
	}
	text := reply.Error()
	return strings.Contains(text, "script") && (strings.HasPrefix(text, "ERR ") || strings.HasPrefix(text, "WRONGTYPE "))
}

func (c *completer) end(ctx context.Context, q keys.Queue, kind outcomeKind, outcomes []outcome) ([]error, error) {
	switch kind {
	case succeeded:
		batch := make([]store.Completion, len(outcomes))
		for i, o := range outcomes {
			batch[i] = store.Completion{Lease: &o.attempt.lease, Result: o.result}
		}
		return c.store.Complete(ctx, q, batch)
	case retried:
		batch := make([]store.Retry, len(outcomes))
		for i, o := range outcomes {
			batch[i] = store.Retry{Lease: &o.attempt.lease, After: o.after, Error: text(o.err)}
		}
		return c.store.Retry(ctx, q, batch)
	case archived:
		batch := make([]store.Ending, len(outcomes))
		for i, o := range outcomes {
			batch[i] = store.Ending{Lease: &o.attempt.lease, Reason: o.reason, Error: text(o.err)}
		}
		return c.store.Archive(ctx, q, batch)
	default:
		leases := make([]*store.Lease, len(outcomes))
		for i, o := range outcomes {
			leases[i] = &o.attempt.lease
		}
		return c.store.Requeue(ctx, q, leases)
	}
}

// maxErrorText is how much of an error's text is kept with a task.
const maxErrorText = 4 << 10

func text(err error) string {
	s := err.Error()
	if len(s) > maxErrorText {
		s = s[:maxErrorText] + "…"
	}
	return s
}

// log tells how an attempt ended. Successes are many and told by events; they are logged for debugging only.
func (c *completer) log(ctx context.Context, o outcome) {
	if o.kind == succeeded && !c.logger.Enabled(ctx, slog.LevelDebug) {
		return
	}
	a := o.attempt
	args := a.about()
	if !a.started.IsZero() {
		args = append(args, "duration", time.Since(a.started))
	}
	if o.err != nil {
		args = append(args, "error", o.err)
	}
	if panicked, ok := errors.AsType[*seri.PanicError](o.err); ok {
		args = append(args, "stack", string(panicked.Stack))
	}
	switch o.kind {
	case succeeded:
		c.logger.DebugContext(ctx, "task succeeded", args...)
	case retried:
		c.logger.WarnContext(ctx, "attempt failed", append(args, "retry_in", o.after)...)
	case archived:
		c.logger.ErrorContext(ctx, "task ended", append(args, "reason", o.reason)...)
	case handedBack:
		c.logger.InfoContext(ctx, "task handed back", args...)
	case abandoned:
		c.logger.WarnContext(ctx, "attempt abandoned", args...)
	}
}
