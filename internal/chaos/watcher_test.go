package chaos_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/seri-queue/seri/internal/devstore/redisproc"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/wire"
)

// watcher follows one queue over Server-Sent Events as a browser would: it reconnects at its cursor whenever its
// connection ends, and now and then it ends that itself. One that is slow follows it over a WebSocket with little room on
// the way, and stops reading for seconds.
type watcher struct {
	queue keys.Queue
	addr  string // of the api
	slow  bool
	hurry chan struct{} // closed when a slow one is to read on

	mu         sync.Mutex
	cursor     string
	seen       []string       // positions of events, in the order in which they came
	begins     []int          // of connections: how many events had been seen by then
	standsFor  map[string]int // how many events of progress, made old by it, were let go of for an event, by its position
	gaps       int
	snapshots  int
	reconnects int

	cancel  context.CancelFunc
	stopped sync.WaitGroup
}

// beginning is a cursor before the first event of any stream.
const beginning = "0-0:0"

// addWatchers starts an api and watchers of it, half of them for each queue.
func (r *rig) addWatchers(n int) error {
	addr := fmt.Sprintf("127.0.0.1:%d", redisproc.FreePort())
	if err := r.addMember(part{Role: "api", Args: append(apiArgs(addr), r.scenario.apiFlags...)}); err != nil {
		return err
	}
	for i := range n {
		r.addWatcher(r.queues[i%len(r.queues)], addr, i < r.scenario.slow)
	}
	r.t.Cleanup(r.stopWatchers)
	return nil
}

// addWatcher starts one watcher of a queue, from the first event on.
func (r *rig) addWatcher(q keys.Queue, addr string, slow bool) {
	ctx, cancel := context.WithCancel(context.Background())
	w := &watcher{queue: q, addr: addr, slow: slow, hurry: make(chan struct{}), cursor: beginning, cancel: cancel, standsFor: make(map[string]int)}
	random := rand.New(rand.NewPCG(uint64(len(r.watchers)), 1))
	w.stopped.Go(func() { w.run(ctx, random) })
	r.watchers = append(r.watchers, w)
}

// apiArgs are the flags of an api that listens at addr.
func apiArgs(addr string) []string {
	return []string{"--insecure-dev", "--http-addr", addr, "--http-drain", "0s"}
}

func (r *rig) stopWatchers() {
	for _, w := range r.watchers {
		w.cancel()
		w.stopped.Wait()
	}
}

func (w *watcher) run(ctx context.Context, random *rand.Rand) {
	for ctx.Err() == nil {
		w.mu.Lock()
		w.begins = append(w.begins, len(w.seen))
		w.mu.Unlock()
		if w.slow {
			call, cancel := context.WithTimeout(ctx, between(random, 8*time.Second, 16*time.Second))
			w.dawdle(call, random)
			cancel()
		} else {
			call, cancel := context.WithTimeout(ctx, between(random, 300*time.Millisecond, 5*time.Second))
			w.connect(call)
			cancel()
		}
		w.mu.Lock()
		w.reconnects++
		w.mu.Unlock()
		rest(ctx, between(random, time.Millisecond, 100*time.Millisecond))
	}
}

// connect reads from the cursor on until the connection ends.
func (w *watcher) connect(ctx context.Context) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.addr+"/v1/events?"+url.Values{"queue": {string(w.queue)}}.Encode(), nil)
	if err != nil {
		return
	}
	request.Header.Set("Last-Event-ID", w.position())
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return
	}
	var id, kind, data string
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 16<<20) // a snapshot may be long
	for lines.Scan() {
		switch field, value, _ := strings.Cut(lines.Text(), ":"); field {
		case "id":
			id = strings.TrimSpace(value)
		case "event":
			kind = strings.TrimSpace(value)
		case "data":
			data = value
		case "": // the end of a frame, or a comment
			if lines.Text() == "" && id != "" {
				w.take(id, kind, conflatedIn(data))
			}
			if lines.Text() == "" {
				id, kind, data = "", "", ""
			}
		}
	}
}

// conflatedIn returns how many events an event says that it stands for besides itself.
func conflatedIn(data string) int {
	_, text, _ := strings.Cut(data, `"conflated":`)
	n, _ := strconv.Atoi(text[:max(strings.IndexAny(text, ",}"), 0)])
	return n
}

// narrow is the room for what a slow watcher has not read yet, in bytes. With less than one segment of the loopback's it would be
// slow at all times, and never come as far as the gateway is.
const narrow = 96 << 10

// dawdle reads from the cursor on until the connection ends, and now and then not for seconds.
func (w *watcher) dawdle(ctx context.Context, random *rand.Rand) {
	dialer := websocket.Dialer{Subprotocols: []string{"cloudevents.json"}, NetDialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if tcp, ok := conn.(*net.TCPConn); ok {
			err = tcp.SetReadBuffer(narrow)
		}
		return conn, err
	}}
	query := url.Values{"queue": {string(w.queue)}, "after": {w.position()}}
	conn, _, err := dialer.DialContext(ctx, "ws://"+w.addr+"/v1/ws?"+query.Encode(), nil)
	if err != nil {
		return
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	// It has to come as far as the gateway is, and then to stop for long enough that its buffer is more than half full, and not
	// so long that it is full: then it reads all of it from the stream.
	for awake := time.Now().Add(time.Second); ; {
		var ce wire.CloudEvent
		if err := conn.ReadJSON(&ce); err != nil {
			return
		}
		w.take(ce.Cursor, ce.Type, ce.Conflated)
		if time.Now().Before(awake) {
			continue
		}
		select {
		case <-time.After(between(random, 500*time.Millisecond, 4*time.Second)):
		case <-w.hurry:
		case <-ctx.Done():
		}
		awake = time.Now().Add(between(random, 200*time.Millisecond, 600*time.Millisecond))
	}
}

func (w *watcher) position() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cursor
}

func (w *watcher) take(id, kind string, conflated int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cursor = id
	switch {
	case strings.HasPrefix(kind, "dev.seri.task."):
		w.seen = append(w.seen, id)
		if conflated > 0 {
			w.standsFor[id] = conflated
		}
	case kind == "dev.seri.gap", kind == "dev.seri.reset":
		w.gaps++
	case kind == "dev.seri.snapshot":
		w.snapshots++
	}
}

// catchUp waits until the watcher has come to the position.
func (w *watcher) catchUp(last string, patience time.Duration) error {
	return within(patience, func(context.Context) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if n := len(w.seen); n == 0 || w.seen[n-1] != last {
			return fmt.Errorf("the watcher of %s is at %s, the stream at %s", w.queue, w.cursor, last)
		}
		return nil
	})
}
