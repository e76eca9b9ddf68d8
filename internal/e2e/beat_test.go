package e2e_test

import (
	"os"
	"path/filepath"
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

const everySecond = `
schedules:
  - id: tick
    every: 1s
    task: report.render
    queue: ticks
    catchup: all
`

// schedules writes a file of schedules.
func schedules(t *testing.T, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "schedules.yaml")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// ticks reads a queue's stream as it grows.
type ticks struct {
	t        *testing.T
	rdb      *redis.Client
	position string
	times    []int64 // of the ticks so far, Unix seconds
}

// next waits for n more ticks.
func (w *ticks) next(n int) {
	w.t.Helper()
	for begun := time.Now(); n > 0; {
		streams, err := w.rdb.XRead(w.t.Context(), &redis.XReadArgs{Streams: []string{keys.Queue("ticks").Events(), w.position}, Block: patience}).Result()
		if err != nil || time.Since(begun) > patience {
			w.t.Fatalf("%v after the ticks %d", err, w.times)
		}
		for _, entry := range streams[0].Messages {
			w.position = entry.ID
			events, err := wire.DecodeEvents("ticks", entry.Values["e"].(string))
			if err != nil {
				w.t.Fatal(err)
			}
			for _, e := range events {
				if e.Kind != seri.EventQueued {
					continue
				}
				second, err := strconv.ParseInt(strings.TrimPrefix(e.Task, "sched:tick:"), 10, 64)
				if err != nil {
					w.t.Fatal(err)
				}
				w.times = append(w.times, second)
				n--
			}
		}
	}
}

func TestNoTickIsLostOrDoubledWhenTheLeadingBeatIsKilled(t *testing.T) {
	t.Parallel()
	server := redistest.Exclusive(t, "--appendonly", "yes")
	file := schedules(t, everySecond)
	beat := func() *process {
		p := start(t, command{role: "beat", args: []string{"--redis-url", server.URL(), "--beat-lease", "300ms"}, env: []string{"SERI_SCHEDULES=" + file}})
		p.await("beat started")
		return p
	}
	leader := beat()
	leader.await("beat leads")
	second := beat()
	watch := &ticks{t: t, rdb: server.Client(), position: "0"}

	watch.next(3)
	leader.signal(syscall.SIGKILL)
	leader.wait()
	death := time.Now()
	second.await("beat leads")
	takeover := time.Since(death)
	watch.next(3)
	third := beat()
	second.stop()
	third.await("beat leads")
	watch.next(2)

	t.Logf("the second beat led %v after the first was killed; ticks %d", takeover.Round(time.Millisecond), watch.times)
	for i, second := range watch.times[1:] {
		if second != watch.times[i]+1 {
			t.Errorf("tick %d came after tick %d", second, watch.times[i])
		}
	}
}

// A leader that dies, or stands still, is replaced within two leases: by the clock of Redis, which is in the new leader's token.
func TestAnotherBeatLeadsWithinTwoLeases(t *testing.T) {
	t.Parallel()
	const lease = 2 * time.Second
	for name, signal := range map[string]syscall.Signal{"killed": syscall.SIGKILL, "frozen": syscall.SIGSTOP} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Exclusive(t)
			rdb, file := server.Client(), schedules(t, everySecond)
			beat := func() *process {
				return start(t, command{role: "beat", args: []string{"--redis-url", server.URL(), "--beat-lease", lease.String()}, env: []string{"SERI_SCHEDULES=" + file}})
			}
			leader := beat()
			leader.await("beat leads")
			first, err := rdb.HGet(t.Context(), keys.Lock("beat"), "token").Uint64()
			if err != nil {
				t.Fatal(err)
			}
			beat().await("beat started")
			beat().await("beat started")
			watch := &ticks{t: t, rdb: rdb, position: "0"}
			watch.next(2)

			before, err := rdb.Time(t.Context()).Result()
			if err != nil {
				t.Fatal(err)
			}
			leader.signal(signal)
			token := first
			for begun := time.Now(); token == first; watch.next(1) { // ticks go on once another beat leads
				if token, err = rdb.HGet(t.Context(), keys.Lock("beat"), "token").Uint64(); err != nil || time.Since(begun) > patience {
					t.Fatal(token, err)
				}
			}

			took := time.UnixMicro(int64(token)).Sub(before)
			t.Logf("another beat led %v after the first was %s", took.Round(time.Millisecond), name)
			if took > 2*lease {
				t.Errorf("another beat led %v after the first was %s, more than two leases of %v", took, name, lease)
			}
			if signal == syscall.SIGSTOP {
				leader.signal(syscall.SIGCONT)
			}
			watch.next(3)
			for i, second := range watch.times[1:] {
				if second != watch.times[i]+1 {
					t.Errorf("tick %d came after tick %d", second, watch.times[i])
				}
			}
		})
	}
}
