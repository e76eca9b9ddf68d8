package client_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/client"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redistest"
)

// divided returns a client that divides a queue of the test's own into n partitions.
func divided(t *testing.T, rdb redis.UniversalClient, n int) (c *client.Client, queue string, ctx context.Context) {
	t.Helper()
	queue = redistest.Queue(t)
	return client.New(rdb, client.Config{Partitions: map[string]int{queue: n}}), queue, within(t, 30*time.Second)
}

// partitionsOf counts the pending tasks of each partition.
func partitionsOf(t *testing.T, c *client.Client, queue string) (pending []int) {
	t.Helper()
	info, err := c.Queue(t.Context(), queue)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range info.Partitions {
		pending = append(pending, p.Pending)
	}
	return pending
}

func TestTasksOfADividedQueueAreSpreadAndFound(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) {
		c, queue, ctx := divided(t, rdb, 4)
		var batch []seri.Message
		for i := range 100 {
			batch = append(batch, newMessage(t, queue, seri.ID(fmt.Sprint("task-", i))))
		}
		for i, err := range c.EnqueueBatch(ctx, batch[:90]) {
			if err != nil {
				t.Fatalf("task %d: %v", i, err)
			}
		}
		for _, m := range batch[90:] {
			if err := c.Enqueue(ctx, m); err != nil {
				t.Fatal(err)
			}
		}

		info, err := c.Queue(ctx, queue)
		if err != nil || info.Name != queue || info.Pending != 100 || info.Latency == 0 || len(info.Partitions) != 4 {
			t.Fatalf("the queue is %+v, %v", info, err)
		}
		for i, p := range info.Partitions {
			if p.Name != string(keys.Queue(queue).Partition(i)) || p.Pending < 10 {
				t.Errorf("partition %d is %+v", i, p)
			}
		}
		for _, m := range batch {
			for how, find := range map[string]func() (seri.Info, error){
				"in its queue": func() (seri.Info, error) { return c.Task(ctx, queue, m.ID) },
				"by its ID":    func() (seri.Info, error) { return c.Find(ctx, m.ID) },
			} {
				// IDs repeat in other tests' queues on the shared cluster, so only this queue's are looked at by ID.
				if info, err := find(); err != nil || info.ID != m.ID || how == "in its queue" && info.Queue != queue {
					t.Fatalf("task %s, looked for %s: %+v, %v", m.ID, how, info, err)
				}
			}
		}
		several, err := c.TasksByID(ctx, queue, "task-7", "other", "task-95", "task-7", "task-3")
		var got []string
		for _, info := range several {
			got = append(got, info.Queue+"/"+info.ID)
		}
		if want := []string{queue + "/task-7", queue + "/task-95", queue + "/task-3"}; err != nil || !slices.Equal(got, want) {
			t.Errorf("several tasks by ID: %v, %v, want %v", got, err, want)
		}
		if errs := c.EnqueueBatch(ctx, batch); slices.ContainsFunc(errs, func(err error) bool { return !errors.Is(err, seri.ErrConflict) }) {
			t.Errorf("the same tasks again: %v", errs)
		}
		if _, err := c.Task(ctx, queue, "other"); !errors.Is(err, seri.ErrNotFound) {
			t.Errorf("a task that is not there: %v", err)
		}
	})
}

func TestTasksOfOneKeyShareAPartition(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) {
		c, queue, ctx := divided(t, rdb, 8)
		for range 20 {
			if err := c.Enqueue(ctx, newMessage(t, queue, seri.PartitionKey("user:42"))); err != nil {
				t.Fatal(err)
			}
		}
		mine := newMessage(t, queue, seri.PartitionKey("user:42"), seri.ID("mine"))
		if err := c.Enqueue(ctx, mine); err != nil {
			t.Fatal(err)
		}

		if got := partitionsOf(t, c, queue); !slices.Equal(got, []int{0, 0, 0, 0, 0, 0, 21, 0}) {
			t.Errorf("pending tasks by partition: %v", got)
		}
		if info, err := c.Task(ctx, queue, "mine"); err != nil || info.Queue != queue || info.Partition != 6 {
			t.Errorf("a task of the key: %+v, %v", info, err)
		}
		if err := c.Enqueue(ctx, mine); !errors.Is(err, seri.ErrConflict) {
			t.Errorf("the same task again: %v", err)
		}
		if info, err := c.Revoke(ctx, queue, "mine"); err != nil || info.State != seri.Revoked || info.Queue != queue || info.Partition != 6 {
			t.Errorf("revoked: %+v, %v", info, err)
		}
		if info, err := c.Wait(ctx, queue, "mine"); err != nil || info.State != seri.Revoked || info.Queue != queue || info.Partition != 6 {
			t.Errorf("waited for: %+v, %v", info, err)
		}
	})
}

