package image_test

import (
	"bytes"
	"crypto/x509"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/seri-queue/seri/internal/api"
	"github.com/seri-queue/seri/internal/devstore/redisproc"
	"github.com/seri-queue/seri/internal/gateway/gatewaytest"
	"github.com/seri-queue/seri/internal/redistest"
)

// One test, because the images are built once and the containers belong together.
func TestTheImagesRunAsOnFargate(t *testing.T) {
	s := newStore(t)
	s.makeGolang("docker.io/library/golang:1.26")
	images := make(map[string]*image)
	for _, target := range []string{"api", "worker", "beat", "seri"} {
		images[target] = s.build(target, runtime.GOARCH)
		t.Run(target+" holds what it needs and nothing else", func(t *testing.T) { images[target].inspect(t, runtime.GOARCH) })
	}
	t.Run("they start at once", func(t *testing.T) { startUp(t, images) })
	t.Run("together they do work", func(t *testing.T) { work(t, images) })
	other := map[string]string{"amd64": "arm64", "arm64": "amd64"}[runtime.GOARCH]
	t.Run("worker for the other architecture", func(t *testing.T) { s.build("worker", other).inspect(t, other) })
}

// inspect looks at an image without running it.
func (i *image) inspect(t *testing.T, arch string) {
	c := i.config.Config
	program := "/usr/local/bin/" + i.target
	if c.User != "65532:65532" || c.StopSignal != "SIGTERM" || !slices.Equal(c.Entrypoint, []string{program}) || len(c.Cmd) > 0 {
		t.Errorf("user %q, stop signal %q, entry point %q, command %q", c.User, c.StopSignal, c.Entrypoint, c.Cmd)
	}
	if i.config.Architecture != arch || i.config.OS != "linux" {
		t.Errorf("is for %s/%s, want linux/%s", i.config.OS, i.config.Architecture, arch)
	}
	if files, want := i.files(t), []string{certificates, program}; !slices.Equal(files, want) {
		t.Errorf("holds %q, want %q", files, want)
	}
	bundle, err := os.ReadFile(filepath.Join(i.rootfs(), certificates))
	if err != nil || !x509.NewCertPool().AppendCertsFromPEM(bundle) {
		t.Errorf("its authorities cannot be read: %v", err)
	}
	elfs := i.program(t)
	if machine := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[arch]; elfs.Machine != machine {
		t.Errorf("its program is for %v, want %v", elfs.Machine, machine)
	}
	if libraries, err := elfs.ImportedLibraries(); err != nil || len(libraries) > 0 {
		t.Errorf("its program is not static: %v, %v", libraries, err)
	}
	if _, volume := c.Volumes["/data"]; volume != (i.target == "worker") {
		t.Errorf("volumes: %v", c.Volumes)
	}
}

// startUp measures how long the roles take from `runc run` until they do what they are for: answer /readyz with 200, take
// tasks, lead.
func startUp(t *testing.T, images map[string]*image) {
	const times, most = 5, 5 * time.Second
	server := redistest.Exclusive(t)
	key, err := api.NewKey("image")
	if err != nil {
		t.Fatal(err)
	}
	apiAddr := fmt.Sprintf("127.0.0.1:%d", redisproc.FreePort())
	for _, role := range []struct {
		name  string
		env   []string
		ready func(*container)
	}{
		{"api", []string{"SERI_API_KEYS=" + key.Entry, "SERI_HTTP_ADDR=" + apiAddr, "SERI_HTTP_DRAIN=1ms"},
			func(c *container) { c.awaitOK("http://" + apiAddr + "/readyz") }},
		{"worker", nil, func(c *container) { c.await("worker started") }},
		{"beat", []string{"SERI_SCHEDULES_TEXT=schedules: [{id: seldom, every: 24h, task: http.request, payload: {url: 'https://example.com/'}}]"},
			func(c *container) { c.await("beat leads") }},
	} {
		var took []time.Duration
		for range times {
			health := fmt.Sprintf("SERI_HEALTH_ADDR=127.0.0.1:%d", redisproc.FreePort())
			c := images[role.name].run(t, append(role.env, "SERI_REDIS_URL="+server.URL(), health)...)
			role.ready(c)
			took = append(took, time.Since(c.begun))
			c.terminate()
			c.wait()
		}
		slices.Sort(took)
		t.Logf("%s: ready %v after runc run (median of %d, %v to %v)", role.name, took[times/2].Round(time.Millisecond),
			times, took[0].Round(time.Millisecond), took[times-1].Round(time.Millisecond))
		if took[times/2] > most {
			t.Errorf("%s takes more than %v to start", role.name, most)
		}
	}
}

