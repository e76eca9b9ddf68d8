package e2e_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/seri-queue/seri/internal/devstore/redisproc"
)

// What an orchestrator does every few seconds: it runs the same program again, with the argument "health".
func TestHealthIsThatOfTheProcessAndNotThatOfRedis(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	addr := fmt.Sprintf("127.0.0.1:%d", redisproc.FreePort())
	worker := s.worker("--health-addr", addr)
	health := func() (code int, said string) {
		p := start(t, command{role: "worker", args: []string{"health"}, env: []string{"SERI_HEALTH_ADDR=" + addr}})
		return p.wait().ExitCode(), p.output()
	}
	expectHealth := func(when string, code int, prefix string) {
		t.Helper()
		gotCode, got := health()
		for range 2 { // as orchestrators do: on a machine that is overloaded, 3 s may pass before anybody answers
			if gotCode != code {
				gotCode, got = health()
			}
		}
		if gotCode != code || !strings.HasPrefix(got, prefix) || strings.Contains(got, "\n") {
			t.Errorf("%s: exit code %d, %q; want %d, %q", when, gotCode, got, code, prefix)
		}
	}

	expectHealth("while it works", 0, "alive: its main loop turned ")
	s.redis.Pause()
	expectHealth("while Redis is frozen", 0, "alive: its main loop turned ")
	s.redis.Resume()
	worker.signal(syscall.SIGSTOP)
	expectHealth("while it is frozen itself", 1, "worker: does not answer at http://"+addr)
	worker.signal(syscall.SIGCONT)
	expectHealth("once it runs again", 0, "alive: its main loop turned ")
	worker.stop()
	expectHealth("once it is gone", 1, "worker: does not answer at http://"+addr)
}

// Two beats, of which one leads: both are alive.
func TestABeatThatWaitsIsAliveToo(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	const schedules = "schedules:\n  - id: often\n    cron: '@every 1h'\n    task: http.request\n    payload: {url: 'http://127.0.0.1:1/'}\n"
	for i := range 2 {
		addr := fmt.Sprintf("127.0.0.1:%d", redisproc.FreePort())
		beat := start(t, command{role: "beat", args: []string{"--redis-url", s.redis.URL(), "--health-addr", addr}, env: []string{"SERI_SCHEDULES_TEXT=" + schedules}})
		if beat.await("beat started"); i == 0 {
			beat.await("beat leads")
		}
		var code int
		var said string
		for range 3 { // as above
			asked := start(t, command{role: "beat", args: []string{"health", "--health-addr", addr}})
			if code, said = asked.wait().ExitCode(), asked.output(); code == 0 {
				break
			}
		}
		if code != 0 || !strings.HasPrefix(said, "alive: ") {
			t.Errorf("beat %d: exit code %d, %q", i, code, said)
		}
	}
}
