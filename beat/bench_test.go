package beat

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/internal/wire"
)

// many returns schedules of a queue of their own.
func many(b *testing.B, q keys.Queue, n int, spec func(i int) string, change ...func(*Schedule)) []Schedule {
	b.Helper()
	m, err := seri.NewMessage("report", []byte(`{"source":"https://example.com/sales.csv"}`), seri.Queue(string(q)), seri.Retention(0))
	if err != nil {
		b.Fatal(err)
	}
	schedules := make([]Schedule, n)
	for i := range schedules {
		s, err := NewSchedule(fmt.Sprintf("schedule-%d", i), spec(i), nil, m)
		if err != nil {
			b.Fatal(err)
		}
		for _, c := range change {
			c(&s)
		}
		schedules[i] = s
	}
	return schedules
}

// daily are times of day that are hours away.
func daily(i int) string {
	at := time.Now().UTC().Add(time.Hour + time.Duration(i%79_000)*time.Second)
	return fmt.Sprintf("%d %d %d * * *", at.Second(), at.Minute(), at.Hour())
}

// BenchmarkStart is how long a beat with 100,000 schedules takes from New until it serves them: new ones, known ones, and
// what it then costs to wait for them.
func BenchmarkStart(b *testing.B) {
	const n = 100_000
	quiet := Config{Lock: "bench", Logger: slog.New(slog.DiscardHandler)}
	for b.Loop() {
		b.StopTimer()
		rdb := redistest.Exclusive(b).Client()
		schedules := many(b, "bench", n, daily)
		b.StartTimer()
		for _, what := range []string{"new", "known"} {
			begun, cpu, redisBefore := time.Now(), cpuTime(), redisTime(b, rdb)
			beat, err := New(rdb, schedules, quiet)
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancel(b.Context())
			l := beat.leader(uint64(time.Now().UnixMicro()))
			if err := l.begin(ctx); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(time.Since(begun).Seconds(), what+"-s")
			b.ReportMetric((cpuTime() - cpu).Seconds(), what+"-cpu-s")
			b.ReportMetric((redisTime(b, rdb) - redisBefore).Seconds(), what+"-redis-s")
			if what == "known" {
				const watched = 10 * time.Second
				cpu := cpuTime()
				timeout, done := context.WithTimeout(ctx, watched)
				_ = l.serve(timeout)
				done()
				b.ReportMetric(100*(cpuTime()-cpu).Seconds()/watched.Seconds(), "idle-%cpu")
			}
			cancel()
		}
	}
}

// cpuTime is what this process has used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkLateness fires 1,000 ticks a second for ten seconds, and reports how late they are by the events: spread over
// the second by a jitter, and all at its beginning. With -v it prints how many were how late.
func BenchmarkLateness(b *testing.B) {
	const n, seconds = 1000, 10
	for name, jitter := range map[string]time.Duration{"spread": time.Second, "at once": 0} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				rdb := redistest.Exclusive(b).Client()
				schedules := many(b, "bench", n, func(int) string { return "@every 1s" }, func(s *Schedule) {
					s.Jitter, s.Catchup = jitter, CatchupAll // on a machine that stands still for a second, a tick is late, and not missed
				})
				beat, err := New(rdb, schedules, Config{Lock: "bench", MaxEvents: 10 * n * seconds, Logger: slog.New(slog.DiscardHandler)})
				if err != nil {
					b.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(b.Context(), 12*seconds*time.Second)
				begun, cpu, redisBefore := time.Now(), cpuTime(), redisTime(b, rdb)
				ended := make(chan error, 1)
				go func() { ended <- beat.lead(ctx, 1) }()
				for look := time.Tick(20 * time.Millisecond); beat.meters.Ticks.Enqueued.Load() < n*seconds && ctx.Err() == nil; {
					<-look
				}
				cancel()
				err = <-ended
				used, took := cpuTime()-cpu, time.Since(begun)

				late := latenesses(b, rdb, "bench")
				if len(late) < n*seconds {
					b.Fatalf("%d ticks in %v: %v", len(late), took, err)
				}
				slices.Sort(late)
				if late[0] < 0 {
					b.Errorf("a tick was fired %v early", -late[0])
				}
				ms := func(q float64) float64 { return float64(late[int(q*float64(len(late)-1))].Milliseconds()) }
				b.ReportMetric(ms(0.5), "p50-ms")
				b.ReportMetric(ms(0.9), "p90-ms")
				b.ReportMetric(ms(0.99), "p99-ms")
				b.ReportMetric(ms(1), "max-ms")
				b.ReportMetric(100*used.Seconds()/took.Seconds(), "%cpu")
				b.ReportMetric((redisTime(b, rdb)-redisBefore).Seconds()*1e6/float64(len(late)), "redis-µs/tick")
				b.Log(histogram(late))
			}
		})
	}
}

// histogram tells how many of durations, which are sorted, are how long.
func histogram(sorted []time.Duration) string {
	var text strings.Builder
	for i, from := 0, 0; from < len(sorted); i++ {
		bound := []time.Duration{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 1 << 40}[i] * time.Millisecond
		to, _ := slices.BinarySearch(sorted, bound)
		fmt.Fprintf(&text, "under %v: %d (%.1f %%)\n", bound, to-from, 100*float64(to-from)/float64(len(sorted)))
		from = to
	}
	return text.String()
}

// redisTime is what Redis' process has used.
func redisTime(b *testing.B, rdb *redis.Client) (used time.Duration) {
	b.Helper()
	for name, text := range rdb.InfoMap(b.Context(), "cpu").Val()["CPU"] {
		if name == "used_cpu_user" || name == "used_cpu_sys" {
			seconds, err := strconv.ParseFloat(text, 64)
			if err != nil {
				b.Fatal(err)
			}
			used += time.Duration(seconds * float64(time.Second))
		}
	}
	return used
}

func latenesses(b *testing.B, rdb *redis.Client, q keys.Queue) (late []time.Duration) {
	b.Helper()
	entries, err := rdb.XRange(b.Context(), q.Events(), "-", "+").Result()
	if err != nil {
		b.Fatal(err)
	}
	for _, entry := range entries {
		text, _ := entry.Values["e"].(string)
		events, err := wire.DecodeEvents(string(q), text)
		if err != nil {
			b.Fatal(err)
		}
		for _, e := range events {
			if e.Kind == seri.EventScheduleFired {
				late = append(late, e.Data.Schedule.Late)
			}
		}
	}
	return late
}
