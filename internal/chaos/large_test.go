package chaos_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/client"
)

// F14: queues that are far larger than anybody wants them. What a script does must be bounded all the same, because Redis
// does nothing else while it runs.
const (
	largeBacklog = 100_000 // pending tasks, which also make for 300,000 events that a watcher has to catch up with
	largeArchive = 9_500   // archived tasks whose time is over: more than one call may spread (Redis takes about 8,000 values)
	largeDue     = 10_000  // tasks that are due in the same second
	largeBodies  = 50      // payloads of a MiB, by a stock client, which knows no limit
)

// Limits for Seri's scripts with all of this. Redis measures by the clock on the wall, and shares two cores with all the
// rest: where it is made to wait, so is the script. One that looks at each of a hundred thousand tasks takes longer.
const (
	slowestScript = time.Second
	scriptP99     = 50 * time.Millisecond
)

// growLarge is F14.
func growLarge(ctx context.Context, r *rig) error {
	rdb := r.primary().client()
	defer rdb.Close()
	queue := client.New(rdb, client.Config{MaxEvents: maxEvents})
	for _, setting := range [][2]string{{"slowlog-log-slower-than", "1000"}, {"slowlog-max-len", "10000"}, {"latency-tracking", "yes"}} {
		if err := rdb.ConfigSet(ctx, setting[0], setting[1]).Err(); err != nil {
			return err
		}
	}
	for _, q := range r.queues {
		if err := within(5*time.Second, func(ctx context.Context) error { return queue.Pause(ctx, string(q)) }); err != nil {
			return err
		}
	}
	random := rand.New(rand.NewPCG(1, 14))
	due := time.Now().Add(15 * time.Second).Truncate(time.Second)
	strikes := []struct {
		fault string
		do    func() error
	}{
		{"large-archive", func() error { return r.fillArchive(ctx, rdb) }},
		{"large-backlog", func() error { return r.postMany(ctx, queue, random, "waiting", largeBacklog, time.Time{}) }},
		{"large-due", func() error { return r.postMany(ctx, queue, random, "due", largeDue, due) }},
		{"large-bodies", func() error { return r.postLarge(ctx) }},
		{"large-events", func() error { // another watcher, who begins with the first of them
			for _, q := range r.queues {
				if err := queue.Resume(ctx, string(q)); err != nil {
					return err
				}
			}
			r.addWatcher(r.watchers[0].queue, r.watchers[0].addr, false)
			return nil
		}},
	}
	for _, s := range strikes {
		if err := s.do(); err != nil {
			return fmt.Errorf("%s: %w", s.fault, err)
		}
		r.nemesis.mu.Lock()
		r.nemesis.counts[s.fault]++
		r.nemesis.mu.Unlock()
	}
	if err := r.worked(rdb); err != nil {
		return err
	}
	return r.scriptsWereShort(ctx, rdb)
}

// worked waits until nothing is left of what was made.
func (r *rig) worked(rdb *redis.Client) error {
	return within(3*time.Minute, func(ctx context.Context) error {
		for _, q := range r.queues {
			for _, n := range []*redis.IntCmd{rdb.LLen(ctx, q.Pending()), rdb.ZCard(ctx, q.Scheduled()), rdb.ZCard(ctx, q.Archived())} {
				if n.Err() != nil || n.Val() > 0 {
					return fmt.Errorf("I12: of a very large queue %d are left (%v): %w", n.Val(), n.Args(), n.Err())
				}
			}
		}
		return nil
	})
}

// fillArchive puts tasks into an archive whose time there is over.
func (r *rig) fillArchive(ctx context.Context, rdb *redis.Client) error {
	q := r.queues[0]
	over := float64(time.Now().Add(-100 * 24 * time.Hour).Unix())
	for i := range largeArchive {
		r.tamper(fmt.Sprint("old-", i))
	}
	_, err := rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i := range largeArchive {
			id := fmt.Sprint("old-", i)
			p.HSet(ctx, q.Task(id), "msg", "\x0a\x07instant", "state", "archived", "seq", "3")
			p.ZAdd(ctx, q.Archived(), redis.Z{Score: over + float64(i), Member: id})
		}
		return nil
	})
	return err
}

// postMany hands many tasks over, in batches of a thousand.
func (r *rig) postMany(ctx context.Context, queue *client.Client, random *rand.Rand, name string, n int, eta time.Time) error {
	for first := 0; first < n; first += 1000 {
		batch := make([]seri.Message, 1000)
		for i := range batch {
			m := message(random, instant, fmt.Sprintf("%s-%d", name, first+i), string(r.queues[i%len(r.queues)]), r.lease)
			m.Retention, m.ETA = 0, eta
			r.notes.note(noteTry, m.ID, 0, m.Type+" "+m.Queue)
			batch[i] = m
		}
		for i, err := range queue.EnqueueBatch(ctx, batch) {
			if err != nil {
				return err
			}
			r.notes.note(noteStored, batch[i].ID, 0, "")
		}
	}
	return nil
}

// postLarge hands over payloads that Seri itself would not take.
func (r *rig) postLarge(ctx context.Context) error {
	stock := asynq.NewClient(asynq.RedisClientOpt{Addr: r.primary().addr})
	defer stock.Close()
	body := []byte(`{"secret":"` + secret + `","take":1,"more":"` + strings.Repeat("x", 1<<20) + `"}`)
	for i := range largeBodies {
		q, id := r.queues[i%len(r.queues)], fmt.Sprint("large-", i)
		r.notes.note(noteTry, id, 0, instant+" "+string(q))
		if _, err := stock.EnqueueContext(ctx, asynq.NewTask(instant, body), asynq.Queue(string(q)), asynq.TaskID(id)); err != nil {
			return err
		}
		r.notes.note(noteStored, id, 0, "")
	}
	return nil
}

// scriptsWereShort looks at how long Redis was busy with scripts.
func (r *rig) scriptsWereShort(ctx context.Context, rdb *redis.Client) error {
	log, err := rdb.SlowLogGet(ctx, -1).Result()
	if err != nil {
		return err
	}
	var slowest redis.SlowLog
	for _, entry := range log {
		if strings.HasPrefix(strings.ToLower(entry.Args[0]), "eval") && entry.Duration > slowest.Duration {
			slowest = entry
		}
	}
	r.figures.SlowestUs = slowest.Duration.Microseconds()
	if len(slowest.Args) > 3 {
		r.figures.Slowest = slowest.Args[3] + " and " + slowest.Args[2] + " keys in all"
	}
	info, err := rdb.Info(ctx, "latencystats").Result()
	if err != nil {
		return err
	}
	_, p99, found := strings.Cut(info, "latency_percentiles_usec_evalsha:")
	_, p99, _ = strings.Cut(p99, "p99=")
	if _, err := fmt.Sscanf(p99, "%f,", &r.figures.ScriptP99); err != nil || !found {
		return fmt.Errorf("Redis does not tell how long scripts take: %q, %w", info, err)
	}
	if slowest.Duration > slowestScript {
		return fmt.Errorf("a script took %v, longer than %v: %.200q", slowest.Duration, slowestScript, slowest.Args)
	}
	if p99 := time.Duration(r.figures.ScriptP99) * time.Microsecond; p99 > scriptP99 {
		return fmt.Errorf("one script in a hundred took longer than %v, the limit is %v", p99, scriptP99)
	}
	return nil
}
