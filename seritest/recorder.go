package seritest

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/seri-queue/seri"
)

// Recorder is a [seri.Enqueuer] that keeps what is handed over, and runs nothing by itself.
// It refuses what a real queue would: a message that is not valid, a second task with the same ID
// ([seri.ErrConflict]), an equal task of a unique one ([seri.ErrDuplicate]). Safe for concurrent use.
type Recorder struct {
	mu       sync.Mutex
	messages []recorded
	handlers map[string]seri.Handler
	ends     map[taskKey]seri.Info
	refusal  error
}

type recorded struct {
	seri.Message
	at time.Time
}

// taskKey is what names a task: an ID is unique in its queue only.
type taskKey struct{ queue, id string }

// NewRecorder returns an empty recorder. If the test fails, it logs what was enqueued.
func NewRecorder(t testing.TB) *Recorder {
	r := &Recorder{handlers: make(map[string]seri.Handler), ends: make(map[taskKey]seri.Info)}
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		for _, m := range r.Messages() {
			t.Logf("enqueued in %s: %s %s (id %s)", m.Queue, m.Type, m.Payload, m.ID)
		}
	})
	return r
}

// Handle makes waiting for a task of these handlers' types run it: recorder.Handle(email.Welcome.HandledBy(m.SendWelcome)).
// A stub does as well as the real handler. The task runs when it is first waited for; later waits give the same end.
func (r *Recorder) Handle(handlers ...seri.Handler) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, h := range handlers {
		r.handlers[h.Type] = h
	}
}

// End sets how waiting for the task info.Queue, info.ID ends, whether it was enqueued or not: for instance with
// seri.Info{Queue: "default", ID: "t1", State: seri.Revoked, Reason: seri.ReasonExpired}. It precedes [Recorder.Handle].
func (r *Recorder) End(info seri.Info) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ends[taskKey{info.Queue, info.ID}] = info
}

// Refuse makes every later Enqueue return err, as if the queue were out of reach. nil: accept again.
func (r *Recorder) Refuse(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refusal = err
}

// Enqueue keeps m.
func (r *Recorder) Enqueue(ctx context.Context, m seri.Message) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if err := m.Validate(); err != nil {
		return err
	}

	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refusal != nil {
		return r.refusal
	}
	now := time.Now()
	for _, old := range r.messages {
		if old.Queue != m.Queue {
			continue
		}
		if old.ID == m.ID {
			return seri.ErrConflict
		}
		locked := old.UniqueFor > 0 && now.Before(old.at.Add(old.UniqueFor))
		if locked && m.UniqueFor > 0 && old.Type == m.Type && bytes.Equal(old.Payload, m.Payload) {
			return seri.ErrDuplicate
		}
	}
	r.messages = append(r.messages, recorded{m, now})
	return nil
}

// Wait returns the end that the test has set up by [Recorder.End] or [Recorder.Handle]; [seri.ErrNotFound] if it has
// set up none, or if the task was never enqueued. It never blocks on its own account.
func (r *Recorder) Wait(ctx context.Context, queue, id string) (seri.Info, error) {
	r.mu.Lock()
	key := taskKey{queue, id}
	info, ended := r.ends[key]
	at := slices.IndexFunc(r.messages, func(m recorded) bool { return m.Queue == queue && m.ID == id })
	if ended || at < 0 {
		r.mu.Unlock()
		if !ended {
			return seri.Info{}, seri.ErrNotFound
		}
		return info, nil
	}
	m := r.messages[at].Message
	h, ok := r.handlers[m.Type]
	r.mu.Unlock() // a handler may enqueue further tasks here
	if !ok {
		return seri.Info{}, seri.ErrNotFound
	}

	info = run(ctx, h, m)
	r.mu.Lock()
	defer r.mu.Unlock()
	if first, ok := r.ends[key]; ok {
		return first, nil // somebody else waited, too
	}
	r.ends[key] = info
	return info, nil
}

// run makes m's only attempt and says how it ended.
func run(ctx context.Context, h seri.Handler, m seri.Message) seri.Info {
	s := settings{ctx: ctx, attempt: 1, token: 1}
	now := time.Now()
	result, err := s.run(h, m)

	info := seri.Info{
		ID: m.ID, Type: m.Type, Queue: m.Queue, Owner: m.Owner, Payload: m.Payload, Headers: m.Headers,
		State: seri.Succeeded, Result: result,
		Attempt: 1, MaxRetries: m.MaxRetries, Timeout: m.Timeout, Deadline: m.Deadline, Expires: m.Expires, Retention: m.Retention,
		EnqueuedAt: now, StartedAt: now, FinishedAt: time.Now(),
	}
	if err != nil {
		info.State, info.Reason, info.Error, info.Result = seri.Failed, seri.ReasonExhausted, err.Error(), nil
		if seri.IsPermanent(err) {
			info.Reason = seri.ReasonPermanent
		}
	}
	return info
}

// Messages returns everything that was enqueued, in order.
func (r *Recorder) Messages() []seri.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	messages := make([]seri.Message, len(r.messages))
	for i, m := range r.messages {
		messages[i] = m.Message
	}
	return messages
}

// Args returns the arguments of every task of this type that recorder holds, in order, decoded as a handler would
// get them. Arguments that do not decode end the test.
func Args[A, R any](t testing.TB, recorder *Recorder, task *seri.Task[A, R]) []A {
	t.Helper()
	var all []A
	for _, m := range recorder.Messages() {
		if m.Type != task.Name() {
			continue
		}
		var args A
		if err := json.Unmarshal(m.Payload, &args); err != nil {
			t.Fatalf("decode arguments of %s, task %s: %v", m.Type, m.ID, err)
		}
		all = append(all, args)
	}
	return all
}
