package beat

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/pause"
	"github.com/seri-queue/seri/internal/permit"
	"github.com/seri-queue/seri/internal/store"
	"github.com/seri-queue/seri/internal/wire"
)

const (
	// careEvery is how often Redis' clock is asked, and whether schedules were changed at run time.
	careEvery = time.Second
	// releaseEvery is how often a tick that waits for an earlier task asks whether that has ended.
	releaseEvery = 250 * time.Millisecond
	// batch is how many ticks are fired in one call. Redis serves nobody else meanwhile, and the first tick of a batch
	// waits for the last.
	batch = 100
	// vanguard is how many are fired in the first call of many that are due at once, so that Redis can begin while the next
	// call is made.
	vanguard = 20
	// inFlight is how many calls are under way at once: while Redis works on one, the next are made.
	inFlight = 3
	// atOnce is how many ticks are fired until it is looked again what is due.
	atOnce = 10 * batch
)

// records is what a leader needs of the store.
type records interface {
	Queues(ctx context.Context) ([]keys.Queue, error)
	ScheduleIDs(ctx context.Context, q keys.Queue) ([]string, error)
	ScheduleRecords(ctx context.Context, q keys.Queue, ids []string, known func(*store.ScheduleRecord) bool) ([]store.ScheduleRecord, error)
	EditedSince(ctx context.Context, since map[keys.Queue]int64) (map[keys.Queue]store.Edits, error)
	FileRevision(ctx context.Context, lock string) (uint64, error)
	SetFileRevision(ctx context.Context, leader store.Leader, revision uint64) error
	Plan(ctx context.Context, q keys.Queue, leader store.Leader, plans []store.Plan) ([]bool, error)
	Fire(ctx context.Context, q keys.Queue, leader store.Leader, ticks []store.Tick) ([]store.Fired, error)
	Led(ctx context.Context, lock string) (bool, error)
	Revoke(ctx context.Context, q keys.Queue, id string) (running bool, err error)
	Permit(ctx context.Context, q keys.Queue, duty store.Duty) error
	SetServed(ctx context.Context, lock string, served store.Served) error
}

// leader serves the schedules while this beat leads.
type leader struct {
	beat    *Beat
	as      store.Leader
	clock   clock
	entries map[ref]*entry
	agenda  agenda
	waiting map[ref]*entry       // those with ticks that wait for an earlier task
	turns   []ref                // those of them that are still to be asked about in this round
	edits   map[keys.Queue]int64 // the last change at run time that was seen
	others  map[string]bool      // locks of other beats that serve schedules of this beat's list
	rights  map[keys.Queue]*right
	tells   time.Time // when it is told again which queues are not served
	verbose bool      // each tick is logged
	refused bool      // a change of the list found that another was faster, and is to be tried again
}

// lead serves the schedules until ctx ends, or an error makes another try under a new token necessary.
func (b *Beat) lead(ctx context.Context, token uint64) error {
	b.meters.Leads.Store(true)
	defer b.meters.Leads.Store(false)
	defer b.meters.Denied.Store(0)
	l := b.leader(token)
	if err := l.begin(ctx); err != nil {
		return err
	}
	return l.serve(ctx)
}

func (b *Beat) leader(token uint64) *leader {
	return &leader{
		beat: b, as: store.Leader{Lock: b.config.Lock, Token: token}, clock: clock{read: b.now},
		entries: make(map[ref]*entry), waiting: make(map[ref]*entry), edits: make(map[keys.Queue]int64),
		rights: make(map[keys.Queue]*right),
	}
}

// begin learns what there is to serve.
func (l *leader) begin(ctx context.Context) error {
	begun := time.Now()
	l.verbose = l.beat.config.Logger.Enabled(ctx, slog.LevelDebug)
	if err := l.clock.sync(ctx); err != nil {
		return err
	}
	if err := l.load(ctx); err != nil {
		return err
	}
	l.tellServed(ctx)
	l.beat.config.Logger.InfoContext(ctx, "beat leads", "token", l.as.Token, "schedules", len(l.entries), "loaded_in", time.Since(begun))
	return nil
}

