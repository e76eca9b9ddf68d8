//go:build linux

package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/bench/live/crowd"
	"github.com/seri-queue/seri/client"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/wire"
)

const (
	taskType = "video.render"
	// perCommit is how many events stand in an entry of the stream: about as many as in one of a busy worker.
	perCommit = 20
	// streamEntries bounds the stream, so that nothing that is measured is trimmed meanwhile.
	streamEntries = 1_000_000
)

// publisher appends events to the stream as Seri's scripts do.
type publisher struct {
	rdb   *redis.Client
	tasks []member
	topic member
	entry []byte // gathered, to be committed
	held  int    // events in it
}

// member is a task that somebody watches.
type member struct {
	about string // its fields in an event
	seq   uint64
}

// newPublisher enqueues the tasks of so many members, and the one that all watch.
func newPublisher(ctx context.Context, rdb *redis.Client, members int) (*publisher, error) {
	p := &publisher{rdb: rdb, tasks: make([]member, members), topic: member{wire.About(crowd.Topic, taskType, ""), 1}}
	messages := make([]seri.Message, 0, members+1)
	for i := range members + 1 {
		id := crowd.Topic
		if i < members {
			id = crowd.Task(i)
			p.tasks[i] = member{wire.About(id, taskType, ""), 1}
		}
		m, err := seri.NewMessage(taskType, []byte(`{}`), seri.Queue(crowd.Queue), seri.ID(id))
		if err != nil {
			return nil, err
		}
		messages = append(messages, m)
	}
	for _, err := range client.New(rdb, client.Config{}).EnqueueBatch(ctx, messages) {
		if err != nil {
			return nil, fmt.Errorf("enqueue the tasks that are watched: %w", err)
		}
	}
	return p, nil
}

// add gathers an event of a task: progress, or its end. It bears the time of now.
func (p *publisher) add(m *member, ends bool) {
	if p.held == 0 {
		p.entry = append(p.entry[:0], '[')
	} else {
		p.entry = append(p.entry, ',')
	}
	m.seq++
	p.held++
	now := time.Now()
	b := append(p.entry, `{"seq":`...)
	b = strconv.AppendUint(b, m.seq, 10)
	b = append(b, `,"at":`...)
	b = strconv.AppendInt(b, now.UnixMilli(), 10)
	b = append(b, ',')
	if ends {
		b = append(b, wire.SucceededEvent(m.about, 1, 1)...)
		b = append(b, '"')
		b = append(crowd.Stamp(b, now), `"}}`...)
	} else {
		b = append(b, `"kind":"progress",`...)
		b = append(b, m.about...)
		b = append(b, `,"data":{"done":37,"total":100,"message":"`...)
		b = append(crowd.Stamp(b, now), `"}}`...)
	}
	p.entry = b
}

// commit writes what was gathered, as one entry.
func (p *publisher) commit(ctx context.Context) error {
	if p.held == 0 {
		return nil
	}
	p.held = 0
	err := p.rdb.XAdd(ctx, &redis.XAddArgs{
		Stream: keys.Queue(crowd.Queue).Events(), MaxLen: streamEntries, Approx: true, Values: []any{"e", append(p.entry, ']')},
	}).Err()
	if err != nil {
		return fmt.Errorf("append events: %w", err)
	}
	return nil
}

// steadily adds so many events, at a rate, and commits them within a millisecond.
func (p *publisher) steadily(ctx context.Context, rate, events int, add func(n int)) error {
	begun := time.Now()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for n := 0; ; {
		for due := min(events, int(time.Since(begun).Seconds()*float64(rate))); n < due; n++ {
			add(n)
			if p.held == perCommit {
				if err := p.commit(ctx); err != nil {
					return err
				}
			}
		}
		if err := p.commit(ctx); err != nil || n == events {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// plainEvent is an event of progress as a gateway writes it.
func plainEvent(seq uint64, at time.Time) ([]byte, error) {
	e := seri.Event{Kind: seri.EventProgress, Task: crowd.Topic, Type: taskType, Queue: crowd.Queue, Seq: seq, Time: at}
	e.Data.Progress = &seri.ProgressInfo{Done: 37, Total: 100, Message: string(crowd.Stamp(nil, at))}
	position := fmt.Sprintf("%d-0:0", at.UnixMilli())
	text, err := wire.AppendCloudEvent(nil, &e, position)
	if err != nil {
		return nil, err
	}
	return wire.WithCursor(text, crowd.Queue+"@"+position), nil
}
