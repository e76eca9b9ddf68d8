package engine

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/store"
)

// How long the fetcher leaves a queue alone.
const (
	pausedRecheck = 500 * time.Millisecond // a paused queue gives no sign when it is resumed
	faultBackoff  = 500 * time.Millisecond // at first, after an error of Redis; doubled up to the next line
	faultLimit    = 5 * time.Second
)

// fetcher takes tasks out of the queues, as many as there is room for.
type fetcher struct {
	engine    *Engine
	registry  *registry
	heartbeat *heartbeat
	slots     *slots
	idle      *idle
	blocking  redis.UniversalClient // for calls that block; closed when the worker stops
	claims    *claims
	dequeue   func(context.Context, keys.Queue, store.Wanted) (store.Batch, error)
	logger    *slog.Logger

	resting  map[keys.Queue]rest      // queues that are not to be asked for a while
	drained  map[keys.Queue]time.Time // when a queue last had less than it was asked for
	hindered rest                     // of the last call that awaited tasks, if it failed
	parked   map[keys.Queue]*parked   // what was set aside
}

// parkedEvery is how often a queue's tasks of unknown types are told of. They are looked at every two seconds.
const parkedEvery = time.Minute

// parked is how often tasks were set aside since that was told.
type parked struct {
	count int
	told  time.Time
}

// rest is a pause in asking one queue, be it paused or out of reach. The others are served meanwhile.
type rest struct {
	until  time.Time
	length time.Duration // after an error of Redis
}

func (f *fetcher) run(ctx context.Context) error {
	f.resting, f.drained, f.parked = make(map[keys.Queue]rest), make(map[keys.Queue]time.Time), make(map[keys.Queue]*parked)
	for {
		room := f.slots.acquire(ctx)
		if room == 0 {
			return nil // asked to stop
		}
		started, waited := f.fetch(ctx, room), false
		if started == 0 {
			started, waited = f.await(ctx, room)
		}
		f.slots.release(room - started)
		if ctx.Err() != nil {
			return nil
		}
		if started == 0 && !waited {
			f.wait(ctx)
		}
	}
}

// fetch asks the queues for as many tasks as there is room for, starts what it gets, and returns how many that are.
func (f *fetcher) fetch(ctx context.Context, room int) (started int) {
	order := f.promising(f.order())
	if f.engine.Strict || len(order) == 1 {
		return f.inTurn(ctx, order, room)
	}
	return f.together(ctx, order, room)
}

// drainedFor is how long a queue that had less than it was asked for is not asked again, as long as others may have more: a
// worker of many queues, most of them empty, would spend its calls on those.
const drainedFor = aheadTime

// promising leaves out the queues that rest, and those that were drained just now unless all were. Where the order is
// strict, a queue that was drained may have the most urgent task by now.
func (f *fetcher) promising(order []keys.Queue) []keys.Queue {
	now := time.Now()
	awake := slices.DeleteFunc(slices.Clone(order), func(q keys.Queue) bool { return now.Before(f.resting[q].until) })
	if f.engine.Strict {
		return awake
	}
	full := slices.DeleteFunc(slices.Clone(awake), func(q keys.Queue) bool { return now.Sub(f.drained[q]) < drainedFor })
	if len(full) == 0 {
		return awake
	}
	return full
}

// inTurn asks one queue after the other, each for all that those before it have left.
func (f *fetcher) inTurn(ctx context.Context, order []keys.Queue, room int) (started int) {
	for _, q := range order {
		if started == room || ctx.Err() != nil {
			break
		}
		started += f.start(f.take(ctx, f.ask(ctx, q, room-started, f.dequeue)))
	}
	return started
}

// togetherFor is how long the answers of queues that were asked side by side are awaited, to start them together. What comes
// later is started as it comes: a queue may lie on a node that is away.
const togetherFor = aheadTime

