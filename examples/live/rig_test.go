package live_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/api"
	"github.com/seri-queue/seri/internal/proctest"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/internal/role"
	"github.com/seri-queue/seri/worker"
)

const patience = 60 * time.Second

// roleVariable makes this binary an api: a real process, which can be killed.
// terminate is what asks a process to end.
const terminate = syscall.SIGTERM

const roleVariable = "LIVE_TEST_ROLE"

func TestMain(m *testing.M) {
	if os.Getenv(roleVariable) != "" {
		go proctest.ExitWithParent(3, nil)
		role.Main("api", "An api, played by a test.", new(role.API))
	}
	os.Exit(m.Run())
}

// rig is an api in a process of its own, behind a network that can be cut, and a worker whose tasks do as they are told.
type rig struct {
	t     *testing.T
	redis *redistest.Server
	net   *network
	key   string
	env   []string
	api   *proctest.Process

	mu    sync.Mutex
	tasks map[string]chan step // by ID
}

// step is what a task is told to do next: to come further, or to end.
type step struct {
	done, total int64
	fail        error
	end         bool
	over        chan struct{} // closed when it is done
}

var report = seri.NewTask[struct{}, string]("report.make", seri.MaxRetries(0))

// newRig starts everything. Pages of the origins may watch.
func newRig(t *testing.T, origins ...string) *rig {
	t.Helper()
	key, err := api.NewKey("app")
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, redis: redistest.Exclusive(t), net: newNetwork(t), key: key.Secret, tasks: make(map[string]chan step)}
	r.env = []string{
		roleVariable + "=api", "SERI_API_KEYS=" + key.Entry, "SERI_TOKEN_SECRETS=t:" + strings.Repeat("Zm9yIHRl", 8),
		"SERI_ALLOWED_ORIGINS=" + strings.Join(origins, ","), "SERI_REDIS_URL=" + r.redis.URL(),
		"SERI_HTTP_ADDR=127.0.0.1:0", "SERI_HTTP_DRAIN=0s", "SERI_ALLOW_UNKNOWN_TYPES=true",
	}
	r.start()
	t.Cleanup(func() { r.api.Kill() })

	w, err := worker.New(r.redis.Client(), []seri.Handler{report.HandledBy(r.work)}, worker.Config{Slots: 20, Grace: time.Millisecond, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	go func() { defer close(stopped); _ = w.Run(ctx) }()
	t.Cleanup(func() { stop(); <-stopped })
	return r
}

// start starts an api, and lets the network lead to it.
func (r *rig) start() {
	r.t.Helper()
	p, err := proctest.Start(proctest.Command{Env: r.env})
	if err != nil {
		r.t.Fatal(err)
	}
	r.api = p
	deadline := time.After(patience)
	for {
		lines, grown := p.Lines()
		for _, line := range lines {
			var started struct{ Msg, Addr string }
			if json.Unmarshal([]byte(line), &started) == nil && started.Msg == "api started" {
				r.net.lead(started.Addr)
				return
			}
		}
		select {
		case <-grown:
		case <-p.Exited:
			r.t.Fatalf("the api has ended: %s", p.Output())
		case <-deadline:
			r.t.Fatalf("the api does not start: %s", p.Output())
		}
	}
}

// work is the handler: it does the steps that it is given.
func (r *rig) work(ctx context.Context, _ struct{}) (string, error) {
	execution, _ := seri.ExecutionFrom(ctx)
	steps := r.steps(execution.ID)
	for {
		select {
		case s := <-steps:
			if !s.end {
				seri.Progress(ctx, s.done, s.total, fmt.Sprintf("page %d of %d", s.done, s.total))
				close(s.over)
				continue
			}
			close(s.over)
			return "report.pdf", s.fail
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
}

func (r *rig) steps(id string) chan step {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tasks[id] == nil {
		r.tasks[id] = make(chan step)
	}
	return r.tasks[id]
}

func (r *rig) tell(id string, s step) {
	r.t.Helper()
	s.over = make(chan struct{})
	select {
	case r.steps(id) <- s:
		<-s.over
	case <-time.After(patience):
		r.t.Fatalf("task %s does not take a step", id)
	}
}

func (r *rig) progress(id string, done, total int64) {
	r.t.Helper()
	r.tell(id, step{done: done, total: total})
}

// finish ends a task and waits until Redis has it.
func (r *rig) finish(id string) {
	r.t.Helper()
	r.tell(id, step{end: true})
	rdb := r.redis.Client()
	for r.t.Context().Err() == nil {
		state, err := rdb.HGet(r.t.Context(), "asynq:{default}:t:"+id, "state").Result()
		if err == nil && state == "completed" {
			return
		}
	}
}

// enqueue hands a report over as an application would, and returns its ID and a token for it.
func (r *rig) enqueue(ttl int) (id, token string) {
	r.t.Helper()
	var task api.Accepted
	r.call(fmt.Sprintf("/v1/tasks?token_ttl=%d", ttl), map[string]any{"type": "report.make", "payload": struct{}{}}, &task)
	return task.ID, task.Token
}

func (r *rig) call(path string, body, answer any) {
	r.t.Helper()
	r.ask(http.MethodPost, path, body, answer)
}

// ask sends the api a request, with the key of the application.
func (r *rig) ask(method, path string, body, answer any) {
	r.t.Helper()
	encoded, err := json.Marshal(body)
	if err != nil {
		r.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.net.url()+path, bytes.NewReader(encoded))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+r.key)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= 300 {
		err = fmt.Errorf("%s: %s", resp.Status, text)
	}
	if err := cmp.Or(err, json.Unmarshal(text, answer)); err != nil {
		r.t.Fatal(err)
	}
}

// network is a port that leads to an api, and can be cut.
type network struct {
	listener net.Listener

	mu    sync.Mutex
	to    string // empty: cut
	conns map[net.Conn]bool
}

func newNetwork(t *testing.T) *network {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &network{listener: listener, conns: make(map[net.Conn]bool)}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() { n.carry(conn) })
		}
	})
	t.Cleanup(func() { listener.Close(); n.cut(); all.Wait() })
	return n
}

func (n *network) url() string { return "http://" + n.listener.Addr().String() }

// lead opens the network, to an api.
func (n *network) lead(addr string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.to = addr
}

// cut ends all connections, and those that are made after it, until it leads somewhere again.
func (n *network) cut() (was string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	was, n.to = n.to, ""
	for conn := range n.conns {
		conn.Close()
	}
	return was
}

func (n *network) carry(conn net.Conn) {
	defer conn.Close()
	n.mu.Lock()
	to := n.to
	n.mu.Unlock()
	if to == "" {
		return
	}
	other, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer other.Close()
	n.mu.Lock()
	if n.to != to {
		n.mu.Unlock()
		return
	}
	n.conns[conn], n.conns[other] = true, true
	n.mu.Unlock()
	back := make(chan struct{})
	go func() {
		defer close(back)
		_, _ = io.Copy(conn, other)
		conn.Close()
	}()
	_, _ = io.Copy(other, conn)
	other.Close()
	<-back
	n.mu.Lock()
	delete(n.conns, conn)
	delete(n.conns, other)
	n.mu.Unlock()
}
