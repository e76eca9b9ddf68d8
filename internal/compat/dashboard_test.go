package compat

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
)

// built is where TestMain lets the program of the module asynqmon be built, once.
var built struct {
	sync.Once
	dir string
}

func TestMain(m *testing.M) {
	code := m.Run()
	if built.dir != "" {
		_ = os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

// asynqmon builds the program if need be, and returns its path.
func asynqmon(t *testing.T) string {
	t.Helper()
	built.Do(func() {
		dir, err := os.MkdirTemp("", "seri-compat-")
		if err != nil {
			t.Fatal(err)
		}
		built.dir = dir
		build := exec.Command("go", "build", "-o", dir, ".") // a module of its own; see its main.go
		build.Dir, build.Env = "asynqmon", append(os.Environ(), "GOWORK=off")
		if out, err := build.CombinedOutput(); err != nil {
			t.Errorf("go build in internal/compat/asynqmon: %v\n%s", err, out)
		}
	})
	return filepath.Join(built.dir, "asynqmon")
}

// dashboard is a running asynqmon, on asynq v0.24.1.
type dashboard struct {
	t   *testing.T
	url string
}

// newDashboard runs asynqmon on rdb until the test ends.
func newDashboard(t *testing.T, rdb redis.UniversalClient) *dashboard {
	t.Helper()
	var args []string
	switch rdb := rdb.(type) {
	case *redis.Client:
		args = []string{rdb.Options().Addr, strconv.Itoa(rdb.Options().DB)}
	case *redis.ClusterClient:
		args = []string{strings.Join(rdb.Options().Addrs, ",")}
	}
	cmd := exec.Command(asynqmon(t), args...)
	var log bytes.Buffer
	cmd.Stderr = &log
	stdin, err := cmd.StdinPipe() // it ends with it
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("asynqmon has ended with %v and said:\n%s", err, &log)
		}
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("asynqmon does not say where it listens: %v", err)
	}
	return &dashboard{t, strings.TrimSpace(line)}
}

// call makes a request, whose answer must be a success, and returns that. body is sent as JSON unless it is nil.
func (d *dashboard) call(t *testing.T, method, path string, body any) []byte {
	t.Helper()
	var sent io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		sent = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, d.url+"/api/"+path, sent)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != http.StatusOK && answer.StatusCode != http.StatusNoContent {
		t.Fatalf("asynqmon answers %s %s with %s: %s", method, path, answer.Status, text)
	}
	return text
}

// read gets a document.
func read[T any](t *testing.T, d *dashboard, path string) (v T) {
	t.Helper()
	text := d.call(t, http.MethodGet, path, nil)
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("asynqmon's answer to %s: %v: %s", path, err, text)
	}
	return v
}

func (s *stage) path(format string) string { return "queues/" + url.PathEscape(s.queue) + format }
