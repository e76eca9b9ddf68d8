package events

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redisfault"
	"github.com/seri-queue/seri/internal/store"
)

// listenFor bounds a wait for a message, so that a connection whose peer is gone is noticed by what is written to it.
const listenFor = time.Second

// underway is how long what was published may be on its way, through the nodes of a cluster and to a gateway that is busy.
const underway = 2 * time.Second

// numbered is the ID of the entry of a number. Entries that follow each other have numbers that do.
func numbered(number uint64) EntryID { return EntryID{number / 1000, number % 1000} }

// published is what is published in Redis, and not kept there.
type published struct {
	*mirror
	redisStreams // for the names of queues, and its connections
	carrier      store.Carrier

	goals  map[string]EntryID // how far each queue was published when goals were set last; nil: never yet
	goalAt time.Time          // when that was
}

// broadcast returns the transport of a carrier that publishes.
func broadcast(read redisStreams, c store.Carrier) Transport {
	p := &published{mirror: newMirror(), redisStreams: read, carrier: c}
	return Transport{Name: string(c), Promises: Promises{Resume: ReachPeers}, streams: p, feed: p.feed, grew: p.grew}
}

// Queues implements streams.
func (p *published) Queues(ctx context.Context) ([]string, error) { return p.mirror.Queues(ctx) }

// Follow implements streams.
func (p *published) Follow(ctx context.Context, queue string, after EntryID, limit int, wait time.Duration) ([]entry, error) {
	return p.mirror.Follow(ctx, queue, after, limit, wait)
}

// Range implements streams.
func (p *published) Range(ctx context.Context, queue string, from EntryID, limit int) ([]entry, error) {
	return p.mirror.Range(ctx, queue, from, limit)
}

// Look implements streams.
func (p *published) Look(ctx context.Context, queue string, id EntryID) (view, error) {
	return p.mirror.Look(ctx, queue, id)
}

// Close implements streams.
func (p *published) Close() error { return p.redisStreams.Close() }

// End implements streams: a snapshot may show what has not been heard yet.
func (p *published) End(ctx context.Context, queue string, _ EntryID) (EntryID, error) {
	ends, err := p.ends(ctx, []string{queue})
	return ends[queue], err
}

// ends returns how far queues have been published.
func (p *published) ends(ctx context.Context, queues []string) (map[string]EntryID, error) {
	asked := make([]*redis.StringCmd, len(queues))
	_, err := p.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i, q := range queues {
			asked[i] = pipe.Get(ctx, keys.Queue(q).Published())
		}
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("read how far events were published: %w", redisfault.Mark(err))
	}
	ends := make(map[string]EntryID, len(queues))
	for i, q := range queues {
		number, err := asked[i].Uint64()
		switch {
		case errors.Is(err, redis.Nil):
		case err != nil:
			return nil, fmt.Errorf("read how far the events of queue %q were published: %w", q, redisfault.Mark(err))
		default:
			ends[q] = numbered(number)
		}
	}
	return ends, nil
}

// feed listens until ctx ends, and compares what it hears with what was published.
func (p *published) feed(ctx context.Context, logger *slog.Logger, nudge <-chan struct{}) {
	var listeners sync.WaitGroup
	defer listeners.Wait()
	listen := func(queue string) {
		heard := make(chan struct{})
		var once sync.Once
		listeners.Go(func() { p.listen(ctx, logger, queue, func() { once.Do(func() { close(heard) }) }) })
		select { // or what is published until then would have to be announced as missing
		case <-heard:
		case <-ctx.Done():
		case <-time.After(listenFor):
		}
	}
	if p.carrier == store.PubSub {
		listen("")
	}
	listening := make(map[string]bool)
	tick := time.NewTicker(discovery)
	defer tick.Stop()
	retry := backoff{logger: logger}
	for ctx.Err() == nil {
		queues, err := p.redisStreams.Queues(ctx)
		for _, q := range queues {
			if p.carrier == store.ShardedPubSub && !listening[q] {
				listening[q] = true
				listen(q)
			}
		}
		if err == nil {
			err = p.compare(ctx, queues)
		}
		if err != nil {
			retry.wait(ctx, err)
			continue
		}
		retry.reset(ctx)
		p.opened()
		select {
		case <-tick.C:
		case <-nudge:
		case <-ctx.Done():
		}
	}
}

// compare looks how far each queue was published. What was published by the last goals, and has not been heard when it is
// [underway] no more, never will be; and a number that is lower than what has been heard is of another history: both end
// what the mirror has.
func (p *published) compare(ctx context.Context, queues []string) error {
	heard := make(map[string]EntryID, len(queues))
	for _, q := range queues {
		if end, known := p.end(q); known {
			heard[q] = end
		}
	}
	asked := time.Now()
	ends, err := p.ends(ctx, queues)
	if err != nil {
		return err
	}
	first, due := p.goals == nil, asked.Sub(p.goalAt) >= underway
	for _, q := range queues {
		end := ends[q]
		if end.Compare(p.goals[q]) < 0 { // of another history
			p.goals[q] = end
		}
		now, known := p.end(q)
		switch {
		case first && !known: // the past is of no concern
			p.align(q, end)
		case end.Compare(heard[q]) < 0:
			p.align(q, end)
		case due && now.Compare(p.goals[q]) < 0:
			p.align(q, p.goals[q])
		}
	}
	if due {
		p.goals, p.goalAt = ends, time.Now()
	}
	return nil
}

// listen takes what is published about one queue or, where that is empty, about all, until ctx ends. Each time that it
// begins to hear, it calls heard.
func (p *published) listen(ctx context.Context, logger *slog.Logger, queue string, heard func()) {
	retry := backoff{logger: logger.With("transport", string(p.carrier), "queue", queue)}
	for ctx.Err() == nil {
		var messages *redis.PubSub
		if queue == "" {
			messages = p.blocked.PSubscribe(ctx, keys.AllLive)
		} else {
			messages = p.blocked.SSubscribe(ctx, keys.Queue(queue).Live())
		}
		err := p.hear(ctx, messages, heard, retry.reset)
		messages.Close()
		retry.wait(ctx, err)
	}
}

// hear takes messages until the connection fails.
func (p *published) hear(ctx context.Context, messages *redis.PubSub, heard func(), well func(context.Context)) error {
	defer context.AfterFunc(ctx, func() { messages.Close() })()
	unanswered := 0
	for {
		message, err := messages.ReceiveTimeout(ctx, listenFor)
		if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() && unanswered < 3 {
			unanswered++
			if err := messages.Ping(ctx); err != nil {
				return fmt.Errorf("listen to events: %w", redisfault.Mark(err))
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("listen to events: %w", redisfault.Mark(err))
		}
		unanswered = 0
		switch m := message.(type) {
		case *redis.Subscription:
			if m.Kind == "sunsubscribe" { // the slot has gone to another node
				return errors.New("listen to events: the queue has moved to another node")
			}
			heard()
			well(ctx)
		case *redis.Message:
			queue, ours := keys.OfLive(m.Channel)
			e, ok := store.DecodePublished(m.Payload)
			if !ours || !ok {
				continue
			}
			after := numbered(e.Number - 1)
			if e.First {
				after = EntryID{}
			}
			p.append(string(queue), after, entry{id: numbered(e.Number), text: e.Entry})
		}
	}
}
