package beat

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/permit"
	"github.com/seri-queue/seri/internal/store"
	"github.com/seri-queue/seri/internal/timetable"
)

// load reads what is on record of all schedules, applies the beat's own list to it, and makes entries of the result.
func (l *leader) load(ctx context.Context) error {
	queues, err := l.beat.store.Queues(ctx)
	if err != nil {
		return err
	}
	own := make(map[keys.Queue][]string)
	for r := range l.beat.declared {
		own[r.queue] = append(own[r.queue], r.id)
	}
	for q := range own {
		queues = append(queues, q)
	}
	slices.Sort(queues)
	queues = slices.Compact(queues)
	for _, q := range queues {
		l.edits[q] = 0
	}
	edits, err := l.edited(ctx) // before the records are read, so that no change goes unnoticed
	if err != nil {
		return err
	}
	for q, e := range edits {
		l.edits[q] = e.Last
	}
	records, foreign := make(map[ref]*store.ScheduleRecord, len(l.beat.declared)), make(map[ref]*store.ScheduleRecord)
	for _, q := range queues {
		ids, err := l.beat.store.ScheduleIDs(ctx, q)
		if permit.Denied(err) {
			l.hide(ctx, q, err)
			continue
		}
		if err != nil {
			return err
		}
		ids = union(ids, own[q])
		if len(ids) == 0 || !l.serves(ctx, q) {
			continue
		}
		known := func(r *store.ScheduleRecord) bool {
			d := l.beat.declared[ref{q, r.ID}]
			return d != nil && d.revision == r.Revision && l.ours(r)
		}
		if err := l.read(ctx, q, ids, known, records, foreign); err != nil {
			return err
		}
	}
	if l.beat.declared != nil {
		if err := l.apply(ctx, records, foreign); err != nil {
			return err
		}
	}
	for r := range l.entries {
		if _, there := records[r]; !there {
			l.drop(r)
		}
	}
	if len(l.entries) == 0 {
		l.entries = make(map[ref]*entry, len(records))
	}
	for r, record := range records {
		l.take(ctx, r, record)
	}
	return nil
}

// union returns what is in a or in b, each once if that holds for both.
func union(a, b []string) []string {
	if len(a) == 0 || len(b) == 0 {
		return append(a, b...)
	}
	have := make(map[string]bool, len(a))
	for _, id := range a {
		have[id] = true
	}
	for _, id := range b {
		if !have[id] {
			a = append(a, id)
		}
	}
	return a
}

// ours tells whether a schedule is one of those that this leader's beats serve.
func (l *leader) ours(r *store.ScheduleRecord) bool { return r.Lock == l.as.Lock || r.Lock == "" }

// read adds the records of those schedules of a queue that this leader's beats serve, and to foreign, unless it is nil, those
// that other beats do.
func (l *leader) read(ctx context.Context, q keys.Queue, ids []string, known func(*store.ScheduleRecord) bool, records, foreign map[ref]*store.ScheduleRecord) error {
	read, err := l.beat.store.ScheduleRecords(ctx, q, ids, known)
	if err != nil {
		return err
	}
	for i := range read {
		record := &read[i]
		switch {
		case record.ID == "":
		case l.ours(record):
			records[ref{q, record.ID}] = record
		case foreign != nil:
			foreign[ref{q, record.ID}] = record
		}
	}
	return nil
}

