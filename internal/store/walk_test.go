package store_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/internal/store"
)

// TestNoWalkThroughTheStatesBreaksThem takes random steps, by workers honest and dead, callers and operators, beside a
// model of a few lines; and looks at everything after each step.
func TestNoWalkThroughTheStatesBreaksThem(t *testing.T) {
	t.Parallel()
	for range 3 {
		seed := rand.Uint64()
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			redistest.EachWithEmbedded(t, func(t *testing.T, rdb redis.UniversalClient) {
				w := &walk{newScene(t, rdb), rand.New(rand.NewPCG(seed, 0)), map[string]*modelTask{}, 0, nil, nil}
				for step := range 200 {
					w.step()
					w.look()
					if t.Failed() {
						t.Fatalf("seed %d, step %d: %s", seed, step, strings.Join(w.log, "; "))
					}
				}
			})
		})
	}
}

// modelTask is what the model knows of one task.
type modelTask struct {
	state    string // asynq's; "" is deleted
	revoked  bool   // marked while it ran
	retained bool
	crashes  int
	retried  int
	lease    *store.Lease // the newest one
}

type walk struct {
	*scene
	rand  *rand.Rand
	tasks map[string]*modelTask
	made  int
	old   []*store.Lease // that were lost
	log   []string
}

func (w *walk) note(format string, args ...any) { w.log = append(w.log, fmt.Sprintf(format, args...)) }

