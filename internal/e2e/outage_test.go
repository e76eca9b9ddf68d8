package e2e_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seri-queue/seri"
)

// Redis is killed and started again while tasks come in by HTTP and run: what was accepted is done, each task once as far
// as anybody can see, and nobody has to restart a process.
func TestNothingAcceptedIsLostWhenRedisIsKilledUnderLoad(t *testing.T) {
	t.Parallel()
	const tasks, clients, before = 200, 8, 60
	s := newSite(t)
	s.worker("--lease", lease.String())
	file := schedules(t, everySecond)
	beat := start(t, command{role: "beat", args: []string{"--redis-url", s.redis.URL(), "--schedules", file, "--beat-lease", "500ms"}})
	beat.await("beat leads")
	clock := &ticks{t: t, rdb: s.redis.Client(), position: "0"}
	clock.next(1)
	watch := s.watch("queue=default")

	var calls atomic.Int64
	reached := make(chan struct{})
	target := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		if calls.Add(1) == before {
			close(reached)
		}
	}))
	t.Cleanup(target.Close)

	var posting sync.WaitGroup
	var refused atomic.Int64
	for client := range clients {
		posting.Go(func() {
			for n := client; n < tasks; n += clients {
				refused.Add(s.postUntilAccepted(fmt.Sprintf("load-%d", n), target.URL))
			}
		})
	}
	<-reached
	s.redis.Kill()
	down := time.Now()
	s.awaitStatus("/readyz", http.StatusServiceUnavailable)
	expect(t, "status of /healthz without Redis", first(s.call("GET", "/healthz", nil)), http.StatusOK)
	s.redis.Start()
	up := time.Now()
	s.awaitStatus("/readyz", http.StatusOK)
	ready := time.Since(up)
	posting.Wait()

	succeeded := make(map[string]int)
	for len(succeeded) < tasks {
		e := watch.until("the end of all tasks", func(e seen) bool { return e.kind.Terminal() })
		if e.kind != seri.EventSucceeded {
			t.Fatalf("task %s is %s: %s %s", e.Task, e.State, e.Reason, e.Error)
		}
		succeeded[e.Task]++
	}
	t.Logf("Redis was away for %v; api ready %v and the last task done %v after it was back; %d requests had to be repeated, %d of %d tasks were run again",
		up.Sub(down).Round(time.Millisecond), ready.Round(time.Millisecond), time.Since(up).Round(time.Millisecond), refused.Load(), calls.Load()-tasks, tasks)
	var ids []string
	for n := range tasks {
		id := fmt.Sprintf("load-%d", n)
		ids = append(ids, id)
		if succeeded[id] != 1 {
			t.Errorf("task %s was seen to succeed %d times, want once", id, succeeded[id])
		}
		expect(t, "state of "+id, s.task(id).State, seri.Succeeded)
	}
	s.expectOneSuccess(ids...)
	s.expectGapless(ids...)
	clock.next(2) // the beat beats on
	for _, p := range []*process{s.api, beat} {
		select {
		case <-p.exited:
			t.Errorf("%s has ended", p.name)
		default:
		}
	}
}

// postUntilAccepted posts a task with an ID until it is certain that it is there, and returns how often it was not.
func (e endpoint) postUntilAccepted(id, url string) (refused int64) {
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for begun := time.Now(); ; <-again.C {
		status, answer := e.call("POST", "/v1/tasks", map[string]any{"id": id, "type": "http.request", "payload": map[string]any{"url": url}})
		switch {
		case status == http.StatusAccepted:
			return refused
		case status == http.StatusConflict && refused > 0: // an earlier try had arrived
			return refused
		case status != 0 && status != http.StatusServiceUnavailable, time.Since(begun) > patience:
			e.t.Errorf("POST of task %s answers %d: %s", id, status, answer)
			return refused
		}
		refused++
	}
}

func first(status int, _ []byte) int { return status }
