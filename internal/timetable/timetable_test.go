package timetable

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/internal/schedule"
	"github.com/seri-queue/seri/internal/store"
)

// hall is a timetable and a queue of its own for one test. Its clock stands.
type hall struct {
	*Timetable
	t   *testing.T
	rdb redis.UniversalClient
	q   keys.Queue
	a   string // an ID that no other test has
	at  time.Time
}

// each runs a test on one Redis, on a cluster of three masters and on the embedded store.
func each(t *testing.T, test func(h *hall)) {
	t.Helper()
	t.Parallel()
	redistest.EachWithEmbedded(t, func(t *testing.T, rdb redis.UniversalClient) {
		q := redistest.Queue(t)
		h := &hall{New(rdb, store.Config{}), t, rdb, keys.Queue(q), "a." + q, time.Unix(1_700_000_005, 0)}
		h.now = func(context.Context) (time.Time, error) { return h.at, nil }
		test(h)
	})
}

// define returns the change to a definition; more are further fields of it.
func (h *hall) define(id, more string) func([]byte) (schedule.Schedule, error) {
	return func([]byte) (s schedule.Schedule, err error) {
		err = json.Unmarshal(fmt.Appendf(nil, `{"id":%q,"task":"report","queue":%q,%s}`, id, h.q, more), &s)
		return s, err
	}
}

func (h *hall) set(id, more string) Entry {
	h.t.Helper()
	e, _, err := h.Change(h.t.Context(), "", id, Condition{}, h.define(id, more))
	if err != nil {
		h.t.Fatal(err)
	}
	return e
}

func (h *hall) nextIs(e Entry, want int64) {
	h.t.Helper()
	if e.Next.Unix() != want {
		h.t.Errorf("the next tick of %s is %d, want %d", e.ID, e.Next.Unix(), want)
	}
}

func TestAScheduleIsMadeChangedAndRemoved(t *testing.T) {
	each(t, func(h *hall) {
		ctx := h.t.Context()
		made, isNew, err := h.Change(ctx, "", h.a, Condition{New: true}, h.define(h.a, `"every":"10s"`))
		if err != nil || !isNew || made.Origin != store.OriginAPI || made.Queue != h.q {
			h.t.Fatalf("made %+v, new: %t, %v", made, isNew, err)
		}
		h.nextIs(made, 1_700_000_010)

		h.at = h.at.Add(time.Hour)
		same := h.set(h.a, `"every":"10s","max_retries":3`)
		h.nextIs(same, 1_700_000_010) // the timing is the same, so a beat that is late has not lost its tick
		other := h.set(h.a, `"every":"1m"`)
		h.nextIs(other, 1_700_003_640)
		if again := h.set(h.a, `"every":"1m"`); again.Revision != other.Revision {
			h.t.Errorf("the same definition has the revisions %s and %s", other.Revision, again.Revision)
		}

		for what, only := range map[string]Condition{"the first revision": {Revision: made.Revision}, "none": {New: true}} {
			if _, _, err := h.Change(ctx, "", h.a, only, h.define(h.a, `"every":"2m"`)); !errors.Is(err, ErrRevision) {
				h.t.Errorf("a change by who has seen %s: %v", what, err)
			}
		}
		if err := h.Remove(ctx, "", h.a, Condition{Revision: made.Revision}); !errors.Is(err, ErrRevision) {
			h.t.Errorf("a removal by who has seen the first revision: %v", err)
		}
		if err := h.Remove(ctx, "", h.a, Condition{Revision: other.Revision}); err != nil {
			h.t.Fatal(err)
		}
		if _, err := h.Find(ctx, "", h.a); !errors.Is(err, seri.ErrNotFound) {
			h.t.Errorf("after its removal: %v", err)
		}
		if err := h.Remove(ctx, "", h.a, Condition{}); !errors.Is(err, seri.ErrNotFound) {
			h.t.Errorf("a second removal: %v", err)
		}
	})
}

