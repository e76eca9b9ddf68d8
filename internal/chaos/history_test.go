package chaos_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/wire"
)

// history is what the ledgers, the event streams and the keys tell together, once everything has come to rest.
type history struct {
	lease    int64 // µs
	tasks    map[string]*story
	byQueue  map[keys.Queue][]*event // in the order of the stream
	records  map[string]map[string]string
	places   map[string][]string // where an ID stands: "alpha pending", …
	leases   map[string]float64
	strange  []string // keys that are nobody's
	others   []string // keys that are no task's, nor of a lock
	fences   map[keys.Queue]uint64
	windows  []window
	tampered map[string]bool
	highest  map[string]uint64 // of the register
	deaths   map[int]int64
	watchers []*watcher
	calls    []note
	returns  []note
	knocks   []note   // of viewers that come back
	leaks    []string // where the secret was found
	quiet    bool     // nothing was done that could cost a lease
	clocks   bool     // clocks were moved
	figures  *figures
}

// story is all that is known about one task.
type story struct {
	id        string
	typ       string
	queue     keys.Queue
	tried     int64 // Unix µs
	stored    int64 // Unix µs; 0: no
	events    []*event
	starts    []note
	accepted  []note
	fenced    []note
	extended  []note
	tampered  bool
	atLoss    bool // something about it was acknowledged while writes were being lost
	scheduled bool
}

// event is one event of a stream.
type event struct {
	seri.Event
	position string // entry and index
	pid      int    // of the worker, for started
}

func (h *history) story(id string) *story {
	s := h.tasks[id]
	if s == nil {
		s = &story{id: id, tampered: h.tampered[id], scheduled: strings.HasPrefix(id, "sched:")}
		h.tasks[id] = s
	}
	return s
}

// collect makes a history of what a rig has left behind.
func (r *rig) collect(ctx context.Context, f *figures) (*history, error) {
	h := &history{
		lease: r.lease.Microseconds(), tasks: make(map[string]*story), byQueue: make(map[keys.Queue][]*event),
		records: make(map[string]map[string]string), places: make(map[string][]string), leases: make(map[string]float64),
		fences: make(map[keys.Queue]uint64), windows: r.nemesis.windows, tampered: r.tampered, highest: r.register.highest,
		deaths: r.deaths, watchers: r.watchers, quiet: r.scenario.quiet, clocks: r.scenario.clocks, figures: f,
	}
	if err := readLedgers(r.dir, "*", h.add); err != nil {
		return nil, err
	}
	rdb := r.client()
	defer rdb.Close()
	for _, q := range r.queues {
		if err := h.readStream(ctx, rdb, q); err != nil {
			return nil, err
		}
		if text, err := rdb.Get(ctx, q.Fence()).Result(); err == nil {
			h.fences[q], _ = strconv.ParseUint(text, 10, 64)
		}
	}
	if err := h.readKeys(ctx, rdb); err != nil {
		return nil, err
	}
	h.leaks = append(h.leaks, leaksInLogs(r.dir)...)
	for _, s := range h.tasks {
		for _, n := range slices.Concat(s.starts, s.accepted, s.fenced, []note{{at: s.stored}}) {
			s.atLoss = s.atLoss || h.losing(n.at)
		}
	}
	return h, nil
}

// losing reports whether what was acknowledged at a time may have been lost.
func (h *history) losing(at int64) bool { return h.lossAt(at) != nil }

func (h *history) add(_ string, n note) {
	switch n.kind {
	case noteTry:
		s := h.story(n.id)
		typ, queue, _ := strings.Cut(n.more, " ")
		s.tried, s.typ, s.queue = n.at, typ, keys.Queue(queue)
	case noteStored:
		h.story(n.id).stored = n.at
	case noteRefused:
		h.figures.Refused++
	case noteUnknown:
		h.figures.Unknown++
	case noteStart:
		s := h.story(n.id)
		s.starts = append(s.starts, n)
	case noteAccepted:
		s := h.story(n.id)
		s.accepted = append(s.accepted, n)
	case noteFenced:
		s := h.story(n.id)
		s.fenced = append(s.fenced, n)
		h.figures.Fenced++
	case noteExtended:
		s := h.story(n.id)
		n.at, _ = strconv.ParseInt(n.more, 10, 64) // when it was asked for
		s.extended = append(s.extended, n)
	case noteCall:
		h.calls = append(h.calls, n)
	case noteReturn:
		h.returns = append(h.returns, n)
	case noteKnock:
		n.at, _ = strconv.ParseInt(n.more, 10, 64)
		h.knocks = append(h.knocks, n)
	}
}

