package beat

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/permit"
	"github.com/seri-queue/seri/internal/store"
)

// fakeRecords keeps schedules as the store does, in memory. Its clock is the bubble's, put forward by ahead.
type fakeRecords struct {
	mu       sync.Mutex
	records  map[ref]store.ScheduleRecord
	revision uint64
	edits    map[keys.Queue][]string // all changes at run time, in their order
	floor    uint64

	fired   []store.Tick // with a task
	passed  []store.Tick // without
	at      []time.Time  // of fired, by the server's clock
	running map[string]bool
	failed  int // so many tasks in a row
	revoked []string
	moved   int             // so many times a fire finds that another beat was first
	leaders map[string]bool // locks of other beats that are held
	denied  map[keys.Queue]bool
	asked   []keys.Queue // about whom it was asked what is permitted
	askedAt []time.Time
	hidden  map[keys.Queue]bool // are denied, and it is denied to read what schedules they have
	looked  map[keys.Queue]int  // so many times it was asked what was changed there
	empty   []keys.Queue        // have no schedules
	served  store.Served        // as it was told last
	refuse  int                 // so many plans find that another was faster
	slow    time.Duration       // how long a call of fire takes
	calls   int                 // of fire
	ahead   time.Duration
	reads   int // of the clock
	writes  int
}

func newFake() *fakeRecords {
	return &fakeRecords{
		records: make(map[ref]store.ScheduleRecord), edits: make(map[keys.Queue][]string), running: make(map[string]bool),
		looked: make(map[keys.Queue]int),
	}
}

// with changes or reads what the fake holds while a leader runs.
func (f *fakeRecords) with(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
}

// now is the server's clock, for who holds the lock.
func (f *fakeRecords) now() time.Time { return time.Now().Add(f.ahead) }

func (f *fakeRecords) Queues(context.Context) ([]keys.Queue, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	queues := make(map[keys.Queue]bool)
	for r := range f.records {
		queues[r.queue] = true
	}
	for _, q := range f.empty {
		queues[q] = true
	}
	return slices.Sorted(maps.Keys(queues)), nil
}

func (f *fakeRecords) ScheduleIDs(_ context.Context, q keys.Queue) (ids []string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.hidden[q] {
		return nil, &permit.DeniedError{}
	}
	for r := range f.records {
		if r.queue == q {
			ids = append(ids, r.id)
		}
	}
	return ids, nil
}

func (f *fakeRecords) ScheduleRecords(_ context.Context, q keys.Queue, ids []string, _ func(*store.ScheduleRecord) bool) ([]store.ScheduleRecord, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	records := make([]store.ScheduleRecord, len(ids))
	for i, id := range ids {
		records[i] = f.records[ref{q, id}]
	}
	return records, nil
}

func (f *fakeRecords) EditedSince(_ context.Context, since map[keys.Queue]int64) (map[keys.Queue]store.Edits, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	edits := make(map[keys.Queue]store.Edits)
	for q, n := range since {
		f.looked[q]++
		if f.hidden[q] {
			edits[q] = store.Edits{Denied: &permit.DeniedError{}}
		} else if all := f.edits[q]; int(n) < len(all) {
			edits[q] = store.Edits{Last: int64(len(all)), IDs: slices.Clone(all[n:])}
		}
	}
	return edits, nil
}

func (f *fakeRecords) FileRevision(context.Context, string) (uint64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.revision, nil
}

func (f *fakeRecords) SetFileRevision(_ context.Context, _ store.Leader, revision uint64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.revision = revision
	return nil
}

func (f *fakeRecords) Plan(_ context.Context, q keys.Queue, leader store.Leader, plans []store.Plan) ([]bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.denied[q] || f.hidden[q] {
		return nil, &permit.DeniedError{}
	}
	if leader.Token < f.floor {
		return nil, &seri.FencedError{Held: leader.Token}
	}
	f.floor = leader.Token
	written := make([]bool, len(plans))
	for i, p := range plans {
		r := ref{q, p.Schedule}
		was := f.records[r]
		if was.Revision != p.Was.Revision || !was.Next.Equal(p.Was.Next) {
			continue
		}
		if f.refuse > 0 {
			f.refuse--
			continue
		}
		written[i] = true
		f.writes++
		if p.Revision == "" {
			delete(f.records, r)
			continue
		}
		if was.ByItself && was.Revision != p.Revision {
			was.Paused, was.ByItself = false, false
		}
		was.ID, was.Lock, was.Origin, was.Definition = p.Schedule, leader.Lock, p.Origin, p.Definition
		was.Revision, was.Timing, was.Next = p.Revision, p.Timing, p.Next
		f.records[r] = was
	}
	return written, nil
}