func (l *leader) serve(ctx context.Context) error {
	care, release := l.nextCare(), l.clock.now()
	for {
		l.beat.turn()
		now := l.clock.now()
		if due := l.agenda.take(now, atOnce); len(due) > 0 {
			if err := l.fire(ctx, due, now); err != nil {
				return err
			}
			continue
		}
		if !now.Before(care) || care.Sub(now) > 2*careEvery { // the latter: Redis' clock was put back
			if err := l.care(ctx); err != nil {
				return err
			}
			care = l.nextCare()
			continue
		}
		if len(l.waiting) > 0 && !now.Before(release) {
			if err := l.release(ctx); err != nil {
				return err
			}
			if len(l.turns) == 0 {
				release = l.clock.now().Add(releaseEvery)
			}
			continue
		}
		wake := care
		if len(l.waiting) > 0 && release.Before(wake) {
			wake = release
		}
		if next := l.agenda.next(); !next.IsZero() && next.Before(wake) {
			wake = next
		}
		if l.prepare(now, wake) {
			continue
		}
		if soon := wake.Add(-ahead); soon.After(now) { // to prepare what is due then
			wake = soon
		}
		if !pause.For(ctx, max(wake.Sub(now), 50*time.Microsecond)) {
			return context.Cause(ctx)
		}
	}
}

// nextCare is in the middle of a second, where most schedules have no tick.
func (l *leader) nextCare() time.Time {
	now := l.clock.now()
	return now.Truncate(careEvery).Add(careEvery + careEvery/2)
}

// care looks at Redis' clock, and at what was changed at run time.
func (l *leader) care(ctx context.Context) error {
	if err := l.clock.sync(ctx); err != nil {
		return err
	}
	queues, err := l.beat.store.Queues(ctx)
	if err != nil {
		return err
	}
	for _, q := range queues {
		if _, ok := l.edits[q]; !ok {
			l.edits[q] = 0
		}
	}
	edits, err := l.edited(ctx)
	if err != nil {
		return err
	}
	for q, e := range edits {
		if e.All {
			if e.IDs, err = l.beat.store.ScheduleIDs(ctx, q); err != nil {
				return err
			}
			for r := range l.entries {
				if r.queue == q {
					e.IDs = append(e.IDs, r.id)
				}
			}
		}
		if err := l.reload(ctx, q, e.IDs); err != nil {
			return err
		}
		l.edits[q] = e.Last
	}
	if l.refused || l.inherits(ctx) || l.review(ctx, queues) {
		return l.load(ctx)
	}
	l.tellServed(ctx)
	return nil
}

// inherits tells whether other beats that serve schedules of this beat's list are gone by now.
func (l *leader) inherits(ctx context.Context) bool {
	for lock := range l.others {
		if led, err := l.beat.store.Led(ctx, lock); err == nil && !led {
			return true
		}
	}
	return false
}

// reload reads schedules of a queue again.
func (l *leader) reload(ctx context.Context, q keys.Queue, ids []string) error {
	if len(ids) > 0 && !l.serves(ctx, q) {
		return nil
	}
	known := func(r *store.ScheduleRecord) bool {
		e := l.entries[ref{q, r.ID}]
		return e != nil && e.record.Revision == r.Revision
	}
	records := make(map[ref]*store.ScheduleRecord)
	if err := l.read(ctx, q, ids, known, records, nil); err != nil {
		return err
	}
	for _, id := range ids {
		r := ref{q, id}
		if record, ok := records[r]; ok {
			l.take(ctx, r, record)
		} else {
			l.drop(r)
		}
	}
	return nil
}

// take serves a schedule as it is on record.
func (l *leader) take(ctx context.Context, r ref, record *store.ScheduleRecord) {
	e := l.entries[r]
	if e == nil || e.record.Revision != record.Revision {
		s, err := l.definition(r, record)
		if err != nil {
			l.beat.config.Logger.ErrorContext(ctx, "a schedule cannot be read and is not served", "schedule", r.id, "queue", r.queue, "error", err)
			l.drop(r)
			return
		}
		if e == nil {
			e = &entry{ref: r, place: -1}
			l.entries[r] = e
		}
		e.Schedule = s
	}
	record.Definition = nil
	e.record = record
	l.agenda.put(e)
	l.wait(e, record.Waiting)
}

func (l *leader) definition(r ref, record *store.ScheduleRecord) (*Schedule, error) {
	if d := l.beat.declared[r]; d != nil && d.revision == record.Revision {
		return &d.Schedule, nil
	}
	return defined(record.Definition)
}

func (l *leader) drop(r ref) {
	if e := l.entries[r]; e != nil {
		l.agenda.at(e, time.Time{})
		delete(l.entries, r)
		delete(l.waiting, r)
	}
}

// wait notes which ticks of a schedule wait.
func (l *leader) wait(e *entry, ticks []store.Waiting) {
	e.record.Waiting = ticks
	if _, waits := e.turn(); waits {
		l.waiting[e.ref] = e
	} else {
		delete(l.waiting, e.ref)
	}
}

// call is one call of the store on its way.
type call struct {
	queue keys.Queue
	ticks []store.Tick
	of    []*entry // of each tick
	fired []store.Fired
	err   error
}