// together asks queues side by side, each for its share. Those for which there was no room are asked for what the first ones
// leave.
func (f *fetcher) together(ctx context.Context, order []keys.Queue, room int) (started int) {
	for started < room && len(order) > 0 && ctx.Err() == nil {
		shares := f.shares(room-started, order)
		asked := order[:len(shares)]
		order = order[len(shares):]
		answers := make(chan answer, len(shares))
		go func() {
			calls := newCalls()
			for i, tasks := range shares {
				calls.Go(func() error {
					answers <- f.ask(ctx, asked[i], tasks, f.dequeue)
					return nil
				})
			}
		}()
		late, overdue := time.NewTimer(togetherFor), false
		var taken [][]*attempt
		for missing := len(shares); missing > 0; {
			select {
			case a := <-answers:
				missing--
				taken = append(taken, f.take(ctx, a)) // whose leases are kept alive from here on
			case <-late.C:
				overdue = true
			}
			if overdue || missing == 0 {
				started += f.start(interleaved(taken))
				taken = nil
			}
		}
		late.Stop()
	}
	return started
}

// answer is what a queue said to a call that asked it for tasks.
type answer struct {
	queue keys.Queue
	want  store.Wanted
	asked time.Time
	batch store.Batch
	err   error
}

// ask leases up to so many tasks of one queue by a call.
func (f *fetcher) ask(
	ctx context.Context, q keys.Queue, tasks int, call func(context.Context, keys.Queue, store.Wanted) (store.Batch, error),
) answer {
	a := answer{queue: q, asked: time.Now()}
	a.want = store.Wanted{Tasks: tasks, Lease: f.engine.Lease, Worker: f.engine.name, Types: f.engine.types, Nonce: store.NewNonce()}
	a.batch, a.err = call(context.WithoutCancel(ctx), q, a.want) // a call under way may have leased tasks: hear its answer
	return a
}

// start starts attempts and returns how many they are.
func (f *fetcher) start(attempts []*attempt) int {
	if len(attempts) > 0 {
		f.slots.start(attempts)
	}
	return len(attempts)
}

// take makes attempts of an answer, and leaves the queue alone for a while if it is paused, drained or out of reach.
func (f *fetcher) take(ctx context.Context, a answer) []*attempt {
	if a.err != nil {
		f.claims.doubt(a.queue, a.want, a.asked, a.err)
		f.backOff(ctx, a.queue, a.err)
		return nil
	}
	delete(f.resting, a.queue)
	if a.batch.Paused {
		f.resting[a.queue] = rest{until: time.Now().Add(pausedRecheck)}
		return nil
	}
	f.tell(ctx, a.queue, a.batch)
	if a.batch.Popped < a.want.Tasks {
		f.drained[a.queue] = time.Now()
	}
	if a.batch.Popped > len(a.batch.Leases) { // there may be more behind what was set aside
		f.idle.ring()
	}
	if len(a.batch.Leases) == 0 {
		return nil
	}
	f.heartbeat.received(a.asked)
	return f.registry.add(a.batch.Leases, f.engine.handler, a.asked, f.engine.Lease)
}

const (
	// awaitFor is how long tasks are awaited on the connection that blocks before the usual one is asked again: after a
	// failover the two may lead to different servers for a while.
	awaitFor = 10 * time.Second
	// awaitMost bounds what one such call leases, and with it what a worker takes along that vanishes while it is idle: a
	// server that is not told of it (the host is gone, the network cut) leases to it the next tasks that come. More follow at
	// once, by the usual way.
	awaitMost = 10
)

// await waits for tasks of a worker's only queue, starts what it gets, and returns how many that are. The lease of a task
// counts from the beginning of the call that brought it, hence the short ones. Not waited: there are several queues, or the
// only one rests, and it is wait that waits.
func (f *fetcher) await(ctx context.Context, room int) (started int, waited bool) {
	if len(f.engine.queues) > 1 {
		return 0, false
	}
	q := f.engine.queues[0]
	block := max(min(blockFor, f.engine.Lease/6).Truncate(time.Millisecond), time.Millisecond)
	room = min(room, awaitMost)
	for begun := time.Now(); started == 0 && time.Since(begun) < awaitFor && ctx.Err() == nil; {
		if _, resting := f.resting[q]; resting {
			return 0, false
		}
		f.resting[q] = f.hindered // should the call fail like the last one, the rest grows
		started = f.start(f.take(ctx, f.ask(ctx, q, room, func(ctx context.Context, q keys.Queue, want store.Wanted) (store.Batch, error) {
			f.engine.meters.Awaited.Add(1)
			return f.engine.store.Await(ctx, f.blocking, q, want, block)
		})))
		f.hindered = rest{length: f.resting[q].length}
	}
	_, resting := f.resting[q]
	return started, !resting
}