func TestEqualTasksExcludeEachOtherInADividedQueue(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) {
		c, queue, ctx := divided(t, rdb, 8)
		enqueue := func(payload string) error {
			m, err := seri.NewMessage("test:task", []byte(payload), seri.Queue(queue), seri.UniqueFor(time.Hour))
			if err != nil {
				t.Fatal(err)
			}
			return c.Enqueue(ctx, m)
		}
		for i := range 20 {
			if err := enqueue(fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
			if err := enqueue(fmt.Sprint(i)); !errors.Is(err, seri.ErrDuplicate) {
				t.Errorf("an equal task: %v", err)
			}
		}
	})
}

func TestADividedQueueKeepsWhatIsInIt(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) {
		queue, ctx := redistest.Queue(t), within(t, 30*time.Second)
		before := client.New(rdb, client.Config{})
		for i := range 10 {
			if err := before.Enqueue(ctx, newMessage(t, queue, seri.ID(fmt.Sprint("old-", i)))); err != nil {
				t.Fatal(err)
			}
		}

		c := client.New(rdb, client.Config{Partitions: map[string]int{queue: 4}})

		for i := range 10 {
			if info, err := c.Task(ctx, queue, fmt.Sprint("old-", i)); err != nil || info.Partition != 0 {
				t.Errorf("a task from before: %+v, %v", info, err)
			}
		}
		if info, err := c.Queue(ctx, queue); err != nil || info.Pending != 10 || info.Partitions[0].Pending != 10 {
			t.Errorf("the queue: %+v, %v", info, err)
		}
	})
}

func TestPagesGoThroughAllPartitionsInOrder(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) {
		c, queue, ctx := divided(t, rdb, 3)
		due := time.Now().Add(time.Hour).Truncate(time.Second)
		var want []string
		for i := range 50 {
			id := fmt.Sprint("task-", i)
			want = append(want, id)
			if err := c.Enqueue(ctx, newMessage(t, queue, seri.ID(id), seri.ETA(due.Add(time.Duration(i)*time.Second)))); err != nil {
				t.Fatal(err)
			}
		}
		for _, limit := range []int{1, 7, 50, 1000} {
			var got []string
			cursor, pages := "", 0
			for more := true; more; more = cursor != "" {
				tasks, next, err := c.Page(ctx, queue, seri.Scheduled, cursor, limit)
				if err != nil {
					t.Fatal(err)
				}
				for _, info := range tasks {
					if info.Queue != queue {
						t.Errorf("a task of %q", info.Queue)
					}
					got = append(got, info.ID)
				}
				cursor = next
				if pages++; pages > 60 {
					t.Fatal("the pages do not end")
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("in pages of %d: %v", limit, got)
			}
		}
		for _, cursor := range []string{"0", "0.0", "0.0.0.0", "0.0.-1", "a.b.c", "..", "x.x"} {
			if _, _, err := c.Page(ctx, queue, seri.Scheduled, cursor, 10); err == nil || !strings.Contains(err.Error(), "cursor") {
				t.Errorf("cursor %q: %v", cursor, err)
			}
		}
		if _, _, err := c.Page(ctx, queue, "lost", "", 10); err == nil {
			t.Error("a state that there is not was accepted")
		}
	})
}