func TestAnIDBelongsToOneQueue(t *testing.T) {
	each(t, func(h *hall) {
		h.set(h.a, `"every":"10s"`)
		id, elsewhere := h.a, *h
		elsewhere.q += "-2"

		_, _, err := h.Change(h.t.Context(), "", id, Condition{}, elsewhere.define(id, `"every":"10s"`))
		if e, ok := errors.AsType[*ElsewhereError](err); !ok || !slices.Equal(e.Queues, []keys.Queue{h.q}) {
			h.t.Errorf("a change to another queue: %v", err)
		}
		_, _, err = h.Change(h.t.Context(), string(elsewhere.q), id, Condition{}, elsewhere.define(id, `"every":"10s"`))
		if e, ok := errors.AsType[*ElsewhereError](err); !ok || !slices.Equal(e.Queues, []keys.Queue{h.q}) {
			h.t.Errorf("a second one in another queue: %v", err)
		}
	})
}

func TestASchedulePausesAndGoesOnFromNow(t *testing.T) {
	each(t, func(h *hall) {
		h.set(h.a, `"every":"10s"`)
		e, err := h.Pause(h.t.Context(), "", h.a, "for repair")
		if err != nil || !e.Paused || e.Note != "for repair" {
			h.t.Errorf("paused: %+v, %v", e, err)
		}
		h.at = h.at.Add(time.Hour)
		h.set(h.a, `"every":"10s","max_retries":1`)
		for range 2 {
			e, err = h.Resume(h.t.Context(), "", h.a)
			if err != nil || e.Paused {
				h.t.Errorf("resumed: %+v, %v", e, err)
			}
			h.nextIs(e, 1_700_003_610)
		}
		for what, do := range map[string]func() error{
			"pause":  func() error { _, err := h.Pause(h.t.Context(), "", "none", ""); return err },
			"resume": func() error { _, err := h.Resume(h.t.Context(), "", "none"); return err },
		} {
			if err := do(); !errors.Is(err, seri.ErrNotFound) {
				h.t.Errorf("%s of what is not there: %v", what, err)
			}
		}
	})
}

func TestAFilesScheduleCannotBeChangedButRun(t *testing.T) {
	each(t, func(h *hall) {
		s, err := h.define(h.a, `"every":"1h"`)(nil)
		if err != nil {
			h.t.Fatal(err)
		}
		definition, err := s.MarshalJSON()
		if err != nil {
			h.t.Fatal(err)
		}
		written, err := h.store.Plan(h.t.Context(), h.q, store.Leader{Lock: "beat", Token: 7}, []store.Plan{{
			Schedule: h.a, Revision: schedule.Digest(definition), Timing: s.Timing(), Origin: store.OriginFile, Definition: definition, Next: s.Next(h.at),
		}})
		if err != nil || !written[0] {
			h.t.Fatal(written, err)
		}

		if _, _, err := h.Change(h.t.Context(), "", h.a, Condition{}, h.define(h.a, `"every":"2h"`)); !errors.Is(err, ErrFile) {
			h.t.Errorf("a change: %v", err)
		}
		if err := h.Remove(h.t.Context(), "", h.a, Condition{}); !errors.Is(err, ErrFile) {
			h.t.Errorf("a removal: %v", err)
		}
		if _, err := h.Pause(h.t.Context(), "", h.a, ""); err != nil {
			h.t.Errorf("a pause: %v", err)
		}
		run, err := h.Trigger(h.t.Context(), "", h.a, false)
		if err != nil || run.Outcome != store.TickEnqueued || run.Task != "sched:"+h.a+":1700000005" || run.Queue != string(h.q) {
			h.t.Errorf("run: %+v, %v", run, err)
		}
		again, err := h.Trigger(h.t.Context(), "", h.a, false)
		if err != nil || again.Outcome != store.TickExists || again.Task != run.Task {
			h.t.Errorf("run twice within a second: %+v, %v", again, err)
		}
	})
}

