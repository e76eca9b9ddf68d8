package floor

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/bench/load"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/store"
)

// Shape is what is replayed.
type Shape struct {
	Tasks     int
	Batch     int // tasks in a call
	Window    int // calls on their way at once; 0: 1
	Payload   int // bytes
	Result    int // bytes; 0: none
	Retention time.Duration
	DueIn     time.Duration // tasks are due so long after they are stored; 0: at once
	StoreOnly bool          // nothing is measured but their enqueueing
}

// Times is how long the parts of a replay took, all tasks together.
type Times struct {
	Enqueue, Forward, Dequeue, Complete time.Duration
}

// queue is where replays happen.
const queue keys.Queue = "floor"

// Replay empties Redis and runs the scripts of one life of all tasks: stored, taken, completed. It goes in rounds of some
// thousand tasks, so that no more are active than a few workers would have.
func Replay(ctx context.Context, addr string, shape Shape) (Times, error) {
	r, err := newReplay(ctx, addr, shape)
	if err != nil {
		return Times{}, err
	}
	defer r.close()
	if err := r.enqueue(ctx); err != nil {
		return r.times, fmt.Errorf("floor of enqueue: %w", err)
	}
	if shape.StoreOnly {
		return r.times, nil
	}
	if shape.DueIn > 0 {
		if err := r.forward(ctx); err != nil {
			return r.times, fmt.Errorf("floor of forward: %w", err)
		}
	}
	for left := shape.Tasks; left > 0; {
		some := min(left, max(2000, r.shape.Batch))
		if err := r.drain(ctx, some); err != nil {
			return r.times, fmt.Errorf("floor of a drain: %w", err)
		}
		left -= some
	}
	return r.times, nil
}

type replay struct {
	shape Shape
	rdb   *redis.Client
	store *store.Store
	line  *line
	times Times
}

func newReplay(ctx context.Context, addr string, shape Shape) (*replay, error) {
	shape.Batch = min(max(shape.Batch, 1), store.MaxBatch)
	shape.Window = max(shape.Window, 1)
	rdb := redis.NewClient(&redis.Options{Addr: addr, MaxRetries: -1})
	r := &replay{shape: shape, rdb: rdb}
	// Every script runs once in earnest, so that Redis knows it.
	if err := r.load(ctx); err != nil {
		rdb.Close()
		return nil, err
	}
	var err error
	if r.line, err = dial(addr); err != nil {
		rdb.Close()
		return nil, err
	}
	rdb.AddHook(recorder{})
	r.store = store.New(rdb, store.Config{})
	return r, nil
}

func (r *replay) close() {
	_ = r.line.conn.Close()
	_ = r.rdb.Close()
}

func (r *replay) load(ctx context.Context) error {
	s := store.New(r.rdb, store.Config{})
	m, err := seri.NewMessage("floor:task", nil, seri.Queue(string(queue)))
	if err != nil {
		return err
	}
	if _, err := s.Enqueue(ctx, queue, []seri.Message{m}); err != nil {
		return err
	}
	if _, err := s.Forward(ctx, queue, 1); err != nil {
		return err
	}
	batch, err := s.Dequeue(ctx, queue, r.wanted(1))
	if err != nil {
		return err
	}
	for i := range batch.Leases {
		if _, err := s.Complete(ctx, queue, []store.Completion{{Lease: &batch.Leases[i]}}); err != nil {
			return err
		}
	}
	return r.rdb.FlushAll(ctx).Err()
}

func (r *replay) wanted(n int) store.Wanted {
	return store.Wanted{Tasks: n, Lease: 30 * time.Second, Worker: "floor:1:replay", Types: []string{"floor:task"}}
}

func (r *replay) enqueue(ctx context.Context) error {
	options := []seri.Option{seri.Queue(string(queue)), seri.Retention(r.shape.Retention)}
	if r.shape.DueIn > 0 {
		options = append(options, seri.ETA(time.Now().Add(r.shape.DueIn)))
	}
	var commands [][]byte
	for left := r.shape.Tasks; left > 0; left -= r.shape.Batch {
		messages := make([]seri.Message, min(left, r.shape.Batch))
		for i := range messages {
			var err error
			payload := `"` + load.Padding(r.shape.Payload-2) + `"`
			if messages[i], err = seri.NewMessage("floor:task", []byte(payload), options...); err != nil {
				return err
			}
		}
		call, command, err := record(ctx, func(ctx context.Context) error {
			_, err := r.store.Enqueue(ctx, queue, messages)
			return err
		})
		if err != nil {
			return err
		}
		call.drop()
		commands = append(commands, command)
	}
	var err error
	r.times.Enqueue, err = r.line.replay(commands, r.shape.Window, nil)
	return err
}

// forward waits until the tasks are due, which is not measured, and makes them startable.
func (r *replay) forward(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(r.shape.DueIn):
	}
	call, command, err := record(ctx, func(ctx context.Context) error {
		_, err := r.store.Forward(ctx, queue, store.MaxBatch)
		return err
	})
	if err != nil {
		return err
	}
	call.drop()
	r.times.Forward, err = r.line.replay(repeat(command, ceil(r.shape.Tasks, store.MaxBatch)), r.shape.Window, nil)
	return err
}

// drain takes n tasks and completes them. The store makes the calls that take, waits while they are replayed, and then
// reads the replies: so the calls that complete name the right tokens.
func (r *replay) drain(ctx context.Context, n int) error {
	batches := make([]store.Batch, ceil(n, r.shape.Batch))
	calls := make([]*call, len(batches))
	commands := make([][]byte, len(batches))
	for i := range batches {
		var err error
		if calls[i], commands[i], err = record(ctx, func(ctx context.Context) (err error) {
			batches[i], err = r.store.Dequeue(ctx, queue, r.wanted(min(n-i*r.shape.Batch, r.shape.Batch)))
			return err
		}); err != nil {
			return err
		}
	}
	var raw bytes.Buffer
	took, err := r.line.replay(commands, r.shape.Window, &raw)
	if err != nil {
		return err
	}
	r.times.Dequeue += took

	replies := bufio.NewReader(&raw)
	for i := range batches {
		reply, err := decode(replies)
		if err != nil {
			return err
		}
		if err := calls[i].finish(reply); err != nil {
			return err
		}
		if len(batches[i].Leases) == 0 {
			return fmt.Errorf("a batch of %d came back empty", r.shape.Batch)
		}
		if commands[i], err = r.completion(ctx, batches[i].Leases); err != nil {
			return err
		}
	}
	took, err = r.line.replay(commands, r.shape.Window, nil)
	r.times.Complete += took
	return err
}

// completion returns the call that completes leases.
func (r *replay) completion(ctx context.Context, leases []store.Lease) ([]byte, error) {
	completions := make([]store.Completion, len(leases))
	for i := range leases {
		completions[i] = store.Completion{Lease: &leases[i]}
		if r.shape.Result > 0 {
			completions[i].Result = []byte(`"` + load.Padding(r.shape.Result-2) + `"`)
		}
	}
	call, command, err := record(ctx, func(ctx context.Context) error {
		_, err := r.store.Complete(ctx, queue, completions)
		return err
	})
	if err != nil {
		return nil, err
	}
	call.drop()
	return command, nil
}

func repeat(command []byte, n int) [][]byte {
	commands := make([][]byte, n)
	for i := range commands {
		commands[i] = command
	}
	return commands
}

func ceil(n, step int) int { return int(math.Ceil(float64(n) / float64(step))) }
