package client

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/seri-queue/seri"
)

// aloneUpTo is how many tasks may be on their way before others wait to go together. Few producers then go at once, each
// alone, as if there were no batcher; with many, the first few of a round do, and all others share one call.
const aloneUpTo = 4

// batcher merges concurrent calls: while enough is on its way, what arrives gathers for the next call. No timer: a call
// that finds little on the way goes at once. There is no goroutine either: one of those that wait makes the call for all.
type batcher struct {
	max   int // of a batch
	flush func(context.Context, []seri.Message) ([]error, error)

	mu       sync.Mutex
	waiting  []*submission
	underWay int  // tasks
	called   bool // one of those that wait has been told to make the next call, and has not taken it yet
}

type submission struct {
	message seri.Message
	err     error
	turn    chan turn // nil: it went at once
}

// turn is what a waiting submission is told, once.
type turn int

const (
	told turn = iota // err is the answer
	lead             // make the next call
)

// submit stores m and returns its own answer, whoever made the call.
func (b *batcher) submit(ctx context.Context, m seri.Message) error {
	s := &submission{message: m}
	b.mu.Lock()
	if b.underWay < aloneUpTo && len(b.waiting) == 0 {
		b.underWay++
		b.mu.Unlock()
		b.send(ctx, []*submission{s})
		return s.err
	}
	s.turn = make(chan turn, 1)
	b.waiting = append(b.waiting, s)
	b.mu.Unlock()

	select {
	case t := <-s.turn:
		if t == told {
			return s.err
		}
	case <-ctx.Done():
		if b.withdraw(s) {
			return fmt.Errorf("not stored: %w", context.Cause(ctx))
		}
		if t := <-s.turn; t == told { // it is on its way: the answer is near, and better than none
			return s.err
		}
	}
	b.send(ctx, b.take())
	return s.err
}

// withdraw takes a submission back that no call has taken yet; false if one has, or if it is to lead.
func (b *batcher) withdraw(s *submission) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.Index(b.waiting, s)
	if i < 0 || len(s.turn) > 0 {
		return false
	}
	b.waiting = slices.Delete(b.waiting, i, i+1)
	return true
}

// take returns the first of those that wait, the caller among them.
func (b *batcher) take() []*submission {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := min(len(b.waiting), b.max)
	batch := b.waiting[:n:n]
	b.waiting = b.waiting[n:]
	b.underWay += n
	b.called = false
	return batch
}

// send makes one call for a batch, and hands the lead on.
func (b *batcher) send(ctx context.Context, batch []*submission) {
	messages := make([]seri.Message, len(batch))
	for i, s := range batch {
		messages[i] = s.message
	}
	errs, err := b.flush(context.WithoutCancel(ctx), messages) // for others, too: each has a context of its own
	for i, s := range batch {
		if s.err = err; err == nil {
			s.err = errs[i]
		}
		if s.turn != nil {
			s.turn <- told
		}
	}

	b.mu.Lock()
	defer b.mu.Unlock()
	b.underWay -= len(batch)
	if len(b.waiting) > 0 && b.underWay < aloneUpTo && !b.called {
		b.called = true
		b.waiting[0].turn <- lead
	}
}