// fire enqueues what is due of some schedules, and moves them on.
func (l *leader) fire(ctx context.Context, due []*entry, now time.Time) error {
	calls := make(map[keys.Queue]*call)
	done := make(chan *call, inFlight)
	flying := 0
	var errs []error
	land := func() {
		c := <-done
		flying--
		errs = append(errs, l.settle(ctx, c))
	}
	send := func(c *call) {
		if flying == inFlight {
			land()
		}
		flying++
		go func() {
			c.fired, c.err = l.beat.store.Fire(ctx, c.queue, l.as, c.ticks)
			done <- c
		}()
	}
	room := vanguard
	for _, e := range due {
		ticks, err := l.ticks(e, now)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		c := calls[e.queue]
		if c != nil && len(c.ticks)+len(ticks) > room {
			send(c)
			c, room = nil, batch
		}
		if c == nil {
			c = &call{queue: e.queue}
			calls[e.queue] = c
		}
		for _, t := range ticks {
			c.ticks, c.of = append(c.ticks, t), append(c.of, e)
		}
	}
	for _, c := range calls {
		send(c)
	}
	for flying > 0 {
		land()
	}
	return errors.Join(errs...)
}

// ticks returns what has to be told to Redis about a schedule that is due: ticks to fire, or to pass over.
func (l *leader) ticks(e *entry, now time.Time) ([]store.Tick, error) {
	if tick, ok := e.prepared(now); ok {
		return []store.Tick{tick}, nil
	}
	fire, missed, following := e.Settle(e.record.Next, now)
	if len(fire) == 0 && missed.Count == 0 {
		l.agenda.put(e)
		return nil, nil
	}
	base := e.base(following)
	if missed.Count > 0 {
		base.Missed = wire.MissedTicks(missed.Count, missed.More, missed.First, missed.Last)
	}
	if len(fire) == 0 {
		return []store.Tick{base}, nil
	}
	ticks := make([]store.Tick, len(fire))
	for i, at := range fire {
		t := base
		if i > 0 {
			t.Expected, t.Missed = at, ""
		}
		if i+1 < len(fire) {
			t.Next = fire[i+1]
		}
		t.Tick, t.Due = at, e.Due(at)
		var err error
		if t.Task, err = e.Message(at); err != nil {
			return nil, err
		}
		ticks[i] = t
	}
	return ticks, nil
}

// base is what the ticks of a schedule have in common that are to be told to Redis now.
func (e *entry) base(following time.Time) store.Tick {
	return store.Tick{
		Schedule: e.id, Revision: e.record.Revision, Expected: e.record.Next, Next: following,
		Overlap: overlapOf(e), Limit: e.Limit, PauseAfter: e.PauseAfter,
	}
}

func overlapOf(e *entry) string {
	if e.Overlap == "" {
		return string(OverlapAllow)
	}
	return string(e.Overlap)
}

// missedIn is what the log tells of missed ticks, out of the data of their event.
func missedIn(data string) []any {
	var missed struct {
		Count       int64
		More        bool
		First, Last int64 // Unix seconds
	}
	_ = json.Unmarshal([]byte(data), &missed) // from [wire.MissedTicks]
	return []any{"count", missed.Count, "more", missed.More, "first", time.Unix(missed.First, 0).UTC(), "last", time.Unix(missed.Last, 0).UTC()}
}

// settle notes what has become of the ticks of a call.
func (l *leader) settle(ctx context.Context, c *call) error {
	if permit.Denied(c.err) {
		l.deny(ctx, c.queue, c.err)
		return nil
	}
	if c.err != nil {
		return c.err
	}
	var moved []string
	for i := range c.fired {
		e, t, f := c.of[i], &c.ticks[i], &c.fired[i]
		l.tell(ctx, e, t, f)
		if l.entries[e.ref] != e { // it was dropped while the call was under way
			continue
		}
		switch f.Outcome {
		case store.TickMoved:
			moved = append(moved, e.id)
			continue
		case store.TickPaused:
			e.record.Paused = true
		case store.TickEarly:
			l.agenda.at(e, l.clock.now().Add(time.Millisecond))
			continue
		case store.TickWaits:
			if err := l.cancel(ctx, e, t.Tick, f.Running); permit.Denied(err) {
				l.deny(ctx, c.queue, err)
				return nil
			} else if err != nil {
				return err
			}
		case store.TickLast, store.TickOver:
			t.Next = time.Time{}
		}
		over := f.Outcome == store.TickLast || f.Outcome == store.TickOver
		if t.Expected.IsZero() && !over { // of a tick that had waited: the next tick stays
			l.wait(e, f.Waiting)
			continue
		}
		if f.Outcome != store.TickPaused {
			e.record.Next = t.Next
		}
		if f.Outcome == store.TickWaits || f.Outcome == store.TickLeftOut || over {
			l.wait(e, f.Waiting)
		} else if e.record.Paused {
			l.wait(e, e.record.Waiting)
		}
		l.agenda.put(e)
	}
	if len(moved) > 0 {
		return l.reload(ctx, c.queue, moved)
	}
	return nil
}

