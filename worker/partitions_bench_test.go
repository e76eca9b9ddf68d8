package worker_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/client"
	"github.com/seri-queue/seri/internal/partition"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/worker"
)

// BenchmarkDividedQueue enqueues tasks and runs them meanwhile, on a cluster of three masters: by batches of four
// producers, with three workers of 100 slots. It reports what the busiest and the idlest master have computed for each
// task: where one machine has all masters and all processes, that tells more than the tasks per second. Use -benchtime=50000x.
func BenchmarkDividedQueue(b *testing.B) {
	for _, n := range []int{1, 3, 8} {
		b.Run(fmt.Sprint("partitions=", n), func(b *testing.B) { divided(b, n) })
	}
}

func divided(b *testing.B, n int) {
	rdb := redistest.Cluster(b)
	queue := evenQueue(b, rdb, n)
	partitions := map[string]int{queue: n}
	producer := client.New(rdb, client.Config{Partitions: partitions})
	ctx, cancel := context.WithTimeout(b.Context(), 5*time.Minute)
	defer cancel()

	var ran atomic.Int64
	finished := make(chan struct{})
	handler := seri.Handler{Type: "bench:task", Run: func(context.Context, []byte) ([]byte, error) {
		if ran.Add(1) == int64(b.N) {
			close(finished)
		}
		return nil, nil
	}}
	var workers, producers sync.WaitGroup
	working, stop := context.WithCancel(ctx)
	for range 3 {
		w, err := worker.New(rdb, []seri.Handler{handler}, worker.Config{
			Queues: map[string]int{queue: 1}, Partitions: partitions, Slots: 100, Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			b.Fatal(err)
		}
		workers.Go(func() {
			if err := w.Run(working); err != nil {
				b.Error(err)
			}
		})
	}
	before := computed(b, rdb)

	b.ResetTimer()
	var taken atomic.Int64
	for range 4 {
		producers.Go(func() {
			for {
				mine := min(1000, int64(b.N)-taken.Add(1000)+1000)
				if mine <= 0 {
					return
				}
				if err := produce(ctx, producer, queue, int(mine)); err != nil {
					b.Error(err)
					cancel()
					return
				}
			}
		})
	}
	select {
	case <-finished:
	case <-ctx.Done():
		b.Error(context.Cause(ctx))
	}
	b.StopTimer()
	producers.Wait()
	stop()
	workers.Wait()

	var spent []float64
	for node, after := range computed(b, rdb) {
		spent = append(spent, float64((after-before[node]).Nanoseconds())/1000/float64(b.N))
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tasks/s")
	b.ReportMetric(slices.Max(spent), "busiest-µs/task")
	b.ReportMetric(slices.Min(spent), "idlest-µs/task")
}

func produce(ctx context.Context, producer *client.Client, queue string, n int) error {
	messages := make([]seri.Message, n)
	for i := range messages {
		var err error
		messages[i], err = seri.NewMessage("bench:task", []byte(`{"user_id":42}`), seri.Queue(queue), seri.Retention(0))
		if err != nil {
			return err
		}
	}
	return errors.Join(producer.EnqueueBatch(ctx, messages)...)
}

// evenQueue returns a queue whose n partitions lie on the masters as evenly as can be.
func evenQueue(b *testing.B, rdb *redis.ClusterClient, n int) string {
	b.Helper()
	for {
		queue := redistest.Queue(b)
		table, err := partition.New(map[string]int{queue: n})
		if err != nil {
			b.Fatal(err)
		}
		on := make(map[string]int)
		for _, q := range table.Of(queue) {
			master, err := rdb.MasterForKey(b.Context(), q.Pending())
			if err != nil {
				b.Fatal(err)
			}
			on[master.Options().Addr]++
		}
		most := 0
		for _, count := range on {
			most = max(most, count)
		}
		if most == (n+2)/3 {
			return queue
		}
	}
}

// computed returns the CPU time of each master.
func computed(b *testing.B, rdb *redis.ClusterClient) map[string]time.Duration {
	b.Helper()
	var mu sync.Mutex
	spent := make(map[string]time.Duration)
	if err := rdb.ForEachMaster(b.Context(), func(ctx context.Context, node *redis.Client) error {
		info, err := node.InfoMap(ctx, "cpu").Result()
		if err != nil {
			return err
		}
		seconds := 0.0
		for _, field := range []string{"used_cpu_user", "used_cpu_sys"} {
			s, err := strconv.ParseFloat(info["CPU"][field], 64)
			if err != nil {
				return err
			}
			seconds += s
		}
		mu.Lock()
		defer mu.Unlock()
		spent[node.Options().Addr] = time.Duration(seconds * float64(time.Second))
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	return spent
}
