package relay

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/events"
	"github.com/seri-queue/seri/internal/meter"
	"github.com/seri-queue/seri/internal/partition"
	"github.com/seri-queue/seri/internal/pause"
	"github.com/seri-queue/seri/lock"
)

// Lock names the lock under which relays elect the one that works. It guards the positions, too.
const Lock = "relay"

// unanswered is how long a broker may take to confirm a batch before it is repeated.
const unanswered = 30 * time.Second

// Config tunes a [Relay]. The zero value is ready to use.
type Config struct {
	// Lease is how long a relay that died keeps the others waiting. Default: 5 s.
	Lease time.Duration
	// Partitions says which queues are divided. nil: none is.
	Partitions *partition.Table
	// Logger receives the relay's log. Default: [slog.Default].
	Logger *slog.Logger

	unanswered time.Duration // how long the broker may take to confirm a batch before it is repeated; 0: the constant of this name
}

// Relay copies events into a broker.
type Relay struct {
	rdb    redis.UniversalClient
	broker Broker
	config Config
}

// New returns a relay, which does nothing until [Relay.Run].
func New(rdb redis.UniversalClient, broker Broker, config Config) *Relay {
	config.Lease = cmp.Or(config.Lease, 5*time.Second)
	config.Logger = cmp.Or(config.Logger, slog.Default())
	config.unanswered = cmp.Or(config.unanswered, unanswered)
	return &Relay{rdb, broker, config}
}

// Permitted returns an error that says what is missing if the Redis user may not do all that a relay does. It writes nothing.
func (r *Relay) Permitted(ctx context.Context) error {
	guard, err := lock.NewGuard(r.rdb, Lock)
	if err != nil {
		return err
	}
	reader, err := events.NewReader(r.rdb, r.config.Partitions)
	if err != nil {
		return err
	}
	defer reader.Close()
	return errors.Join(lock.New(r.rdb).Permitted(ctx, Lock), guard.Permitted(ctx), reader.Permitted(ctx))
}

// Measure implements [meter.Source]: how far behind relaying is, whichever relay does it. While Redis does not say, nothing is
// told.
func (r *Relay) Measure(ctx context.Context, report meter.Report) {
	at, err := r.positions(ctx, 0)
	if err != nil {
		return
	}
	oldest, err := events.Behind(ctx, r.rdb, at.of)
	if err != nil {
		return
	}
	report.Value(meter.RelayBehind, oldest.Seconds())
}

// Run copies events until ctx ends, whenever this is the relay that leads. It outlasts outages of Redis and of the broker.
func (r *Relay) Run(ctx context.Context) error {
	locks := lock.New(r.rdb)
	failed := 0
	for ctx.Err() == nil {
		var led time.Duration
		err := locks.Do(ctx, Lock, r.config.Lease, func(ctx context.Context, token uint64) error {
			begun := time.Now()
			defer func() { led = time.Since(begun) }()
			return r.lead(ctx, token)
		})
		if ctx.Err() != nil {
			break
		}
		if led > r.config.Lease { // it has worked
			failed = 0
		}
		if failed++; failed == 1 {
			r.config.Logger.WarnContext(ctx, "does not relay events, trying again", "error", err)
		}
		pause.For(ctx, backoff(failed))
	}
	return ctx.Err()
}

// backoff is a random pause after so many failures.
func backoff(failed int) time.Duration {
	return rand.N(min(50*time.Millisecond<<min(failed, 10), 5*time.Second)) + time.Millisecond
}