func TestABackfillEnqueuesEachTickOnce(t *testing.T) {
	each(t, func(h *hall) {
		h.set(h.a, `"every":"10m","expires_after":"5m","start":"2023-11-14T20:13:20Z"`) // two hours before
		from, to := h.at.Add(-3*time.Hour), h.at

		runs, err := h.Backfill(h.t.Context(), "", h.a, from, to, false)
		if err != nil || len(runs) != 12 {
			h.t.Fatalf("%d runs: %+v, %v", len(runs), runs, err)
		}
		for _, r := range runs {
			if r.Outcome != store.TickEnqueued {
				h.t.Errorf("run %+v", r)
			}
		}
		info, err := h.store.Info(h.t.Context(), h.q, runs[0].Task)
		if want := h.at.Add(5 * time.Minute); err != nil || !info.Expires.Equal(want) {
			h.t.Errorf("the task of an old tick expires at %v, want %v; %v", info.Expires, want, err)
		}
		again, err := h.Backfill(h.t.Context(), "", h.a, from, to, false)
		if err != nil || len(again) != 12 || slices.ContainsFunc(again, func(r Run) bool { return r.Outcome != store.TickExists }) {
			h.t.Errorf("again: %+v, %v", again, err)
		}
		if n := h.rdb.LLen(h.t.Context(), h.q.Pending()).Val(); n != 12 {
			h.t.Errorf("%d tasks", n)
		}
		if e, err := h.Find(h.t.Context(), "", h.a); err != nil || e.Runs != 0 || e.LastState != seri.Pending {
			h.t.Errorf("the record is %+v, %v", e, err)
		}
		past, _, err := h.History(h.t.Context(), "", h.a, 5)
		if err != nil || len(past) != 5 || past[0].Task != runs[11].Task || past[0].State != seri.Pending || !past[0].Asked {
			h.t.Errorf("history %+v, %v", past, err)
		}
	})
}

func TestABackfillRespectsOverlapUnlessItIsToldNotTo(t *testing.T) {
	each(t, func(h *hall) {
		h.set(h.a, `"every":"10m","overlap":"buffer_one"`)
		outcomes := func(allow bool) (all []store.Outcome) {
			runs, err := h.Backfill(h.t.Context(), "", h.a, h.at.Add(-40*time.Minute), h.at, allow)
			if err != nil {
				h.t.Fatal(err)
			}
			for _, r := range runs {
				all = append(all, r.Outcome)
			}
			return all
		}
		if got := outcomes(false); !slices.Equal(got, []store.Outcome{store.TickEnqueued, store.TickWaits, store.TickLeftOut, store.TickLeftOut}) {
			h.t.Errorf("outcomes %v", got)
		}
		if got := outcomes(true); !slices.Equal(got, []store.Outcome{store.TickExists, store.TickWaits, store.TickEnqueued, store.TickEnqueued}) {
			h.t.Errorf("outcomes when all may run %v", got)
		}
	})
}

func TestABackfillRefusesASpan(t *testing.T) {
	each(t, func(h *hall) {
		h.set(h.a, `"every":"1s"`)
		for field, c := range map[string][2]time.Time{
			"from is missing":      {{}, h.at},
			"to is missing":        {h.at, {}},
			"to is before from":    {h.at, h.at.Add(-time.Second)},
			"to is in the future":  {h.at, h.at.Add(time.Second)},
			"to is more than 1000": {h.at.Add(-1001 * time.Second), h.at},
		} {
			_, err := h.Backfill(h.t.Context(), "", h.a, c[0], c[1], false)
			if _, ok := errors.AsType[*SpanError](err); !ok || !strings.HasPrefix(err.Error(), field) {
				h.t.Errorf("%s: %v", field, err)
			}
		}
		if n := h.rdb.LLen(h.t.Context(), h.q.Pending()).Val(); n != 0 {
			h.t.Errorf("%d tasks", n)
		}
	})
}

