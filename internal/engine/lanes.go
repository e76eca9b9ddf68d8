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

// laneLength is how many outcomes wait at most behind a call that is late, and laneBytes what their results may take. Then the
// others wait, too: a worker that takes on work whose outcomes it cannot write has to stop somewhere.
const (
	laneLength = 10 * store.MaxBatch
	laneBytes  = 16 << 20
)

// group is what can be written in one call.
type group struct {
	queue keys.Queue
	kind  outcomeKind
}

// lanes keep a queue whose node does not answer from holding up the outcomes of others: what comes for it waits behind the
// call that is under way.
//
// At most [callsAtOnce] calls of a batch are under way that are not late yet. Those that are late are not counted: there is one
// at most for each queue and kind of outcome, and in a Cluster their connections are those of the node that does not answer,
// which has a pool of its own. A bound on them would stop the outcomes of all nodes once one with that many queues hangs.
type lanes struct {
	calls sync.WaitGroup

	mu      sync.Mutex
	waiting map[group]*lane // there for each call that is under way, even if nothing waits behind it
	shorter *sync.Cond      // a lane has become shorter
}

// lane is what waits behind a call.
type lane struct {
	outcomes []outcome
	bytes    int // of their results
}

func (l *lane) full() bool { return len(l.outcomes) > laneLength || l.bytes > laneBytes }

func newLanes() *lanes {
	l := &lanes{waiting: make(map[group]*lane)}
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
		permitted := permits.Acquire(wait, 1) == nil // if not, those that have a permit are late, and hold nobody up any longer
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
	for l.waiting[g] != nil && l.waiting[g].full() {
		l.shorter.Wait()
	}
	behind := l.waiting[g]
	if behind == nil {
		l.waiting[g] = new(lane)
		return false
	}
	behind.outcomes = append(behind.outcomes, outcomes...)
	for _, o := range outcomes {
		behind.bytes += len(o.result)
	}
	return true
}

// next takes what waits in a lane, as much as fits into one call, and ends the lane if it is empty.
func (l *lanes) next(g group) []outcome {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.shorter.Broadcast()
	behind := l.waiting[g]
	if len(behind.outcomes) == 0 {
		delete(l.waiting, g)
		return nil
	}
	n := min(len(behind.outcomes), store.MaxBatch)
	taken := behind.outcomes[:n:n]
	behind.outcomes = behind.outcomes[n:]
	for _, o := range taken {
		behind.bytes -= len(o.result)
	}
	return taken
}

// wait returns when all is settled.
func (l *lanes) wait() { l.calls.Wait() }
