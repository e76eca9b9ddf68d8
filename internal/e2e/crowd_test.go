package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/seri-queue/seri/internal/api"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/internal/wire"
)

var (
	crowdViewers = flag.Int("viewers", 40, "how many clients the crowd has")
	crowdTasks   = flag.Int("tasks-each", 10, "how many tasks each of them watches")
	crowdSpread  = flag.Duration("spread", 8*time.Second, "the time over which their tasks start")
)

// TestACrowdMissesNothing has clients that behave as browsers do watch their tasks through two gateways, over one WebSocket
// each, while gateways, the worker and Redis are killed and restarted. What each has seen in the end is what has happened.
//
// The full run: go test ./internal/e2e -run Crowd -v -timeout 20m -viewers 2000 -spread 90s
func TestACrowdMissesNothing(t *testing.T) {
	t.Parallel()
	key, err := api.NewKey("e2e")
	if err != nil {
		t.Fatal(err)
	}
	server := redistest.Exclusive(t, "--appendonly", "yes", "--appendfsync", "always")
	gateways := make([]*gatewayProcess, 2)
	for i := range gateways {
		_, port, _ := strings.Cut(closedPort(t), ":")
		gateways[i] = &gatewayProcess{c: command{
			role: "api",
			args: []string{"--redis-url", server.URL(), "--http-addr", "127.0.0.1:" + port, "--http-drain", "0s", "--max-events", "1000000", "--log-level", "error"},
			env:  []string{"SERI_API_KEYS=" + key.Entry, "SERI_TOKEN_SECRETS=t:" + strings.Repeat("Zm9yIHRl", 8)},
		}}
		if i == 1 {
			gateways[i].c.args = append(gateways[i].c.args, "--role", "gateway")
		}
		gateways[i].url = "127.0.0.1:" + port
		gateways[i].start(t)
	}
	worker := command{role: "worker", args: []string{
		"--redis-url", server.URL(), "--allow-hosts", "127.0.0.0/8:*", "--lease", "2s", "--slots", "50", "--max-events", "1000000", "--log-level", "error",
	}}
	busy := start(t, worker)
	target := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(target.Close)

	site := &site{endpoint: endpoint{t, "http://" + gateways[0].url, key.Secret}, redis: server}
	c := &crowd{t: t, gateways: gateways}
	c.handOver(site, target.URL)
	idle := []int{rss(t, gateways[0].p.pid()), rss(t, gateways[1].p.pid())}

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	var all sync.WaitGroup
	for _, v := range c.viewers {
		all.Go(func() { v.run(ctx) })
	}
	c.await(ctx, func() bool { return c.shown.Load() == int64(c.tasks()) })
	for i, g := range gateways {
		t.Logf("gateway %d: %d KiB, and %d more for %d clients in all, with %d tasks each", i, idle[i], rss(t, g.p.pid())-idle[i], len(c.viewers), *crowdTasks)
	}

	for _, fault := range []struct {
		share float64 // of the tasks that have ended before it
		name  string
		do    func()
	}{
		{0.05, "gateway killed", func() { gateways[0].p.Kill(); gateways[0].start(t) }},
		{0.20, "worker killed", func() { busy.Kill(); busy = start(t, worker) }},
		{0.35, "Redis killed", func() { server.Kill(); server.Start() }},
		{0.50, "gateway stopped", func() { gateways[1].p.signal(syscall.SIGTERM); gateways[1].p.wait(); gateways[1].start(t) }},
		{0.65, "gateway killed", func() { gateways[1].p.Kill(); gateways[1].start(t) }},
		{0.75, "Redis killed", func() { server.Kill(); server.Start() }},
		{0.85, "worker killed", func() { busy.Kill(); busy = start(t, worker) }},
	} {
		c.await(ctx, func() bool { return float64(c.ended.Load()) >= fault.share*float64(c.tasks()) })
		t.Logf("%s, with %d of %d tasks ended", fault.name, c.ended.Load(), c.tasks())
		fault.do()
	}
	all.Wait()
	c.settle(site)
}

// gatewayProcess is an api or a gateway that comes back at the same address.
type gatewayProcess struct {
	c   command
	url string
	p   *process
}

