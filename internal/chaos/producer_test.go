package chaos_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/beat"
	"github.com/seri-queue/seri/client"
)

// mixes say how often each type of task comes, in thousandths; what is left is instant. Poison comes by number: see rig.
var mixes = map[string][]struct {
	typ   string
	share int
}{
	"":       {{short, 60}, {long, 20}, {flaky, 20}, {stubborn, 2}},
	"steady": {{short, 100}},
	"chatty": {{short, 400}},
	"busy":   {{short, 300}, {long, 100}, {flaky, 20}, {stubborn, 10}},
}

// produce plays a program that hands tasks over.
func (p part) produce(ctx context.Context, on *stage) error {
	queue := client.New(on.rdb, client.Config{MaxEvents: maxEvents})
	random := rand.New(rand.NewPCG(p.Seed, uint64(os.Getpid())))
	const pace = 20 * time.Millisecond
	tick := time.NewTicker(pace)
	defer tick.Stop()
	var posting sync.WaitGroup
	places := make(chan struct{}, 512) // more are not under way at once: a Redis that is away must not fill the memory
	owed := 0.0
	for n := 0; ctx.Err() == nil; {
		select {
		case <-ctx.Done():
		case <-tick.C:
			if on.resting.Load() {
				continue
			}
			for owed += float64(p.Rate) * pace.Seconds(); owed >= 1; owed-- {
				m := p.task(random, fmt.Sprintf("%s-%d-%d", p.Name, os.Getpid(), n))
				n++
				select {
				case places <- struct{}{}:
					posting.Go(func() {
						post(on.notes, queue, m)
						<-places
					})
				default:
				}
			}
		}
	}
	posting.Wait()
	return nil
}

// task makes up a task.
func (p part) task(random *rand.Rand, id string) seri.Message {
	m := message(random, p.pick(random.IntN(1000)), id, p.Queues[random.IntN(len(p.Queues))], p.Lease)
	if random.IntN(100) < 3 {
		m.ETA = time.Now().Add(time.Duration(50+random.IntN(400)) * time.Millisecond)
	}
	return m
}

// pick returns the type that a roll of a thousand-sided die stands for.
func (p part) pick(roll int) string {
	for _, m := range mixes[p.Mix] {
		if roll -= m.share; roll < 0 {
			return m.typ
		}
	}
	return instant
}

func message(random *rand.Rand, typ, id, queue string, lease time.Duration) seri.Message {
	m := seri.Message{
		ID: id, Type: typ, Queue: queue, Headers: map[string]string{"h": secret}, MaxRetries: 25, Timeout: time.Minute,
	}
	if random.IntN(2) == 0 {
		m.Retention = time.Hour
	}
	take := time.Duration(20+random.IntN(180)) * time.Millisecond
	if typ == long || typ == stubborn {
		take = lease + time.Duration(random.Int64N(int64(lease)))
	}
	body, err := json.Marshal(payload{secret, take})
	if err != nil {
		die(err)
	}
	m.Payload = body
	return m
}

// post hands a task over. If it cannot know whether Redis has it, it asks once more under the same ID, which is harmless
// for a task that is kept when it has succeeded; the other kind would be a new one.
func post(notes *ledger, queue *client.Client, m seri.Message) {
	notes.note(noteTry, m.ID, 0, m.Type+" "+m.Queue)
	kind, err := tryPost(queue, m)
	if kind == noteUnknown && m.Retention > 0 {
		<-time.After(100 * time.Millisecond)
		again, errAgain := tryPost(queue, m)
		if again == noteStored || errors.Is(errAgain, seri.ErrConflict) {
			kind, err = noteStored, nil
		}
	}
	text := ""
	if err != nil {
		text = err.Error()
	}
	notes.note(kind, m.ID, 0, text)
}

func tryPost(queue *client.Client, m seri.Message) (kind string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	err = queue.Enqueue(ctx, m)
	switch {
	case err == nil:
		return noteStored, nil
	case strings.Contains(err.Error(), "OOM command not allowed"):
		return noteRefused, err
	}
	return noteUnknown, err
}

// beatLease is that of the lock under which the beats of a run elect their leader.
const beatLease = 500 * time.Millisecond

// periods are those of the schedules, by name. Their tasks are instant ones, and alternate between the queues.
var periods = map[string]time.Duration{"each-1s": time.Second, "each-2s": 2 * time.Second, "each-3s": 3 * time.Second}

// beat plays a beat.
func (p part) beat(ctx context.Context, on *stage) error {
	var schedules []beat.Schedule
	for name, period := range periods {
		m := message(rand.New(rand.NewPCG(0, 0)), instant, "x", p.Queues[int(period.Seconds())%len(p.Queues)], p.Lease)
		m.Retention = 0 // the record of a tick's task does not outlive it: the schedule alone must know what was fired
		s, err := beat.NewSchedule(name, "@every "+period.String(), nil, m)
		if err != nil {
			return err
		}
		schedules = append(schedules, s)
	}
	b, err := beat.New(on.rdb, schedules, beat.Config{Lease: beatLease, MaxEvents: maxEvents, Logger: on.logger()})
	if err != nil {
		return err
	}
	return b.Run(ctx)
}
