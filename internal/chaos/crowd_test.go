package chaos_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gorilla/websocket"

	"github.com/seri-queue/seri/internal/devstore/redisproc"
)

// F12 for those who watch: an api stops or dies, and its whole crowd is to come back, but not all at once.

// crowdOf is how many viewers there are of each kind, and crowdShare the part of them that may knock within a tenth of a second.
const (
	crowdOf     = 250
	crowdShare  = 0.2
	crowdBucket = 100 * time.Millisecond
)

// viewer is one who watches what hardly ever changes, and does what browsers do when their connection ends: an EventSource
// waits for as long as it was last told to, and seri.js for as long as the reason of the close says, or, without one, for a
// random time that grows.
type viewer struct {
	name   string // its kind, and its number
	addr   string
	socket bool
	notes  *ledger
	inside *atomic.Int64 // how many are connected

	retry time.Duration // what an EventSource was last told
}

// browserRetry is what browsers wait that were told nothing.
const browserRetry = 3 * time.Second

func (v *viewer) run(ctx context.Context, first time.Duration) {
	v.retry = browserRetry
	rest(ctx, first) // they have come one by one
	for failures := 0; ctx.Err() == nil; {
		wait, opened := v.watch(ctx)
		if opened {
			failures = 0
		}
		if v.socket && wait == 0 {
			wait = rand.N(min(30*time.Second, time.Second<<failures)) + time.Millisecond
			failures = min(failures+1, 5)
		}
		due := time.Now().Add(wait)
		rest(ctx, wait)
		if ctx.Err() == nil { // five hundred viewers share one process, which may be kept from running when some of them are due
			v.notes.note(noteKnock, v.name, 0, strconv.FormatInt(due.UnixMicro(), 10))
		}
	}
}

// watch watches until the connection ends, and returns how long to wait before the next.
func (v *viewer) watch(ctx context.Context) (wait time.Duration, opened bool) {
	query := "?" + url.Values{"owner": {v.name}}.Encode()
	if v.socket {
		return v.watchSocket(ctx, "ws://"+v.addr+"/v1/ws"+query)
	}
	opened = v.watchEvents(ctx, "http://"+v.addr+"/v1/events"+query)
	return v.retry, opened
}

func (v *viewer) watchSocket(ctx context.Context, address string) (wait time.Duration, opened bool) {
	dialer := websocket.Dialer{Subprotocols: []string{"cloudevents.json"}}
	conn, _, err := dialer.DialContext(ctx, address, nil)
	if err != nil {
		return 0, false
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	v.inside.Add(1)
	defer v.inside.Add(-1)
	for {
		_, _, err := conn.ReadMessage()
		if closed, ok := errors.AsType[*websocket.CloseError](err); ok {
			reason, _ := url.ParseQuery(closed.Text)
			wait, _ = time.ParseDuration(reason.Get("reconnect_ms") + "ms")
			return wait, true
		}
		if err != nil {
			return 0, true
		}
	}
}

func (v *viewer) watchEvents(ctx context.Context, address string) (opened bool) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return false
	}
	v.inside.Add(1)
	defer v.inside.Add(-1)
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		if told, ok := strings.CutPrefix(lines.Text(), "retry: "); ok {
			ms, _ := strconv.Atoi(told)
			v.retry = time.Duration(ms) * time.Millisecond
		}
	}
	return true
}

// sendTheCrowdHome is F12: the api stops, and comes back, and dies, and comes back, with a crowd of viewers each time.
func sendTheCrowdHome(ctx context.Context, r *rig) error {
	addr := fmt.Sprintf("127.0.0.1:%d", redisproc.FreePort())
	if err := r.addMember(part{Role: "api", Args: apiArgs(addr)}); err != nil {
		return err
	}
	if err := healthy(ctx, addr); err != nil {
		return err
	}
	watching, stop := context.WithCancel(ctx)
	var viewers sync.WaitGroup
	defer viewers.Wait()
	defer stop()
	var inside atomic.Int64
	random := rand.New(rand.NewPCG(r.figures.Seed, 12))
	for n := range 2 * crowdOf {
		v := &viewer{name: fmt.Sprintf("source-%d", n), addr: addr, notes: r.notes, inside: &inside}
		if v.socket = n%2 == 1; v.socket {
			v.name = fmt.Sprintf("socket-%d", n)
		}
		first := between(random, 0, 2*time.Second)
		viewers.Go(func() { v.run(watching, first) })
	}
	complete := func() error {
		return within(time.Minute, func(context.Context) error {
			if n := inside.Load(); n < 2*crowdOf {
				return fmt.Errorf("I12: of %d viewers %d have come back", 2*crowdOf, n)
			}
			return nil
		})
	}
	for _, fault := range []string{"api-stop", "api-kill"} {
		if err := complete(); err != nil {
			return err
		}
		r.nemesis.strike(ctx, stroke{fault: fault, dice: random.Uint64()})
	}
	return complete()
}

// stopAPI is F4, kindly: the api is told to stop, says to its clients when to come back, and is replaced.
func stopAPI(_ context.Context, r *rig, random *rand.Rand, _ *window) (int, error) {
	m := pickOne(random, r.fleet.role("api"))
	m.busy.Lock()
	defer m.busy.Unlock()
	p := m.current()
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return 0, err
	}
	select {
	case <-p.Exited:
		return 1, nil
	case <-time.After(20 * time.Second):
		return 0, fmt.Errorf("an api has not stopped: %s", p.Output())
	}
}

// checkCrowd is I12 for a crowd whose api goes away: within no tenth of a second does more than a fifth of it knock at the
// next one.
func checkCrowd(h *history) (faults []string) {
	if len(h.knocks) == 0 {
		return nil
	}
	for i, w := range h.windows {
		if !strings.HasPrefix(w.fault, "api-") {
			continue
		}
		until := int64(1<<63 - 1)
		if i+1 < len(h.windows) {
			until = h.windows[i+1].from
		}
		for _, kind := range []string{"source", "socket"} {
			buckets := make(map[int64]int)
			came, most := 0, 0
			for _, n := range h.knocks {
				if strings.HasPrefix(n.id, kind) && w.from <= n.at && n.at < until {
					came++
					bucket := (n.at - w.from) / crowdBucket.Microseconds()
					buckets[bucket]++
					most = max(most, buckets[bucket])
				}
			}
			h.figures.Knocks += came
			h.figures.Densest = max(h.figures.Densest, float64(most)/crowdOf)
			if came < crowdOf {
				faults = append(faults, fmt.Sprintf("I12: after %s, %d of %d viewers (%s) have come back", w.fault, came, crowdOf, kind))
			}
			if float64(most) > crowdShare*crowdOf {
				faults = append(faults, fmt.Sprintf("I12: after %s, %d of %d viewers (%s) came back within %v", w.fault, most, crowdOf, kind, crowdBucket))
			}
		}
	}
	return faults
}