func (f *fakeRecords) Fire(_ context.Context, q keys.Queue, leader store.Leader, ticks []store.Tick) ([]store.Fired, error) {
	if f.slow > 0 {
		<-time.After(f.slow)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	if f.denied[q] || f.hidden[q] {
		return nil, &permit.DeniedError{}
	}
	if leader.Token < f.floor {
		return nil, &seri.FencedError{Held: leader.Token}
	}
	fired := make([]store.Fired, len(ticks))
	for i, k := range ticks {
		fired[i] = f.serve(ref{q, k.Schedule}, k)
	}
	return fired, nil
}

func (f *fakeRecords) serve(r ref, k store.Tick) store.Fired {
	record := f.records[r]
	waited, asked := k.Expected.IsZero(), false
	place := slices.IndexFunc(record.Waiting, func(w store.Waiting) bool { return w.Asked || !record.Paused })
	if waited && place >= 0 && record.Waiting[place].Tick.Equal(k.Tick) {
		asked = record.Waiting[place].Asked
	}
	if f.moved > 0 {
		f.moved--
		record.Next = k.Next
		f.records[r] = record
	}
	switch {
	case record.Revision != k.Revision, !waited && !record.Next.Equal(k.Expected):
		return store.Fired{Outcome: store.TickMoved}
	case record.Paused && !asked:
		return store.Fired{Outcome: store.TickPaused, Waiting: record.Waiting}
	case !k.Tick.IsZero() && f.now().Before(k.Due):
		return store.Fired{Outcome: store.TickEarly}
	}
	ends := func() {
		record.Next = time.Time{}
		record.Waiting = slices.DeleteFunc(slices.Clone(record.Waiting), func(w store.Waiting) bool { return !w.Asked })
	}
	if k.Limit > 0 && record.Runs >= int64(k.Limit) && !asked {
		ends()
		f.records[r] = record
		return store.Fired{Outcome: store.TickOver, Waiting: record.Waiting}
	}
	if k.PauseAfter > 0 && f.failed >= k.PauseAfter && !asked {
		record.Paused, record.ByItself = true, true
		f.records[r] = record
		paused := store.Fired{Outcome: store.TickPaused}
		if waited {
			paused.Waiting = record.Waiting
		}
		return paused
	}
	if !waited {
		record.Next = k.Next
	}
	if k.Tick.IsZero() {
		f.passed = append(f.passed, k)
		f.records[r] = record
		return store.Fired{Outcome: store.TickPassed}
	}
	outcome := store.Fired{Outcome: store.TickEnqueued}
	if f.running[record.LastTask] && k.Overlap != "allow" {
		if !waited {
			record.Waiting = append(record.Waiting, store.Waiting{Tick: k.Tick})
		}
		outcome = store.Fired{Outcome: store.TickWaits, Waiting: record.Waiting, Running: []time.Time{record.Last}}
	} else {
		if waited {
			record.Waiting = slices.Delete(slices.Clone(record.Waiting), place, place+1)
		}
		outcome.Waiting = record.Waiting
		if k.Missed != "" {
			f.passed = append(f.passed, k)
		}
		f.fired, f.at = append(f.fired, k), append(f.at, f.now())
		record.Last, record.LastTask = k.Tick, k.Task.ID
		if !asked {
			record.Runs++
		}
		if k.Limit > 0 && record.Runs >= int64(k.Limit) && !asked {
			ends()
			outcome = store.Fired{Outcome: store.TickLast, Waiting: record.Waiting}
		}
	}
	f.records[r] = record
	return outcome
}

func (f *fakeRecords) Led(_ context.Context, lock string) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.leaders[lock], nil
}

func (f *fakeRecords) Permit(_ context.Context, q keys.Queue, _ store.Duty) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked, f.askedAt = append(f.asked, q), append(f.askedAt, time.Now())
	if f.denied[q] || f.hidden[q] {
		return &permit.DeniedError{}
	}
	return nil
}

func (f *fakeRecords) SetServed(_ context.Context, _ string, served store.Served) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.served = served
	return nil
}

func (f *fakeRecords) Revoke(_ context.Context, _ keys.Queue, id string) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.revoked = append(f.revoked, id)
	return true, nil
}

func (f *fakeRecords) ids() (ids []string) {
	for _, tick := range f.fired {
		ids = append(ids, tick.Task.ID)
	}
	return ids
}

// edit changes a record at run time.
func (f *fakeRecords) edit(t *testing.T, q keys.Queue, s Schedule, origin store.Origin) {
	t.Helper()
	declared, err := declare([]Schedule{s})
	if err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	r := ref{q, s.ID}
	record, d := f.records[r], declared[r]
	record.ID, record.Lock, record.Origin, record.Definition, record.Revision = s.ID, "beat", origin, d.definition, d.revision
	record.Timing, record.Next = d.timing, d.Next(f.now())
	f.records[r] = record
	f.edits[q] = append(f.edits[q], s.ID)
}

func every(t testing.TB, id, spec string, change ...func(*Schedule)) Schedule {
	t.Helper()
	m, err := seri.NewMessage("report", []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSchedule(id, spec, nil, m)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range change {
		c(&s)
	}
	return s
}

// of returns a beat in the bubble's time.
func of(t testing.TB, f *fakeRecords, schedules ...Schedule) *Beat {
	t.Helper()
	if schedules == nil {
		schedules = []Schedule{}
	}
	declared, err := declare(schedules)
	if err != nil {
		t.Fatal(err)
	}
	return &Beat{
		config:   Config{Lock: "beat", Logger: slog.New(slog.DiscardHandler)},
		declared: declared,
		store:    f,
		now: func(context.Context) (time.Time, error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.reads++
			return f.now(), nil
		},
	}
}

// lead lets a beat lead for a while.
func (b *Beat) leadFor(t *testing.T, token uint64, d time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	return b.lead(ctx, token)
}