// work has the containers run tasks end to end on a real Redis, and stops them.
func work(t *testing.T, images map[string]*image) {
	server := redistest.Exclusive(t)
	key, err := api.NewKey("image")
	if err != nil {
		t.Fatal(err)
	}
	health := func() string { return fmt.Sprintf("SERI_HEALTH_ADDR=127.0.0.1:%d", redisproc.FreePort()) }
	url := "SERI_REDIS_URL=" + server.URL()
	apiAddr := fmt.Sprintf("127.0.0.1:%d", redisproc.FreePort())
	front := images["api"].run(t, url, "SERI_API_KEYS="+key.Entry, "SERI_HTTP_ADDR="+apiAddr, "SERI_HTTP_DRAIN=100ms")
	front.await("api started")
	worker := images["worker"].run(t, url, health(), "SERI_ALLOW_HOSTS=127.0.0.0/8:*", "SERI_GRACE=20s")
	worker.await("worker started")
	page := "http://" + apiAddr
	beat := images["beat"].run(t, url, health(),
		"SERI_SCHEDULES_TEXT=schedules: [{id: often, every: 1s, task: http.request, payload: {url: '"+page+"/healthz'}}]")
	beat.await("beat leads")
	e := endpoint{t, page, key.Secret}

	for name, c := range map[string]*container{"api": front, "worker": worker, "beat": beat} {
		status := c.status()
		if pids := strings.Fields(status["NSpid"]); pids[len(pids)-1] != "1" {
			t.Errorf("%s: process %q, want 1", name, status["NSpid"])
		}
		if status["Uid"] != "65532 65532 65532 65532" || strings.Trim(status["CapEff"], "0") != "" || status["NoNewPrivs"] != "1" {
			t.Errorf("%s: user %q, capabilities %q", name, status["Uid"], status["CapEff"])
		}
		if options := strings.Split(c.rootOptions(), ","); options[0] != "ro" {
			t.Errorf("%s: its root is mounted %q, want read-only", name, options)
		}
		if said, code := c.exec("/usr/local/bin/"+name, "health"); code != 0 || !strings.Contains(said, "alive") {
			t.Errorf("%s health: %d, %q", name, code, said)
		}
		if said, code := c.exec("/usr/local/bin/"+name, "--version"); code != 0 || said != "v0-test" {
			t.Errorf("%s --version: %d, %q", name, code, said)
		}
		if said, code := c.exec("/bin/sh"); code == 0 {
			t.Errorf("%s has a shell: %q", name, said)
		}
	}

	t.Run("a task writes its file to the volume", func(t *testing.T) {
		task := e.end(e.post("image.thumbnail", map[string]any{"source": page + "/samples/photo.jpeg", "sizes": []int{64}}))
		if task.State != "succeeded" || !strings.Contains(string(task.Result), "jpeg") {
			t.Errorf("ended as %+v", task)
		}
		written := 0
		size(t, worker.volume, func(name string) { written += strings.Count(filepath.Base(name), ".jpeg") })
		if written != 1 {
			t.Errorf("the volume holds %d thumbnails", written)
		}
	})

	t.Run("SIGTERM lets a running task end", func(t *testing.T) {
		reached, finish := make(chan struct{}, 1), make(chan struct{})
		slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			reached <- struct{}{}
			select {
			case <-finish:
			case <-r.Context().Done():
			}
			_, _ = io.WriteString(w, "done")
		}))
		defer slow.Close()
		id := e.post("http.request", map[string]any{"url": slow.URL})
		select {
		case <-reached:
		case <-time.After(patience):
			t.Fatal("the task does not run")
		}

		worker.terminate()
		worker.await("asked to stop")
		if said, code := worker.exec("/usr/local/bin/worker", "health"); code != 0 {
			t.Errorf("while it drains: %d, %q", code, said)
		}
		close(finish)
		worker.wait()

		if task := e.end(id); task.State != "succeeded" || task.Attempt != 1 {
			t.Errorf("ended as %+v", task)
		}
	})

	t.Run("SIGTERM with fifty running tasks loses none", func(t *testing.T) {
		drain(t, e, func(env ...string) *container {
			w := images["worker"].run(t, append(env, url, health(), "SERI_ALLOW_HOSTS=127.0.0.0/8:*")...)
			w.await("worker started")
			return w
		})
	})

	t.Run("SIGTERM ends the others, too", func(t *testing.T) {
		stream, err := gatewaytest.WebSocket(t.Context(), e.url+"/v1/ws", http.Header{"Authorization": {"Bearer " + e.key}})
		if err != nil {
			t.Fatal(err)
		}
		defer stream.Close()
		for _, c := range []*container{beat, front} {
			c.terminate()
			c.wait()
		}
		var end error
		for end == nil {
			_, end = stream.Next()
		}
		closed, ok := errors.AsType[*websocket.CloseError](end)
		if !ok || closed.Code != websocket.CloseGoingAway || !strings.Contains(closed.Text, "reconnect_ms=") {
			t.Errorf("a WebSocket ended with %v, want 1001 with a delay", end)
		}
	})
}