// interleaved merges attempts of several queues evenly, each queue's in their order, so that those of one do not all wait
// behind those of another.
func interleaved(queues [][]*attempt) []*attempt {
	if len(queues) == 1 {
		return queues[0]
	}
	merged := make([]*attempt, len(slices.Concat(queues...)))
	done := make([]int, len(queues))
	for i := range merged {
		behind := -1 // the queue of which the smallest part is merged
		for q := range queues {
			if done[q] < len(queues[q]) && (behind < 0 || (2*done[q]+1)*len(queues[behind]) < (2*done[behind]+1)*len(queues[q])) {
				behind = q
			}
		}
		merged[i] = queues[behind][done[behind]]
		done[behind]++
	}
	return merged
}

// backOff leaves a queue alone after an error, for twice as long as after the last one.
func (f *fetcher) backOff(ctx context.Context, q keys.Queue, err error) {
	length := min(max(2*f.resting[q].length, faultBackoff), faultLimit)
	wait := length/2 + rand.N(length/2)
	f.resting[q] = rest{until: time.Now().Add(wait), length: length}
	if ctx.Err() == nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, redis.ErrClosed) { // otherwise the worker stops
		f.engine.meters.FetchesFailed.Add(1)
		f.logger.WarnContext(ctx, "no tasks fetched", "queue", q, "error", err, "retry_in", wait)
	}
}

// wait returns when some queue may have a task. Queues that rest are not watched but asked again when their time has come:
// a paused queue's tasks would end every wait at once.
func (f *fetcher) wait(ctx context.Context) {
	limit := time.Minute
	awake := make([]keys.Queue, 0, len(f.engine.queues))
	for _, q := range f.engine.queues {
		if r, resting := f.resting[q]; resting {
			limit = min(limit, time.Until(r.until))
		} else {
			awake = append(awake, q)
		}
	}
	f.idle.wait(ctx, awake, limit)
}

func (f *fetcher) tell(ctx context.Context, q keys.Queue, b store.Batch) {
	if b.Ghosts > 0 {
		f.logger.WarnContext(ctx, "dropped IDs without a task", "queue", q, "count", b.Ghosts)
	}
	if b.Parked > 0 {
		if f.parked[q] == nil {
			f.parked[q] = &parked{}
		}
		p := f.parked[q]
		if p.count += b.Parked; time.Since(p.told) >= parkedEvery {
			f.logger.WarnContext(ctx, "set tasks aside that this worker has no handler for", "queue", q, "times", p.count)
			*p = parked{told: time.Now()}
		}
	}
	if b.Broken > 0 {
		f.logger.ErrorContext(ctx, "left tasks alone whose message does not decode", "queue", q, "count", b.Broken)
	}
}

// order returns the queues in the order in which they are asked this time. Strict: by weight. Otherwise random, a queue
// of weight 3 coming before one of weight 1 three times out of four (Efraimidis and Spirakis, "Weighted random sampling
// with a reservoir", 2006).
func (f *fetcher) order() []keys.Queue {
	queues := f.engine.queues
	if len(queues) == 1 {
		return queues
	}
	rank := make(map[keys.Queue]float64, len(queues))
	for _, q := range queues {
		weight := float64(f.engine.Queues[string(q)])
		if rank[q] = weight; !f.engine.Strict {
			rank[q] = -rand.ExpFloat64() / weight
		}
	}
	queues = slices.Clone(queues)
	if f.engine.Strict { // those of equal weight, such as the partitions of one queue, take turns
		rand.Shuffle(len(queues), func(i, j int) { queues[i], queues[j] = queues[j], queues[i] })
	}
	slices.SortStableFunc(queues, func(a, b keys.Queue) int {
		switch {
		case rank[a] > rank[b]:
			return -1
		case rank[a] < rank[b]:
			return 1
		}
		return 0
	})
	return queues
}

// shares divides the room between the first queues of an order by their weights, at least one task for each as far as it
// goes.
func (f *fetcher) shares(room int, order []keys.Queue) (shares []int) {
	weights := 0
	for _, q := range order {
		weights += f.engine.Queues[string(q)]
	}
	for _, q := range order {
		if room == 0 {
			break
		}
		weight := f.engine.Queues[string(q)]
		share := (room*weight + weights - 1) / weights // of what is left
		shares = append(shares, share)
		room, weights = room-share, weights-weight
	}
	return shares
}