func TestPauseAndResumeReachEveryPartition(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) {
		c, queue, ctx := divided(t, rdb, 4)
		for _, do := range []func(context.Context, string) error{c.Pause, c.Resume} {
			if err := do(ctx, queue); !errors.Is(err, seri.ErrNotFound) {
				t.Errorf("a queue that is not there yet: %v", err)
			}
		}
		if _, err := c.Queue(ctx, queue); !errors.Is(err, seri.ErrNotFound) {
			t.Errorf("a queue that is not there yet: %v", err)
		}
		if err := c.Enqueue(ctx, newMessage(t, queue, seri.PartitionKey("user:42"))); err != nil { // one partition of the four
			t.Fatal(err)
		}
		for _, paused := range []bool{true, false} {
			do := c.Resume
			if paused {
				do = c.Pause
			}
			for range 2 { // the second changes nothing
				if err := do(ctx, queue); err != nil {
					t.Fatal(err)
				}
			}
			info, err := c.Queue(ctx, queue)
			if err != nil || info.Paused != paused || info.Pending != 1 {
				t.Errorf("paused %t: %+v, %v", paused, info, err)
			}
			for _, p := range info.Partitions {
				if p.Paused != paused {
					t.Errorf("paused %t: partition %+v", paused, p)
				}
			}
		}
		queues, err := c.Queues(ctx)
		named := 0
		for _, q := range queues {
			if strings.HasPrefix(q.Name, queue) {
				named++
			}
		}
		if err != nil || named != 1 {
			t.Errorf("the queue is listed %d times: %+v, %v", named, queues, err)
		}
	})
}

func TestWhoDividesAQueueOtherwiseIsRefused(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) {
		first, queue, ctx := divided(t, rdb, 8)
		if err := first.Declare(ctx); err != nil {
			t.Fatal(err)
		}
		same := client.New(rdb, client.Config{Partitions: map[string]int{queue: 8}})
		if err := same.Enqueue(ctx, newMessage(t, queue)); err != nil {
			t.Errorf("who declares the same: %v", err)
		}
		other := client.New(rdb, client.Config{Partitions: map[string]int{queue: 4}})
		m, batch := newMessage(t, queue), []seri.Message{newMessage(t, queue), newMessage(t, redistest.Queue(t))}
		errs := other.EnqueueBatch(ctx, batch)
		for what, err := range map[string]error{"Declare": other.Declare(ctx), "Enqueue": other.Enqueue(ctx, m), "EnqueueBatch": errs[0]} {
			refused, ok := errors.AsType[*seri.PartitionsError](err)
			if !ok || refused.Queue != queue || refused.Declared != 4 || refused.OnRecord != 8 || !strings.Contains(err.Error(), "SERI_PARTITIONS="+queue+"=8") {
				t.Errorf("%s: %v", what, err)
			}
		}
		if errs[1] != nil {
			t.Errorf("a task of another queue: %v", errs[1])
		}
		if _, err := first.Task(ctx, queue, m.ID); !errors.Is(err, seri.ErrNotFound) {
			t.Errorf("a refused task is there: %v", err)
		}
	})
}

