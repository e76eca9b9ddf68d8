package client

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/seri-queue/seri"
)

// flushTimeout limits one call to Redis on behalf of many producers, of whom each has a context of its own.
const flushTimeout = 10 * time.Second

// batcher merges concurrent calls: while one batch is on its way, what arrives gathers for the next one. No timer: a
// call that finds nobody on the way goes at once, alone. There is no goroutine either: the first of those that wait
// makes the call for all.
type batcher struct {
	max   int // of a batch
	flush func(context.Context, []seri.Message) ([]error, error)

	mu      sync.Mutex
	waiting []*submission
	busy    bool // somebody leads
}

type submission struct {
	message seri.Message
	err     error
	turn    chan turn
}

// turn is what a waiting submission is told, once.
type turn int

const (
	told turn = iota // err is the answer
	lead             // make the next call
)

// submit stores m and returns its own answer, whoever made the call.
func (b *batcher) submit(ctx context.Context, m seri.Message) error {
	s := &submission{message: m, turn: make(chan turn, 1)}
	b.mu.Lock()
	b.waiting = append(b.waiting, s)
	leads := !b.busy
	b.busy = true
	b.mu.Unlock()

	if !leads {
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
	}
	b.leadOne(ctx)
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

// leadOne makes one call for the first of those that wait, the caller among them, and hands the lead on.
func (b *batcher) leadOne(ctx context.Context) {
	b.mu.Lock()
	n := min(len(b.waiting), b.max)
	batch := b.waiting[:n:n]
	b.waiting = b.waiting[n:]
	b.mu.Unlock()

	messages := make([]seri.Message, n)
	for i, s := range batch {
		messages[i] = s.message
	}
	flush, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
	errs, err := b.flush(flush, messages)
	cancel()
	for i, s := range batch {
		if s.err = err; err == nil {
			s.err = errs[i]
		}
		s.turn <- told
	}

	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting) > 0 {
		b.waiting[0].turn <- lead
	} else {
		b.waiting, b.busy = nil, false
	}
}