// lead copies the events of all queues until ctx ends or the lead is lost.
func (r *Relay) lead(ctx context.Context, token uint64) error {
	at, err := r.positions(ctx, token)
	if err != nil {
		return err
	}
	reader, err := events.NewReader(r.rdb, r.config.Partitions)
	if err != nil {
		return err
	}
	r.config.Logger.InfoContext(ctx, "relays events", "to", r.broker.Name(), "token", token)
	ctx, end := context.WithCancelCause(ctx)
	var copying sync.WaitGroup
	defer copying.Wait()
	defer end(nil)
	defer context.AfterFunc(ctx, func() { reader.Close() })() // a blocked read does not heed a context
	copied, failed := make(map[string]bool), 0
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		queues, err := reader.Queues(ctx)
		if err == nil {
			failed = 0
		} else if failed++; failed == 1 && ctx.Err() == nil {
			r.config.Logger.WarnContext(ctx, "could not look for more queues whose events are relayed, trying again", "error", err)
		}
		for _, q := range queues {
			if !copied[q] {
				copied[q] = true
				copying.Go(func() { end(r.copy(ctx, reader, q, at)) })
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// copy relays one queue until ctx ends or the lead is lost.
func (r *Relay) copy(ctx context.Context, reader *events.Reader, queue string, at *positions) error {
	logger := r.config.Logger.With("queue", queue)
	mark, failed := at.of(queue), 0
	for ctx.Err() == nil {
		next, err := r.step(ctx, reader, queue, mark, at, logger)
		if _, fenced := errors.AsType[*seri.FencedError](err); fenced || errors.Is(err, lock.ErrLost) {
			return err
		}
		if err != nil && ctx.Err() == nil {
			if failed++; failed == 1 {
				logger.WarnContext(ctx, "could not relay events, trying again", "error", err)
			}
			pause.For(ctx, backoff(failed))
			continue
		}
		mark, failed = next, 0
	}
	return context.Cause(ctx)
}

func (r *Relay) step(ctx context.Context, reader *events.Reader, queue string, mark events.Mark, at *positions, logger *slog.Logger) (events.Mark, error) {
	records, next, wrong, err := reader.Next(ctx, queue, mark)
	if err != nil {
		return mark, err
	}
	if wrong != nil {
		logger.ErrorContext(ctx, "passed over entries of an event stream", "error", wrong)
	}
	if next.ID == mark.ID {
		return next, nil
	}
	if len(records) > 0 {
		if records[0].Of == 0 {
			logger.WarnContext(ctx, "events are missing from a stream", "after", mark.ID.String(), "next", records[0].Entry.String())
		}
		if err := r.publish(ctx, records); err != nil {
			return mark, fmt.Errorf("relay %d events: %w", len(records), err)
		}
	}
	return next, at.save(ctx, queue, next)
}

func (r *Relay) publish(ctx context.Context, records []events.Record) error {
	ctx, cancel := context.WithTimeoutCause(ctx, r.config.unanswered, fmt.Errorf("%s has not confirmed within %v", r.broker.Name(), r.config.unanswered))
	defer cancel()
	return r.broker.Publish(ctx, records)
}

// positions are how far each queue was relayed, kept under the lock's own guard: one who has lost the lead cannot write them.
type positions struct {
	guard *lock.Guard
	token uint64

	mu sync.Mutex
	at map[string]string
}

func (r *Relay) positions(ctx context.Context, token uint64) (*positions, error) {
	guard, err := lock.NewGuard(r.rdb, Lock)
	if err != nil {
		return nil, err
	}
	value, _, err := guard.Get(ctx)
	if err != nil {
		return nil, err
	}
	p := &positions{guard: guard, token: token, at: make(map[string]string)}
	if value != nil {
		if err := json.Unmarshal(value, &p.at); err != nil {
			return nil, fmt.Errorf("read how far events were relayed: %w", err)
		}
	}
	for queue, text := range p.at {
		if _, err := events.ParseEntryID(text); err != nil {
			return nil, fmt.Errorf("read how far events of queue %q were relayed: %w", queue, err)
		}
	}
	return p, nil
}

// of returns how far a queue was relayed.
func (p *positions) of(queue string) events.Mark {
	p.mu.Lock()
	defer p.mu.Unlock()
	id, err := events.ParseEntryID(p.at[queue])
	if err != nil { // it is not there: others have been checked
		return events.Mark{}
	}
	return events.MarkOf(id)
}

// save notes how far a queue was relayed, and returns when Redis has it.
func (p *positions) save(ctx context.Context, queue string, mark events.Mark) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := maps.Clone(p.at)
	at[queue] = mark.ID.String()
	value, err := json.Marshal(at)
	if err != nil {
		return err
	}
	if err := p.guard.Set(ctx, p.token, value); err != nil {
		return fmt.Errorf("save how far events were relayed: %w", err)
	}
	p.at = at
	return nil
}
