package store

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redistest"
)

func TestZZPerf(t *testing.T) {
	if os.Getenv("PERF") == "" {
		t.Skip()
	}
	ctx := context.Background()
	srv := redistest.Exclusive(t)
	rdb := redis.NewClient(&redis.Options{Addr: srv.Addr(), MaxRetries: -1})
	s := New(rdb, Config{})
	q := keys.Queue("default")
	for _, b := range []int{1, 10, 100, 500} {
		rdb.FlushAll(ctx)
		n := 50000
		if b == 1 {
			n = 10000
		}
		s.known = map[keys.Queue]time.Time{}
		ms := make([]seri.Message, n)
		for i := range ms {
			ms[i], _ = seri.NewMessage("noop", make([]byte, 100), seri.Retention(0))
		}
		rdb.ConfigResetStat(ctx)
		t0 := time.Now()
		for i := 0; i < n; i += b {
			if _, err := s.Enqueue(ctx, q, ms[i:i+b]); err != nil {
				t.Fatal(err)
			}
		}
		de := time.Since(t0)
		info, _ := rdb.Info(ctx, "commandstats").Result()
		_ = info
		t0 = time.Now()
		var dd, dc time.Duration
		for i := 0; i < n; i += b {
			t1 := time.Now()
			batch, err := s.Dequeue(ctx, q, Wanted{Tasks: b, Lease: time.Minute, Worker: "w"})
			if err != nil || len(batch.Leases) != b {
				t.Fatal(err, len(batch.Leases))
			}
			t2 := time.Now()
			cs := make([]Completion, b)
			for j := range cs {
				cs[j].Lease = &batch.Leases[j]
			}
			if _, err := s.Complete(ctx, q, cs); err != nil {
				t.Fatal(err)
			}
			t3 := time.Now()
			dd += t2.Sub(t1)
			dc += t3.Sub(t2)
		}
		dr := time.Since(t0)
		cpu := rdb.InfoMap(ctx, "cpu").Val()["CPU"]
		t.Logf("batch %d: enqueue %.0f/s (%.1fus/task) drain %.0f/s dequeue %.1fus complete %.1fus per task; %v", b, float64(n)/de.Seconds(), de.Seconds()*1e6/float64(n), float64(n)/dr.Seconds(), dd.Seconds()*1e6/float64(n), dc.Seconds()*1e6/float64(n), cpu["used_cpu_user"])
		fmt.Println(rdb.Info(ctx, "commandstats").Val())
	}
}