// tell counts what has become of a tick, and logs it if it is worth a line.
func (l *leader) tell(ctx context.Context, e *entry, t *store.Tick, f *store.Fired) {
	meters := &l.beat.meters
	if f.Outcome == store.TickEnqueued && t.Missed == "" && !l.verbose {
		l.enqueued(t)
		return
	}
	logger := l.beat.config.Logger.With("schedule", e.id, "queue", e.queue, "type", t.Task.Type, "tick", t.Tick)
	if t.Missed != "" && f.Outcome != store.TickMoved && f.Outcome != store.TickPaused && f.Outcome != store.TickEarly && f.Outcome != store.TickOver {
		logger.WarnContext(ctx, "ticks were missed", missedIn(t.Missed)...)
	}
	switch f.Outcome {
	case store.TickPaused:
		meters.Ticks.Paused.Add(1)
		logger.WarnContext(ctx, "schedule is paused")
	case store.TickExists:
		meters.Ticks.Exists.Add(1)
		logger.WarnContext(ctx, "tick was enqueued before", "task_id", t.Task.ID)
	case store.TickLeftOut:
		meters.Ticks.LeftOut.Add(1)
		logger.WarnContext(ctx, "tick left out: an earlier task has not ended", "running", len(f.Running))
	case store.TickWaits:
		meters.Ticks.Waits.Add(1)
	case store.TickLast, store.TickOver:
		if f.Outcome == store.TickLast {
			l.enqueued(t)
		}
		logger.InfoContext(ctx, "schedule has come to its limit", "limit", e.Limit)
	case store.TickEnqueued:
		l.enqueued(t)
		logger.DebugContext(ctx, "tick enqueued", "task_id", t.Task.ID)
	}
}

// enqueued counts a tick whose task is stored, and how late it is. One that had to wait for an earlier task is not late.
func (l *leader) enqueued(t *store.Tick) {
	l.beat.meters.Ticks.Enqueued.Add(1)
	if !t.Expected.IsZero() {
		l.beat.meters.Lateness.Observe(l.clock.now().Sub(t.Due))
	}
}

// cancel asks the workers of earlier ticks' tasks to stop, if that is the schedule's policy: once for each tick that waits.
func (l *leader) cancel(ctx context.Context, e *entry, waits time.Time, running []time.Time) error {
	if e.Overlap != OverlapCancelOther || e.asked.Equal(waits) {
		return nil
	}
	for _, earlier := range running {
		m, err := e.Message(earlier)
		if err != nil {
			return err
		}
		_, err = l.beat.store.Revoke(ctx, e.queue, m.ID)
		if err != nil && !errors.Is(err, seri.ErrNotFound) && !errors.Is(err, seri.ErrNotRevocable) {
			return err
		}
	}
	e.asked = waits
	return nil
}

// release enqueues those of the ticks that wait whose turn has come. It does a part of a round, one call to Redis, and leaves
// the others in l.turns, so that it does not hold up what is due meanwhile.
func (l *leader) release(ctx context.Context) error {
	if len(l.turns) == 0 {
		l.turns = sorted(l.waiting)
	}
	c := &call{queue: l.turns[0].queue}
	for len(l.turns) > 0 && l.turns[0].queue == c.queue && len(c.ticks) < batch {
		e := l.waiting[l.turns[0]]
		l.turns = l.turns[1:]
		if e == nil { // it has not waited any more when its turn came
			continue
		}
		w, waits := e.turn()
		if !waits {
			continue
		}
		tick := w.Tick
		task, err := e.Message(tick)
		if err != nil {
			return err
		}
		due := e.Due(tick)
		if w.Asked {
			due = tick
			if !task.Expires.IsZero() { // as long after now as it would have been after its tick
				task.Expires = task.Expires.Add(l.clock.now().Sub(tick))
			}
		}
		c.of = append(c.of, e)
		c.ticks = append(c.ticks, store.Tick{
			Schedule: e.id, Revision: e.record.Revision, Tick: tick, Due: due, Task: task,
			Overlap: overlapOf(e), Limit: e.Limit, PauseAfter: e.PauseAfter,
		})
	}
	c.fired, c.err = l.beat.store.Fire(ctx, c.queue, l.as, c.ticks)
	return l.settle(ctx, c)
}