func (h *history) readStream(ctx context.Context, rdb redis.UniversalClient, q keys.Queue) error {
	for from := "-"; ; {
		entries, err := rdb.XRangeN(ctx, q.Events(), from, "+", 500).Result()
		if err != nil {
			return err
		}
		for _, e := range entries {
			text, _ := e.Values["e"].(string)
			if strings.Contains(text, secret) {
				h.leaks = append(h.leaks, "the event stream of "+string(q))
			}
			decoded, err := wire.DecodeEvents(string(q), text)
			if err != nil {
				return err
			}
			for i, d := range decoded {
				if d.Task == "" { // of a schedule
					continue
				}
				v := &event{Event: d, position: fmt.Sprintf("%s:%d", e.ID, i)}
				if d.Kind == seri.EventStarted {
					if fields := strings.Split(d.Data.Worker, ":"); len(fields) >= 3 {
						v.pid, _ = strconv.Atoi(fields[len(fields)-2])
					}
				}
				h.byQueue[q] = append(h.byQueue[q], v)
				s := h.story(d.Task)
				s.queue = q
				s.events = append(s.events, v)
			}
		}
		if len(entries) < 500 {
			return nil
		}
		from = "(" + entries[len(entries)-1].ID
	}
}

// readKeys reads every key there is.
func (h *history) readKeys(ctx context.Context, rdb redis.UniversalClient) error {
	if c, ok := rdb.(*redis.ClusterClient); ok {
		return c.ForEachMaster(ctx, func(ctx context.Context, one *redis.Client) error {
			h.figures.mu.Lock()
			defer h.figures.mu.Unlock()
			return h.scan(ctx, one)
		})
	}
	return h.scan(ctx, rdb)
}

func (h *history) scan(ctx context.Context, rdb redis.UniversalClient) error {
	for cursor := uint64(0); ; {
		found, next, err := rdb.Scan(ctx, cursor, "*", 1000).Result()
		if err != nil {
			return err
		}
		pipe := rdb.Pipeline()
		hashes := make(map[string]*redis.MapStringStringCmd)
		for _, key := range found {
			h.figures.Keys++
			if _, known := keys.Find(key); !known {
				h.strange = append(h.strange, key)
			}
			if _, id, ok := keys.OfTask(key); ok {
				hashes[id] = pipe.HGetAll(ctx, key)
			} else if !strings.HasPrefix(key, "seri:v1:lock:{lock-") && !strings.Contains(key, "}:unique:") {
				h.others = append(h.others, key)
			}
		}
		if len(hashes) > 0 {
			if _, err := pipe.Exec(ctx); err != nil {
				return err
			}
		}
		for id, cmd := range hashes {
			h.records[id] = cmd.Val()
		}
		for _, key := range found {
			if err := h.readPlace(ctx, rdb, key); err != nil {
				return err
			}
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}

// readPlace notes which IDs stand in a container.
func (h *history) readPlace(ctx context.Context, rdb redis.UniversalClient, key string) error {
	rest, ok := strings.CutPrefix(key, "asynq:{")
	name, what, _ := strings.Cut(rest, "}:")
	if !ok {
		return nil
	}
	var ids []string
	var err error
	switch what {
	case "pending", "active":
		ids, err = rdb.LRange(ctx, key, 0, -1).Result()
	case "scheduled", "retry", "archived", "completed":
		ids, err = rdb.ZRange(ctx, key, 0, -1).Result()
	case "lease":
		var members []redis.Z
		members, err = rdb.ZRangeWithScores(ctx, key, 0, -1).Result()
		for _, m := range members {
			id, _ := m.Member.(string)
			h.leases[id] = m.Score
		}
	}
	for _, id := range ids {
		h.places[id] = append(h.places[id], name+" "+what)
	}
	return err
}

// checkers are the invariants; each returns what is wrong, in sentences that begin with its number.
var checkers = []func(*history) []string{
	checkNothingIsMissing, checkOneEnding, checkTokens, checkHolders, checkLeases, checkTicks, checkEndings, checkSequences,
	checkWatchers, checkStructure, checkKeys, checkRegister, checkLinearizable, checkCrashes, checkSecrets, checkCrowd,
}

// check returns everything that is wrong, the first few of each kind.
func (h *history) check() (faults []string) {
	for _, c := range checkers {
		found := c(h)
		slices.SortFunc(found, cmp.Compare[string])
		const most = 8
		if len(found) > most {
			found = append(found[:most], fmt.Sprintf("%.3s … and %d more", found[0], len(found)-most))
		}
		faults = append(faults, found...)
	}
	return faults
}

// tell returns a task's story for a person to read.
func (s *story) tell() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s in %s, handed over %d, acknowledged %d)", s.id, s.typ, s.queue, s.tried, s.stored)
	for _, e := range s.events {
		fmt.Fprintf(&b, "\n    %d  event %d %s %s attempt %d process %d", e.Time.UnixMilli(), e.Seq, e.Kind, e.Data.Reason, e.Data.Attempt, e.pid)
	}
	notes := slices.Concat(s.starts, s.accepted, s.fenced, s.extended)
	slices.SortFunc(notes, func(a, b note) int { return cmp.Compare(a.at, b.at) })
	for _, n := range notes[:min(len(notes), 40)] {
		fmt.Fprintf(&b, "\n    %d  process %d: %s under token %d %s", n.at/1000, n.pid, n.kind, n.token, n.more)
	}
	return b.String()
}

// eventsIn counts the events of an entry.
func eventsIn(entry string) int {
	decoded, err := wire.DecodeEvents("", entry)
	if err != nil {
		return 0
	}
	return len(decoded)
}