func TestListPagesThroughQueues(t *testing.T) {
	each(t, func(h *hall) {
		first := *h
		h.q += "-b"
		for i := range 5 {
			first.set(fmt.Sprintf("%s-a%d", h.q, i), `"every":"10s"`)
			h.set(fmt.Sprintf("%s-b%d", h.q, i), `"every":"10s"`)
		}
		var seen []string
		for after, rounds := "", 0; ; rounds++ {
			entries, next, err := h.List(h.t.Context(), "", after, 3)
			if err != nil || len(entries) > 3 {
				h.t.Fatal(entries, err)
			}
			for _, e := range entries {
				if e.Queue == first.q || e.Queue == h.q { // not those of other tests
					seen = append(seen, e.ID[len(h.q)+1:])
				}
			}
			if after = next; next == "" {
				break
			}
		}
		if got := strings.Join(seen, " "); got != "a0 a1 a2 a3 a4 b0 b1 b2 b3 b4" {
			h.t.Errorf("seen %s", got)
		}
		if entries, next, err := h.List(h.t.Context(), string(h.q), "", 5); err != nil || len(entries) != 5 || next != "" {
			h.t.Errorf("one queue's: %v, %q, %v", entries, next, err)
		}
	})
}

// What an older version has stored, and this one does not take, is seen to be at fault; a new definition mends it.
func TestAScheduleAtFaultSaysWhy(t *testing.T) {
	each(t, func(h *hall) {
		ctx := h.t.Context()
		h.set("sound."+string(h.q), `"every":"10s"`)
		for definition, want := range map[string]string{
			fmt.Sprintf(`{"id":%q,"every":"90s","jitter":"2m","limit":-1,"task":"t","queue":%q}`, h.a, h.q): "jitter is 2m0s, must be no longer than the interval of 1m30s",
			`{"id":`: "unexpected end of JSON input",
		} {
			was, err := h.Find(ctx, "", h.a)
			if err != nil && !errors.Is(err, seri.ErrNotFound) {
				h.t.Fatal(err)
			}
			written, err := h.store.Plan(ctx, h.q, store.Leader{}, []store.Plan{{
				Schedule: h.a, Was: was.ScheduleRecord, Revision: schedule.Digest([]byte(definition)), Origin: store.OriginAPI, Definition: []byte(definition), Next: h.at,
			}})
			if err != nil || !written[0] {
				h.t.Fatal(written, err)
			}

			listed, _, err := h.List(ctx, string(h.q), "", 10)
			if err != nil || len(listed) != 2 {
				h.t.Fatalf("%d are listed, %v", len(listed), err)
			}
			if atFault, sound := listed[0].Fault, listed[1].Fault; !strings.Contains(atFault, want) || strings.Contains(atFault, "schedule ") || sound != "" {
				h.t.Errorf("the faults are %q and %q, want %q and none", atFault, sound, want)
			}
			_, err = h.Trigger(ctx, "", h.a, false)
			if fault, ok := errors.AsType[*FaultError](err); !ok || fault.Fault != listed[0].Fault {
				h.t.Errorf("a run by hand: %v", err)
			}
		}

		mended := h.set(h.a, `"every":"10s"`)
		if mended.Fault != "" {
			h.t.Errorf("with a new definition it has the fault %q", mended.Fault)
		}
		written, err := h.store.Plan(ctx, h.q, store.Leader{}, []store.Plan{{ // as a hand does that leaves the revision alone
			Schedule: h.a, Was: mended.ScheduleRecord, Revision: mended.Revision, Timing: mended.Timing, Origin: store.OriginAPI,
			Definition: mended.Definition[1:], Next: mended.Next,
		}})
		if err != nil || !written[0] {
			h.t.Fatal(written, err)
		}
		if again := h.set(h.a, `"every":"10s"`); again.Fault != "" {
			h.t.Errorf("with the definition that it had it has the fault %q", again.Fault)
		}
	})
}
