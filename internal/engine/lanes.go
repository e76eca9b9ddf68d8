package engine

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/store"
)

// inTime is how long the calls of one batch are waited for: what a node that answers needs at most.
const inTime = 100 * time.Millisecond

// laneLength is how many outcomes wait at most behind a call that is late. Then the others wait, too: a worker that takes on
// work whose outcomes it cannot write has to stop somewhere.
const laneLength = 10 * store.MaxBatch

// group is what can be written in one call.
type group struct {
	queue keys.Queue
	kind  outcomeKind
}

// lanes keep a queue whose node does not answer from holding up the outcomes of others: what comes for it waits behind the
// call that is under way.
type lanes struct {
	calls sync.WaitGroup

	mu      sync.Mutex
	waiting map[group][]outcome // there for each call that is under way, even if nothing waits behind it
	shorter *sync.Cond          // a lane has become shorter
}

func newLanes() *lanes {
	l := &lanes{waiting: make(map[group][]outcome)}
	l.shorter = sync.NewCond(&l.mu)
	return l
}

// write settles each group, side by side, and returns when all are settled that can be [inTime].
func (l *lanes) write(ctx context.Context, groups map[group][]outcome, settle func(context.Context, group, []outcome)) {
	wait, cancel := context.WithTimeout(ctx, inTime)
	defer cancel()
	permits := semaphore.NewWeighted(callsAtOnce)
	ended := make(chan struct{}, len(groups))
	started := 0
	for g, outcomes := range groups {
		if l.join(g, outcomes) {
			continue
		}
		permitted := permits.Acquire(wait, 1) == nil // if not, those that have a permit are late, and have it for another node
		started++
		l.calls.Go(func() {
			for more := outcomes; len(more) > 0; more = l.next(g) {
				settle(ctx, g, more)
			}
			if permitted {
				permits.Release(1)
			}
			ended <- struct{}{}
		})
	}
	for range started {
		select {
		case <-ended:
		case <-wait.Done():
			return
		}
	}
}

// join has outcomes wait behind the call of their group, if one is under way. If not, the caller makes it.
func (l *lanes) join(g group, outcomes []outcome) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.waiting[g]) > laneLength {
		l.shorter.Wait()
	}
	waiting, underWay := l.waiting[g]
	l.waiting[g] = waiting
	if underWay {
		l.waiting[g] = append(waiting, outcomes...)
	}
	return underWay
}

// next takes what waits in a lane, as much as fits into one call, and ends the lane if it is empty.
func (l *lanes) next(g group) []outcome {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.shorter.Broadcast()
	all := l.waiting[g]
	if len(all) == 0 {
		delete(l.waiting, g)
		return nil
	}
	n := min(len(all), store.MaxBatch)
	l.waiting[g] = all[n:]
	return all[:n]
}

// wait returns when all is settled.
func (l *lanes) wait() { l.calls.Wait() }