// drain stops a worker that runs fifty tasks. Thirty of them end within the grace period; the others are handed back, and
// another worker runs them, as the same attempt.
func drain(t *testing.T, e endpoint, start func(env ...string) *container) {
	const quick, long = 30, 20
	reached, finish := make(chan struct{}, 2*(quick+long)), make(chan struct{})
	var again atomic.Bool // for the second worker
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		second := again.Load()
		reached <- struct{}{}
		if r.URL.Path == "/quick" {
			<-finish
		} else if !second {
			<-r.Context().Done()
		}
		_, _ = io.WriteString(w, "done")
	}))
	defer site.Close()
	const grace = 5 * time.Second
	worker := start("SERI_SLOTS=50", "SERI_GRACE="+grace.String())
	var ids []string
	for i := range quick + long {
		path := "/quick"
		if i >= quick {
			path = "/long"
		}
		ids = append(ids, e.post("http.request", map[string]any{"url": site.URL + path}))
	}
	for range ids {
		select {
		case <-reached:
		case <-time.After(patience):
			t.Fatal("the tasks do not run")
		}
	}

	asked := time.Now()
	worker.terminate()
	worker.await("asked to stop")
	close(finish)
	worker.wait()
	took := time.Since(asked)

	ended := make(map[string]int)
	for _, id := range ids {
		ended[e.call(http.MethodGet, "/v1/tasks/"+id, nil, http.StatusOK).State]++
	}
	again.Store(true)
	start("SERI_SLOTS=50")
	lost := 0
	for _, id := range ids {
		if task := e.end(id); task.State != "succeeded" || task.Attempt != 1 {
			lost++
			t.Errorf("ended as %+v", task)
		}
	}
	if ended["succeeded"] != quick || ended["pending"] != long || len(reached) != long {
		t.Errorf("after the end of the worker: %v; %d have begun again", ended, len(reached))
	}
	if took < grace || took > grace+5*time.Second {
		t.Errorf("it took %v", took)
	}
	t.Logf("50 running tasks at SIGTERM: %d finished, %d handed back, %d lost; the process ended after %v, with a grace of %v",
		ended["succeeded"], ended["pending"], lost, took.Round(10*time.Millisecond), grace)
}

// endpoint is where the api answers.
type endpoint struct {
	t        *testing.T
	url, key string
}

type task struct {
	ID      string          `json:"id"`
	State   string          `json:"state"`
	Attempt int             `json:"attempt"`
	Result  json.RawMessage `json:"result"`
	Error   string          `json:"error"`
}

func (e endpoint) post(typ string, payload map[string]any) (id string) {
	e.t.Helper()
	body, err := json.Marshal(map[string]any{"type": typ, "payload": payload})
	if err != nil {
		e.t.Fatal(err)
	}
	return e.call(http.MethodPost, "/v1/tasks", body, http.StatusAccepted).ID
}

// end waits for a task's end. It asks again and again: the events of a task are tested elsewhere.
func (e endpoint) end(id string) task {
	e.t.Helper()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	expired := time.After(patience)
	for {
		t := e.call(http.MethodGet, "/v1/tasks/"+id, nil, http.StatusOK)
		if t.State == "succeeded" || t.State == "failed" {
			return t
		}
		select {
		case <-again.C:
		case <-expired:
			e.t.Fatalf("the task does not end: %+v", t)
		}
	}
}

func (e endpoint) call(method, path string, body []byte, want int) (answer task) {
	e.t.Helper()
	request, err := http.NewRequestWithContext(e.t.Context(), method, e.url+path, bytes.NewReader(body))
	if err != nil {
		e.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+e.key)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		e.t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != want {
		e.t.Fatalf("%s %s answers %d, %v: %s", method, path, response.StatusCode, err, content)
	}
	if err := json.Unmarshal(content, &answer); err != nil {
		e.t.Fatalf("%v in %s", err, content)
	}
	return answer
}