// apply makes the record that of the beat's own list, unless a list of a higher revision is in force.
func (l *leader) apply(ctx context.Context, records, foreign map[ref]*store.ScheduleRecord) error {
	logger := l.beat.config.Logger
	l.refused = false
	l.others = make(map[string]bool)
	inForce, err := l.beat.store.FileRevision(ctx, l.as.Lock)
	if err != nil {
		return err
	}
	if inForce > l.beat.config.Revision {
		logger.WarnContext(ctx, "a newer file of schedules is in force and is served instead of this beat's", "revision", l.beat.config.Revision, "in_force", inForce)
		return nil
	}
	// By ID, what a schedule may have been in another queue, to which its tasks went before.
	elsewhere := make(map[string]store.ScheduleRecord)
	var strays []ref // what is no longer on the list
	for r, record := range records {
		if record.Origin == store.OriginFile && l.beat.declared[r] == nil {
			elsewhere[r.id], strays = *record, append(strays, r)
		}
	}
	now := l.clock.now()
	plans := make(map[keys.Queue][]store.Plan)
	var none store.ScheduleRecord
	added, changed, removed := 0, 0, 0
	for r, d := range l.beat.declared {
		if !l.serves(ctx, r.queue) {
			continue
		}
		was := records[r]
		if was == nil {
			was = &none
		}
		if other, there := foreign[r]; there {
			if !l.takesOver(ctx, r, other) {
				continue
			}
			was = other
		}
		switch {
		case was.Origin == store.OriginAPI:
			logger.WarnContext(ctx, "a schedule of the file is left out: one of that id was made at run time", "schedule", r.id, "queue", r.queue)
			continue
		case was.Revision == d.revision && l.ours(was):
			continue
		case was.ID == "":
			added++
		default:
			changed++
		}
		plans[r.queue] = append(plans[r.queue], store.Plan{
			Schedule: r.id, Was: *was, Revision: d.revision, Timing: d.timing, Origin: store.OriginFile, Definition: d.definition,
			Next: timetable.FirstTick(d.Schedule, d.timing, now, *was, elsewhere[r.id]),
		})
	}
	if err := l.write(ctx, plans, records); err != nil {
		return err
	}
	clear(plans) // what has moved is removed only once it is in its new place
	for _, r := range strays {
		if record := records[r]; record != nil { // its queue may have been denied by now
			removed++
			plans[r.queue] = append(plans[r.queue], store.Plan{Schedule: r.id, Was: *record})
		}
	}
	if err := l.write(ctx, plans, records); err != nil {
		return err
	}
	if added+changed+removed > 0 {
		logger.InfoContext(ctx, "file of schedules applied", "added", added, "changed", changed, "removed", removed, "revision", l.beat.config.Revision)
	}
	if inForce != l.beat.config.Revision {
		return l.beat.store.SetFileRevision(ctx, l.as, l.beat.config.Revision)
	}
	return nil
}

// takesOver tells whether a schedule of the beat's list becomes its own that is on record as that of other beats. It does
// once nobody leads those: their lock has got another name, or they are gone. Otherwise it is left to them, until they are.
func (l *leader) takesOver(ctx context.Context, r ref, record *store.ScheduleRecord) bool {
	logger := l.beat.config.Logger.With("schedule", r.id, "queue", r.queue, "their_lock", record.Lock)
	led, err := l.beat.store.Led(ctx, record.Lock)
	if err == nil && !led {
		logger.WarnContext(ctx, "a schedule is taken over from beats of another lock, which nobody holds")
		return true
	}
	l.others[record.Lock] = true
	logger.WarnContext(ctx, "a schedule of the file is left out: beats of another lock serve it", "error", err)
	return false
}

// write carries out plans, and notes in records what is so then. What another has changed at the same time is read again and
// served as it is, until the list is applied anew.
func (l *leader) write(ctx context.Context, plans map[keys.Queue][]store.Plan, records map[ref]*store.ScheduleRecord) error {
	for q, all := range plans {
		written, err := l.plan(ctx, q, all)
		if permit.Denied(err) {
			l.deny(ctx, q, err)
			maps.DeleteFunc(records, func(r ref, _ *store.ScheduleRecord) bool { return r.queue == q })
			continue
		}
		if err != nil {
			return err
		}
		var refused []string
		for i, ok := range written {
			p := &all[i]
			switch {
			case !ok:
				l.beat.config.Logger.WarnContext(ctx, "a schedule was changed by another at the same time; the file's is tried again", "schedule", p.Schedule, "queue", q)
				refused = append(refused, p.Schedule)
				delete(records, ref{q, p.Schedule})
			case p.Revision == "":
				delete(records, ref{q, p.Schedule})
			default:
				records[ref{q, p.Schedule}] = l.planned(p)
			}
		}
		if len(refused) > 0 {
			l.refused = true
			if err := l.read(ctx, q, refused, nil, records, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// plan writes schedules of a queue, a few calls at once: while Redis works on one, the next is made.
func (l *leader) plan(ctx context.Context, q keys.Queue, plans []store.Plan) ([]bool, error) {
	written := make([][]bool, (len(plans)+store.MaxBatch-1)/store.MaxBatch)
	errs := make([]error, len(written))
	var wg sync.WaitGroup
	free := make(chan struct{}, inFlight)
	for i := range written {
		some := plans[i*store.MaxBatch : min((i+1)*store.MaxBatch, len(plans))]
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			written[i], errs[i] = l.beat.store.Plan(ctx, q, l.as, some)
		})
	}
	wg.Wait()
	return slices.Concat(written...), errors.Join(errs...)
}

// planned returns the record of a schedule whose plan was carried out.
func (l *leader) planned(p *store.Plan) *store.ScheduleRecord {
	record := new(p.Was)
	record.ID, record.Lock, record.Origin, record.Definition = p.Schedule, l.as.Lock, p.Origin, p.Definition
	record.Revision, record.Timing, record.Next = p.Revision, p.Timing, p.Next
	if record.ByItself && p.Was.Revision != p.Revision {
		record.Paused, record.Note, record.PausedAt, record.ByItself, record.Failures = false, "", time.Time{}, false, 0
	}
	return record
}