func (g *gatewayProcess) start(t *testing.T) {
	t.Helper()
	g.p = start(t, g.c)
	expired := time.After(patience)
	for {
		answer, err := http.Get("http://" + g.url + "/readyz")
		if err == nil {
			answer.Body.Close()
			return
		}
		select {
		case <-g.p.exited:
			t.Fatal("the gateway has ended")
		case <-expired:
			t.Fatal("the gateway does not answer")
		default:
		}
	}
}

// rss is what a process has in memory, in KiB.
func rss(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0 // not on Linux
	}
	for line := range strings.Lines(string(status)) {
		var n int
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &n); err == nil {
			return n
		}
	}
	return 0
}

type crowd struct {
	t        *testing.T
	gateways []*gatewayProcess
	viewers  []*viewer
	shown    atomic.Int64 // tasks whose snapshots have come
	ended    atomic.Int64
}

func (c *crowd) tasks() int { return len(c.viewers) * *crowdTasks }

// handOver enqueues the tasks of each viewer, and gets a token for them.
func (c *crowd) handOver(s *site, target string) {
	c.t.Helper()
	var batch []map[string]any
	flush := func() {
		status, answer := s.call(http.MethodPost, "/v1/tasks/batch", map[string]any{"tasks": batch})
		if status != http.StatusOK || strings.Contains(string(answer), `"problem"`) {
			c.t.Fatalf("the tasks were answered %d: %.300s", status, answer)
		}
		batch = nil
	}
	lead := 5*time.Second + time.Duration(*crowdViewers)*20*time.Millisecond // until all watch
	for i := range *crowdViewers {
		v := &viewer{crowd: c, seen: make(map[string]*sight)}
		c.viewers = append(c.viewers, v)
		var ids []string
		for n := range *crowdTasks {
			id := fmt.Sprintf("v%d-%d", i, n)
			ids = append(ids, id)
			v.seen[id] = new(sight)
			batch = append(batch, map[string]any{
				"type": "http.request", "payload": map[string]any{"url": target}, "id": id,
				"countdown": (lead + rand.N(*crowdSpread)).Seconds(),
			})
		}
		if len(batch) >= 900 {
			flush()
		}
		status, answer := s.call(http.MethodPost, "/v1/tokens", map[string]any{"tasks": ids, "ttl": 3600})
		if status != http.StatusCreated {
			c.t.Fatalf("a token was answered %d: %s", status, answer)
		}
		v.token = decode[api.Token](c.t, answer).Token
	}
	if len(batch) > 0 {
		flush()
	}
}

// await waits until something is true of what the viewers have seen.
func (c *crowd) await(ctx context.Context, is func() bool) {
	c.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			c.t.Fatalf("%d tasks were shown and %d have ended, of %d", c.shown.Load(), c.ended.Load(), c.tasks())
		}
	}
}

// settle compares what was seen with what has happened.
func (c *crowd) settle(s *site) {
	c.t.Helper()
	last := make(map[string]uint64)
	for _, e := range s.events("default") {
		last[e.Task] = max(last[e.Task], e.Seq)
	}
	var expected, delivered, repeated, missed, gaps, resumes, unfinished int
	for _, v := range c.viewers {
		gaps, resumes, repeated = gaps+v.gaps, resumes+v.resumes, repeated+v.repeated
		for id, seen := range v.seen {
			expected += int(last[id] - seen.base)
			delivered += seen.delivered
			missed += seen.missed
			if seen.last != last[id] {
				unfinished++
			}
		}
	}
	c.t.Logf("%d clients, %d tasks, %d resumptions: %d events expected, %d delivered, %d missed, %d shown by a snapshot before and dropped by their number; %d gaps announced; %d tasks not seen to their end",
		len(c.viewers), c.tasks(), resumes, expected, delivered, missed, repeated, gaps, unfinished)
	if missed > 0 || unfinished > 0 || gaps == 0 && delivered != expected {
		c.t.Error("something was not seen as it happened")
	}
}

// viewer is one client. It does what seri.js does.
type viewer struct {
	*crowd
	token string

	cursor   string
	seen     map[string]*sight
	left     int // tasks that have not ended
	gaps     int
	resumes  int
	repeated int
}

// sight is what a viewer knows of a task.
type sight struct {
	shown     bool   // by a snapshot
	base      uint64 // the number that the first snapshot showed
	last      uint64
	delivered int
	missed    int
	ended     bool
}