func TestAFaultOfRedisIsToldWhetherOrNotTheQueueIsDivided(t *testing.T) {
	t.Parallel()
	s := redistest.Exclusive(t)
	rdb := redis.NewClient(&redis.Options{Addr: s.Addr(), MaxRetries: -1, DialerRetries: 1})
	t.Cleanup(func() { _ = rdb.Close() })
	queue, ctx := redistest.Queue(t), within(t, 30*time.Second)
	for name, partitions := range map[string]map[string]int{"divided": {queue: 4}, "undivided": nil} {
		agreed := client.New(rdb, client.Config{Partitions: partitions})
		m := newMessage(t, queue)
		if err := agreed.Enqueue(ctx, m); err != nil {
			t.Fatal(err)
		}
		s.Stop()
		fresh := client.New(rdb, client.Config{Partitions: partitions}) // has not asked for the number on record
		for call, err := range map[string]error{
			"Enqueue":       agreed.Enqueue(ctx, newMessage(t, queue)),
			"first Enqueue": fresh.Enqueue(ctx, newMessage(t, queue)),
			"EnqueueBatch":  fresh.EnqueueBatch(ctx, []seri.Message{newMessage(t, queue)})[0],
			"Declare":       cmp.Or(fresh.Declare(ctx), seri.ErrUnavailable), // which asks nothing if nothing is divided
			"Task":          second(agreed.Task(ctx, queue, m.ID)),
			"Find":          second(agreed.Find(ctx, m.ID)),
			"TasksByID":     second(agreed.TasksByID(ctx, queue, m.ID)),
			"Revoke":        second(agreed.Revoke(ctx, queue, m.ID)),
			"Queue":         second(agreed.Queue(ctx, queue)),
			"Queues":        second(agreed.Queues(ctx)),
			"Pause":         agreed.Pause(ctx, queue),
			"Resume":        agreed.Resume(ctx, queue),
		} {
			if !errors.Is(err, seri.ErrUnavailable) {
				t.Errorf("%s, %s: %v, want %v", name, call, err, seri.ErrUnavailable)
			}
		}
		s.Start()
	}
}

func TestAQueueIsShownAlthoughServersCannotBeLookedFor(t *testing.T) {
	t.Parallel()
	rdb := redistest.Exclusive(t).Client()
	c, queue, ctx := divided(t, rdb, 4)
	if err := c.Enqueue(ctx, newMessage(t, queue)); err != nil {
		t.Fatal(err)
	}
	if err := rdb.Set(ctx, keys.Servers, "no sorted set", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if info, err := c.Queue(ctx, queue); err != nil || info.Pending != 1 || info.Foreign != nil || info.Unserved {
		t.Errorf("the queue is %+v, %v", info, err)
	}
	if all, err := c.Queues(ctx); err != nil || len(all) != 1 || all[0].Pending != 1 || all[0].Foreign != nil || all[0].Unserved {
		t.Errorf("all queues are %+v, %v", all, err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestFaultyPartitionsAreTheErrorOfEveryTask(t *testing.T) {
	t.Parallel()
	c := client.New(redistest.New(t), client.Config{Partitions: map[string]int{"images": 100}})
	ctx := within(t, 10*time.Second)
	for what, err := range map[string]error{
		"Declare": c.Declare(ctx), "Enqueue": c.Enqueue(ctx, newMessage(t, "other")), "EnqueueBatch": c.EnqueueBatch(ctx, []seri.Message{newMessage(t, "other")})[0],
	} {
		if err == nil || !strings.Contains(err.Error(), `option Partitions: queue "images" has 100 partitions, must be 1 to 64`) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Nothing is asked of Redis about partitions by a client that declares none.
func TestAQueueThatIsNotDividedCostsNoCall(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) {
		queue, ctx := redistest.Queue(t), within(t, 20*time.Second)
		counter := &commands{}
		rdb.AddHook(counter)
		c := client.New(rdb, client.Config{})
		for range 3 {
			if err := c.Enqueue(ctx, newMessage(t, queue)); err != nil {
				t.Fatal(err)
			}
		}
		if n := counter.partitions.Load(); n != 0 {
			t.Errorf("%d commands about partitions", n)
		}
		for range 3 {
			if err := client.New(rdb, client.Config{Partitions: map[string]int{queue: 2}}).Declare(ctx); err != nil {
				t.Fatal(err)
			}
		}
		if n := counter.partitions.Load(); n != 3+2 { // the count can tell
			t.Errorf("%d commands of three clients that declare partitions, want one of each and two more of the first", n)
		}
	})
}

// commands counts those that name the record of partitions.
type commands struct{ partitions atomic.Int64 }

func (c *commands) note(cmd redis.Cmder) {
	if slices.Contains(cmd.Args(), any(keys.Partitions)) {
		c.partitions.Add(1)
	}
}

func (c *commands) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c *commands) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.note(cmd)
		return next(ctx, cmd)
	}
}

func (c *commands) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		for _, cmd := range cmds {
			c.note(cmd)
		}
		return next(ctx, cmds)
	}
}
