package e2e_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/seri-queue/seri"
)

func TestAStoppingWorkerHandsItsTaskBackAtOnce(t *testing.T) {
	for name, grace := range map[string]string{"without any grace": "0s", "with a short grace": "100ms"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			pair := s.pair("--grace", grace, "--lease", "1m") // not by the lease's end
			source := newSource(t, 1)
			watch := s.watch("")

			posted := s.profile(source.url)
			first, other := pair(watch.untilKind(posted.ID, seri.EventStarted))
			watch.untilKind(posted.ID, seri.EventProgress)
			asked := time.Now()
			first.signal(syscall.SIGTERM)
			back := watch.untilKind(posted.ID, seri.EventQueued)
			again := watch.untilKind(posted.ID, seri.EventStarted)
			state := first.wait()
			took := time.Since(asked)
			watch.untilSucceeded(posted.ID)

			t.Logf("handed back %v and started again %v after SIGTERM; the worker had ended after %v",
				back.at.Sub(asked).Round(time.Millisecond), again.at.Sub(asked).Round(time.Millisecond), took.Round(time.Millisecond))
			if took > 3*time.Second || !state.Success() {
				t.Errorf("the worker ended with %v after %v", state, took)
			}
			expect(t, "state after the hand-back", back.State, seri.Pending)
			expect(t, "process of the second worker", again.pid(), other.pid())
			expect(t, "events", watch.kinds(), "[queued started queued:handed_back started succeeded]")
			task := s.task(posted.ID)
			expect(t, "crashes", task.Crashes, 0)
			expect(t, "attempts", task.Attempt, 1)
			s.expectGapless(posted.ID)
		})
	}
}

func TestARunningTaskMayEndInTheGracePeriod(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	worker := s.worker("--grace", "1m", "--lease", lease.String())
	source := newSource(t, 1)
	watch := s.watch("")

	posted := s.profile(source.url)
	watch.untilKind(posted.ID, seri.EventProgress)
	worker.signal(syscall.SIGTERM)
	worker.await("asked to stop")
	source.finish()
	watch.untilSucceeded(posted.ID)

	if state := worker.wait(); !state.Success() {
		t.Errorf("the worker ended with %v", state)
	}
	expect(t, "events", watch.kinds(), "[queued started succeeded]")
}

func TestASecondSignalKillsAtOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	worker := s.worker("--grace", "1m")
	source := newSource(t, 1)
	watch := s.watch("")

	watch.untilKind(s.profile(source.url).ID, seri.EventProgress)
	worker.signal(syscall.SIGTERM)
	worker.await("asked to stop")
	worker.signal(syscall.SIGTERM)
	state := worker.wait()

	if status, ok := state.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGTERM {
		t.Errorf("the worker ended with %v, want to be killed by the second signal", state)
	}
}

// What is being answered is answered, followers are told to come back, and balancers to look elsewhere, before the port
// is closed.
func TestAStoppingAPISendsItsClientsElsewhere(t *testing.T) {
	t.Parallel()
	s := newSite(t, "--http-drain", "1s")
	sse, socket := s.watch(""), s.watchSocket("")
	posted := s.profile("http://127.0.0.1:1/nothing") // nobody runs it
	sse.untilKind(posted.ID, seri.EventQueued)

	asked := time.Now()
	s.api.signal(syscall.SIGTERM)
	s.awaitStatus("/readyz", http.StatusServiceUnavailable)
	told := time.Since(asked)
	expect(t, "what is still answered", s.task(posted.ID).ID, posted.ID)
	status, answer := s.call("GET", "/readyz", nil)
	if status != http.StatusServiceUnavailable || !strings.Contains(string(answer), "draining") {
		t.Errorf("/readyz answers %d: %s", status, answer)
	}
	var end error
	for end == nil {
		_, end = sse.next()
	}
	if !errors.Is(end, io.EOF) || sse.stream.Retry <= 0 {
		t.Errorf("the SSE stream ended with %v and a retry of %v, want an orderly end and a delay", end, sse.stream.Retry)
	}
	end = nil
	for end == nil {
		_, end = socket.next()
	}
	closed, ok := errors.AsType[*websocket.CloseError](end)
	if !ok || closed.Code != websocket.CloseGoingAway || !strings.Contains(closed.Text, "reconnect_ms=") {
		t.Errorf("the WebSocket ended with %v, want 1001 with a delay", end)
	}
	if state := s.api.wait(); !state.Success() {
		t.Errorf("the api ended with %v", state)
	}
	took := time.Since(asked)

	t.Logf("not ready %v after SIGTERM, gone after %v", told.Round(time.Millisecond), took.Round(time.Millisecond))
	if took > 3*time.Second {
		t.Errorf("the api took %v to end", took)
	}
}