// pick returns a random task in one of the states; false if there is none.
func (w *walk) pick(states ...string) (string, *modelTask, bool) {
	var ids []string
	for _, id := range slices.Sorted(maps.Keys(w.tasks)) {
		if slices.Contains(states, w.tasks[id].state) {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return "", nil, false
	}
	id := ids[w.rand.IntN(len(ids))]
	return id, w.tasks[id], true
}

func (w *walk) step() {
	steps := []func(){w.enqueue, w.enqueue, w.dequeue, w.dequeue, w.dequeue, w.end, w.end, w.end, w.crash, w.forward, w.revoke, w.zombie, w.run, w.say, w.purge}
	steps[w.rand.IntN(len(steps))]()
}

func (w *walk) enqueue() {
	id := fmt.Sprintf("task-%03d", w.made)
	if w.rand.IntN(5) == 0 && w.made > 0 {
		id = fmt.Sprintf("task-%03d", w.rand.IntN(w.made)) // perhaps there already
	}
	retained, scheduled := w.rand.IntN(2) == 0, w.rand.IntN(3) == 0
	errs, err := w.Enqueue(w.ctx(), w.q, []seri.Message{w.message(id, func(m *seri.Message) {
		if !retained {
			m.Retention = 0
		}
		if scheduled {
			m.ETA = time.Now().Add(time.Hour)
		}
	})})
	w.must(nil, err)
	m := w.tasks[id]
	if exists := m != nil && m.state != ""; exists != (errs[0] != nil) {
		w.t.Errorf("enqueue of %s answered %v", id, errs[0])
		return
	} else if exists {
		return
	}
	w.note("enqueue %s", id)
	// The ID of a deleted task begins a new story; leases of the old one stay void.
	w.tasks[id] = &modelTask{state: map[bool]string{true: "scheduled", false: "pending"}[scheduled], retained: retained}
	w.made++
}

func (w *walk) dequeue() {
	b := w.scene.dequeue(1 + w.rand.IntN(3))
	popped := 0
	for _, l := range b.Leases {
		m := w.tasks[l.ID()]
		w.note("lease %s", l.ID())
		if m.state != "pending" || m.revoked || l.Message.Retried != m.retried {
			w.t.Errorf("leased %s, of which the model says %+v", l.ID(), m)
		}
		if m.lease != nil && l.Token <= m.lease.Token {
			w.t.Errorf("token %d of %s follows %d", l.Token, l.ID(), m.lease.Token)
		}
		m.state, m.lease = "active", &l
		popped++
	}
	for id, m := range w.tasks { // those that were marked are settled
		if m.state == "pending" && m.revoked && w.field(id, "state") == "archived" {
			w.note("settle %s", id)
			m.state, m.revoked = "archived", false
			popped++
		}
	}
	if popped != b.Popped || b.Ghosts+b.Parked+b.Broken > 0 {
		w.t.Errorf("batch %+v, %d accounted for", b, popped)
	}
}

func (w *walk) end() {
	id, m, ok := w.pick("active")
	if !ok {
		return
	}
	how := []string{"complete", "retry", "archive", "requeue"}[w.rand.IntN(4)]
	w.note("%s %s", how, id)
	w.must(endings[how](w.scene, m.lease))
	if w.rand.IntN(3) == 0 && (how != "complete" || m.retained) {
		w.changesNothing("the repeated call", func() { w.must(endings[how](w.scene, m.lease)) })
	}
	switch how {
	case "complete":
		m.state, m.revoked = map[bool]string{true: "completed", false: ""}[m.retained], false
	case "retry":
		m.retried++
		m.state = "retry"
		if m.revoked {
			m.state, m.revoked = "archived", false
		}
	case "archive":
		m.state, m.revoked = "archived", false
	case "requeue":
		m.state = "pending"
	}
}

func (w *walk) crash() {
	id, m, ok := w.pick("active")
	if !ok {
		return
	}
	w.note("crash %s", id)
	w.lapse(id)
	// A back-off that does not end by itself during the walk.
	if r, err := w.Recover(w.ctx(), w.q, 10, store.CrashPolicy{Max: policy.Max, Backoff: time.Hour}); err != nil || r.Taken != 1 {
		w.t.Errorf("recovered %+v, %v", r, err)
	}
	w.old = append(w.old, m.lease)
	if m.revoked {
		m.state, m.revoked = "archived", false
		return
	}
	m.crashes = m.crashes%policy.Max + 1 // one that was poison and is run again counts anew
	switch {
	case m.crashes >= policy.Max:
		m.state = "archived"
	case m.crashes == 1:
		m.state = "pending"
	default:
		m.state = "retry"
	}
}

func (w *walk) forward() {
	id, m, ok := w.pick("scheduled", "retry")
	if !ok {
		return
	}
	w.note("forward %s", id)
	w.come(id)
	if f := w.scene.forward(); f.Moved != 1 {
		w.t.Errorf("forwarded %+v", f)
	}
	m.state = "pending"
}

func (w *walk) revoke() {
	id, m, ok := w.pick("pending", "scheduled", "retry", "active", "archived", "completed")
	if !ok {
		return
	}
	w.note("revoke %s", id)
	running, err := w.Revoke(w.ctx(), w.q, id)
	switch m.state {
	case "active":
		m.revoked = true
		if !running || err != nil {
			w.t.Errorf("revoke of %s: %t, %v", id, running, err)
		}
	case "archived", "completed":
		if err == nil {
			w.t.Errorf("%s has ended and was revoked", id)
		}
	default:
		m.state = "archived"
		m.revoked = false
		if running || err != nil {
			w.t.Errorf("revoke of %s: %t, %v", id, running, err)
		}
	}
}

func (w *walk) zombie() {
	if len(w.old) == 0 {
		return
	}
	l := w.old[w.rand.IntN(len(w.old))]
	names := slices.Sorted(maps.Keys(attempts))
	what := names[w.rand.IntN(len(names))]
	w.changesNothing("the zombie's "+what, func() {
		if errs, err := attempts[what](w.scene, l); err != nil || errs[0] == nil {
			w.t.Errorf("the zombie's %s of %s was accepted: %v", what, l.ID(), err)
		}
	})
}

func (w *walk) run() { // as asynq's Inspector.RunTask
	id, m, ok := w.pick("scheduled", "retry", "archived", "completed")
	if !ok {
		return
	}
	w.note("run %s", id)
	w.rdb.ZRem(w.ctx(), "asynq:{"+string(w.q)+"}:"+m.state, id)
	w.rdb.LPush(w.ctx(), w.q.Pending(), id)
	w.rdb.HSet(w.ctx(), w.q.Task(id), "state", "pending")
	m.state = "pending"
}

func (w *walk) say() {
	id, m, ok := w.pick("active")
	if !ok {
		return
	}
	w.note("progress %s", id)
	w.must(attempts["progress"](w.scene, m.lease))
	errs, err := attempts["extend"](w.scene, m.lease)
	if err != nil || (errs[0] != nil) != m.revoked {
		w.t.Errorf("extend of %s answered %v, %v; the model says %+v", id, errs, err, m)
	}
}

func (w *walk) purge() {
	id, m, ok := w.pick("completed", "archived")
	if !ok {
		return
	}
	w.note("purge %s", id)
	w.rdb.ZAdd(w.ctx(), "asynq:{"+string(w.q)+"}:"+m.state, redis.Z{Score: 1, Member: id})
	if p, err := w.Purge(w.ctx(), w.q, 10, keep); err != nil || p.Succeeded+p.Archived != 1 {
		w.t.Errorf("purged %+v, %v", p, err)
	}
	m.state = ""
}

// follows lists which kinds of event may come after which, with the Inspector's silent moves in between.
var follows = map[seri.EventKind]string{
	"":                  "queued scheduled",
	seri.EventQueued:    "started revoked",
	seri.EventScheduled: "queued started revoked",
	seri.EventStarted:   "progress succeeded failed retrying queued revoked",
	seri.EventProgress:  "progress succeeded failed retrying queued revoked",
	seri.EventRetrying:  "queued started revoked",
	seri.EventSucceeded: "started revoked",
	seri.EventFailed:    "started revoked trimmed",
	seri.EventRevoked:   "started revoked trimmed",
}

// look checks everything that must hold at every moment.
func (w *walk) look() {
	pipe := w.rdb.Pipeline()
	lists := map[string]*redis.StringSliceCmd{
		"pending": pipe.LRange(w.ctx(), w.q.Pending(), 0, -1), "active": pipe.LRange(w.ctx(), w.q.Active(), 0, -1),
		"scheduled": pipe.ZRange(w.ctx(), w.q.Scheduled(), 0, -1), "retry": pipe.ZRange(w.ctx(), w.q.Retry(), 0, -1),
		"archived": pipe.ZRange(w.ctx(), w.q.Archived(), 0, -1), "completed": pipe.ZRange(w.ctx(), w.q.Completed(), 0, -1),
		"lease": pipe.ZRange(w.ctx(), w.q.Lease(), 0, -1),
	}
	records := make(map[string]*redis.SliceCmd)
	for id := range w.tasks {
		records[id] = pipe.HMGet(w.ctx(), w.q.Task(id), "state", "msg", "result")
	}
	if _, err := pipe.Exec(w.ctx()); err != nil {
		w.t.Fatal(err)
	}
	want, got := make(map[string][]string), make(map[string][]string)
	for id, m := range w.tasks {
		record := records[id].Val()
		if state, _ := record[0].(string); state != m.state {
			w.t.Errorf("task %s has the state %q, the model says %q", id, state, m.state)
		}
		if exists := record[0] != nil || record[1] != nil || record[2] != nil; exists && (m.state == "" || record[1] == nil) {
			w.t.Errorf("task %s has left a hash without a place or a message", id)
		}
		if m.state != "" {
			want[m.state] = append(want[m.state], id)
		}
		if m.state == "active" {
			want["lease"] = append(want["lease"], id)
		}
	}
	for name, members := range lists {
		got[name] = slices.Sorted(slices.Values(members.Val()))
		slices.Sort(want[name])
		if !slices.Equal(got[name], want[name]) {
			w.t.Errorf("%s holds %v, the model says %v", name, got[name], want[name])
		}
	}
	last, started := make(map[string]seri.Event), make(map[string]int)
	for _, e := range w.events() {
		switch {
		case e.Seq == 1:
			started[e.Task] = 0
		case e.Kind == seri.EventStarted:
			started[e.Task] = e.Data.Attempt
		case e.Kind == seri.EventSucceeded && w.tasks[e.Task].state != "completed":
			delete(started, e.Task) // run again by an operator: not counted until it starts
		}
		before := last[e.Task]
		if e.Seq == 1 && (before.Kind == seri.EventSucceeded || before.Kind == seri.EventTrimmed) { // deleted, and its ID used again
			before = seri.Event{}
		}
		if e.Seq != before.Seq+1 {
			w.t.Errorf("task %s: event %d follows %d", e.Task, e.Seq, before.Seq)
		}
		if !slices.Contains(strings.Fields(follows[before.Kind]), string(e.Kind)) {
			w.t.Errorf("task %s: %q follows %q", e.Task, e.Kind, before.Kind)
		}
		last[e.Task] = e
	}
	infos, err := w.Infos(w.ctx(), w.q, slices.Collect(maps.Keys(w.tasks))...)
	w.must(nil, err)
	for _, info := range infos {
		if attempt, ok := started[info.ID]; ok && info.Attempt != attempt {
			w.t.Errorf("task %s is %s at attempt %d, the events say %d", info.ID, info.State, info.Attempt, attempt)
		}
	}
}
