package chaos_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/seri-queue/seri/internal/devstore/redisproc"
	"github.com/seri-queue/seri/internal/keys"
)

// watcher follows one queue over Server-Sent Events as a browser would: it reconnects at its cursor whenever its
// connection ends, and now and then it ends that itself.
type watcher struct {
	queue keys.Queue
	url   string

	mu         sync.Mutex
	cursor     string
	seen       []string       // positions of events, in the order in which they came
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
		q := r.queues[i%len(r.queues)]
		r.addWatcher(q, "http://"+addr+"/v1/events?"+url.Values{"queue": {string(q)}}.Encode())
	}
	r.t.Cleanup(r.stopWatchers)
	return nil
}

// addWatcher starts one watcher of a queue, from the first event on.
func (r *rig) addWatcher(q keys.Queue, url string) {
	ctx, cancel := context.WithCancel(context.Background())
	w := &watcher{queue: q, url: url, cursor: beginning, cancel: cancel, standsFor: make(map[string]int)}
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
		call, cancel := context.WithTimeout(ctx, between(random, 300*time.Millisecond, 5*time.Second))
		w.connect(call)
		cancel()
		w.mu.Lock()
		w.reconnects++
		w.mu.Unlock()
		rest(ctx, between(random, time.Millisecond, 100*time.Millisecond))
	}
}

// connect reads from the cursor on until the connection ends.
func (w *watcher) connect(ctx context.Context) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url, nil)
	if err != nil {
		return
	}
	w.mu.Lock()
	request.Header.Set("Last-Event-ID", w.cursor)
	w.mu.Unlock()
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
				w.take(id, kind, data)
			}
			if lines.Text() == "" {
				id, kind, data = "", "", ""
			}
		}
	}
}

func (w *watcher) take(id, kind, data string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cursor = id
	switch {
	case strings.HasPrefix(kind, "dev.seri.task."):
		w.seen = append(w.seen, id)
		if _, n, found := strings.Cut(data, `"conflated":`); found {
			w.standsFor[id], _ = strconv.Atoi(n[:max(strings.IndexAny(n, ",}"), 0)])
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