func (v *viewer) run(ctx context.Context) {
	v.left = len(v.seen)
	for failures := 0; v.left > 0 && ctx.Err() == nil; {
		wait, opened := v.connect(ctx)
		if opened {
			failures = 0
		}
		if wait == 0 {
			wait = rand.N(min(30*time.Second, time.Second<<failures)) + time.Millisecond
			failures = min(failures+1, 6)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

// connect watches until the connection ends or all tasks have. It returns how long the server asks to wait, if it does.
func (v *viewer) connect(ctx context.Context) (wait time.Duration, opened bool) {
	dialer := websocket.Dialer{Subprotocols: []string{"seri.v1", "seri.token." + v.token}, HandshakeTimeout: 20 * time.Second}
	conn, _, err := dialer.DialContext(ctx, "ws://"+v.gateways[rand.N(len(v.gateways))].url+"/v1/ws", nil)
	if err != nil {
		return 0, false
	}
	defer conn.Close()
	if err := v.subscribe(conn); err != nil {
		return 0, false
	}
	for v.left > 0 {
		if err := conn.SetReadDeadline(time.Now().Add(65 * time.Second)); err != nil {
			return 0, opened
		}
		_, frame, err := conn.ReadMessage()
		if closed, ok := errors.AsType[*websocket.CloseError](err); ok {
			reason, _ := url.ParseQuery(closed.Text)
			if after := reason.Get("after"); after != "" {
				v.cursor = after
			}
			wait, _ = time.ParseDuration(reason.Get("reconnect_ms") + "ms")
			return wait, opened
		}
		if err != nil {
			return 0, opened
		}
		opened = true
		v.take(frame)
	}
	return 0, true
}

// subscribe asks for what was shown after the cursor, and for snapshots of the rest.
func (v *viewer) subscribe(conn *websocket.Conn) error {
	var again, anew []map[string]string
	for id, s := range v.seen {
		entry := map[string]string{"id": id, "task": id, "queue": "default"}
		if s.shown {
			again = append(again, entry)
		} else {
			anew = append(anew, entry)
		}
	}
	if len(again) > 0 {
		v.resumes++
		if err := conn.WriteJSON(map[string]any{"op": "subscribe", "after": v.cursor, "subscriptions": again}); err != nil {
			return err
		}
	}
	if len(anew) > 0 {
		return conn.WriteJSON(map[string]any{"op": "subscribe", "subscriptions": anew})
	}
	return nil
}

func (v *viewer) take(frame []byte) {
	var ce wire.CloudEvent
	if err := json.Unmarshal(frame, &ce); err != nil {
		v.t.Error(err)
		return
	}
	if ce.Cursor != "" {
		v.cursor = ce.Cursor
	}
	switch {
	case ce.Type == wire.TypeGap, ce.Type == wire.TypeReset:
		v.gaps++
	case ce.Type == wire.TypeError:
		v.t.Errorf("got %s", frame)
	case ce.Type == wire.TypeSnapshot:
		var s wire.Snapshot
		if err := json.Unmarshal(ce.Data, &s); err != nil || len(s.Tasks) != 1 {
			v.t.Errorf("got %s", frame)
			return
		}
		v.show(s.Tasks[0])
	case strings.HasPrefix(ce.Type, "dev.seri.task."):
		var e wire.TaskEvent
		if err := json.Unmarshal(ce.Data, &e); err != nil {
			v.t.Error(err)
			return
		}
		s := v.seen[e.Task]
		switch {
		case s == nil || !s.shown:
			v.t.Errorf("got an event of a task that was not shown: %s", frame)
			return
		case e.Seq <= s.last:
			v.repeated++
			return
		}
		s.missed += int(e.Seq-s.last) - 1 - ce.Conflated
		s.delivered += 1 + ce.Conflated
		s.last = e.Seq
		if e.State.Terminal() {
			v.end(s)
		}
	}
}

func (v *viewer) show(task wire.Task) {
	s := v.seen[task.ID]
	if !s.shown {
		s.shown, s.base = true, task.Seq
		v.shown.Add(1)
	}
	s.last = max(s.last, task.Seq)
	if task.State.Terminal() {
		v.end(s)
	}
}

func (v *viewer) end(s *sight) {
	if !s.ended {
		s.ended = true
		v.left--
		v.ended.Add(1)
	}
}
