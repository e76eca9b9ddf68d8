package e2e_test

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/seri-queue/seri"
)

var startLine = regexp.MustCompile(`^Seri is at (http://\S+) — (.*)$`)

// dev starts a dev process in a directory and returns it with its address and what else its first line says.
func dev(t *testing.T, dir string, env ...string) (*process, endpoint, string) {
	t.Helper()
	p := start(t, command{role: "dev", dir: dir, env: append([]string{"SERI_HTTP_ADDR=127.0.0.1:0"}, env...)})
	line := startLine.FindStringSubmatch(p.await("Seri is at"))
	if line == nil {
		t.Fatalf("the start-up line is not as expected: %s", p.output())
	}
	return p, endpoint{t: t, url: line[1]}, line[2]
}

// thumbnails has the sample photo scaled, and checks that what comes out is served.
func (e endpoint) thumbnails() (id string) {
	e.t.Helper()
	watch := e.watch("")
	posted := e.post(map[string]any{"type": "image.thumbnail", "payload": map[string]any{"source": e.url + "/samples/photo.jpeg", "sizes": []int{64}}})
	watch.untilSucceeded(posted.ID)
	e.expectFiles(posted.ID)
	return posted.ID
}

func (e endpoint) expectFiles(id string) {
	e.t.Helper()
	task := e.task(id)
	expect(e.t, "state", task.State, seri.Succeeded)
	result := decode[struct{ Thumbnails []struct{ URL string } }](e.t, task.Result)
	if len(result.Thumbnails) == 0 {
		e.t.Errorf("there are no thumbnails in %s", task.Result)
	}
	for _, thumb := range result.Thumbnails {
		if status, _ := e.call("GET", thumb.URL, nil); status != http.StatusOK {
			e.t.Errorf("GET %s answers %d", thumb.URL, status)
		}
	}
}

func TestDevKeepsItsTasksOverARestart(t *testing.T) {
	t.Parallel()
	requireRedisServer(t)
	dir := t.TempDir()
	first, site, says := dev(t, dir)
	if !strings.Contains(says, "keeps its data in") || strings.Contains(says, "miniredis") {
		t.Errorf("the start-up line says %q, want that data are kept", says)
	}
	done := site.thumbnails()
	later := site.post(map[string]any{"type": "http.request", "payload": map[string]any{"url": site.url + "/healthz"}, "countdown": 3600})

	first.stop()
	second, site, _ := dev(t, dir)
	site.expectFiles(done)
	expect(t, "state of the delayed task", site.task(later.ID).State, seri.Scheduled)

	second.signal(syscall.SIGKILL)
	second.wait()
	_, site, _ = dev(t, dir)
	site.expectFiles(done)
	expect(t, "state of the delayed task", site.task(later.ID).State, seri.Scheduled)
	site.thumbnails()
}

func TestASecondDevInTheSameDirectorySaysWhatIsInItsWay(t *testing.T) {
	t.Parallel()
	requireRedisServer(t)
	dir := t.TempDir()
	_, site, _ := dev(t, dir)
	addr := strings.TrimPrefix(site.url, "http://")

	for name, c := range map[string]struct{ addr, says string }{
		"on the same port":    {addr, "listen on " + addr},
		"on another port":     {"127.0.0.1:0", "in use by process"},
		"on a port of others": {"8.8.8.8:80", "loopback only"},
	} {
		p := start(t, command{role: "dev", dir: dir, env: []string{"SERI_HTTP_ADDR=" + c.addr}})
		p.expectFault(name, c.says)
	}
	site.thumbnails() // undisturbed
}

func TestDevWithoutRedisServerUsesTheStoreInside(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := schedules(t, everySecond)
	p, site, says := dev(t, dir, "PATH="+t.TempDir(), "SERI_SCHEDULES="+file)

	if !strings.Contains(says, "miniredis") || !strings.Contains(says, "lost") || !strings.Contains(says, "schedules: 1") {
		t.Errorf("the start-up line says %q, want that tasks will be lost, and one schedule", says)
	}
	watch := site.watch("queue=ticks")
	for range 2 {
		watch.until("a tick", func(e seen) bool { return e.kind == seri.EventQueued })
	}
	site.thumbnails()
	later := site.post(map[string]any{"type": "http.request", "payload": map[string]any{"url": site.url + "/healthz"}, "countdown": 0.3})
	site.watch("task=" + later.ID).untilSucceeded(later.ID)
	if _, err := os.Stat(filepath.Join(dir, ".seri", "appendonlydir")); err == nil {
		t.Error("the store inside the process wrote a file")
	}
	p.stop()
}
