package store

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redisfault"
)

var (
	//go:embed plan.lua
	planSource string
	//go:embed hold.lua
	holdSource string

	plan = draining("plan", planSource)
	hold = draining("hold", holdSource)
)

// Origin says who made a schedule.
type Origin string

// The origins. A beat removes what its file made and no longer lists, and leaves alone what was made at run time.
const (
	OriginFile Origin = "file"
	OriginAPI  Origin = "api"
)

// ScheduleRecord is what is on record of a schedule. The zero value stands for a schedule that is not there.
type ScheduleRecord struct {
	ID         string
	Lock       string // the lock of the beats that serve it
	Origin     Origin
	Definition []byte // JSON, as a file would define it
	Revision   string // a digest of the definition
	Timing     string // a digest of what of it decides when it ticks

	Next     time.Time // zero: none
	Last     time.Time // the last tick whose task was enqueued; zero: none
	LastTask string    // its ID
	Runs     int64     // tasks enqueued
	Missed   int64     // ticks without a task
	Failures int       // in a row, as the last tick saw them
	Waiting  []Waiting // ticks that wait for an earlier task to end

	Paused   bool
	Note     string
	PausedAt time.Time
	ByItself bool // because of failures: a new definition ends such a pause
}

// Plan is a change of the record of one schedule.
type Plan struct {
	Schedule string
	Was      ScheduleRecord // as the caller has read it; only Revision and Next count
	// What it is to be; an empty Revision removes it.
	Revision, Timing string
	Origin           Origin
	Definition       []byte
	Next             time.Time // zero: none
}

// Plan writes or removes schedules of q, at most [MaxBatch]. An element is false if the record was another than the caller
// thought; it has to be read again then. leader.Token 0 stands for a change at run time: nobody is fenced off, and the beats
// are told. A [*seri.FencedError] tells that a newer leader has been here.
func (s *Store) Plan(ctx context.Context, q keys.Queue, leader Leader, plans []Plan) ([]bool, error) {
	if len(plans) == 0 {
		return nil, nil
	}
	if len(plans) > MaxBatch {
		return nil, fmt.Errorf("plan queue %q: %d schedules in one call, the limit is %d", q, len(plans), MaxBatch)
	}
	if err := s.register(ctx, q); err != nil {
		return nil, err
	}
	names := []string{q.Beat(), q.Schedules(), q.Edited(), q.Events()}
	token := ""
	if leader.Token != 0 {
		token = strconv.FormatUint(leader.Token, 10)
	}
	args := []any{leader.Lock, token, s.config.MaxEvents}
	for i := range plans {
		p := &plans[i]
		names = append(names, q.Schedule(p.Schedule))
		args = append(args, p.Schedule, p.Was.Revision, tickText(p.Was.Next), p.Revision, p.Timing, string(p.Origin), p.Definition, tickText(p.Next))
	}
	for i := range plans {
		names = append(names, q.History(plans[i].Schedule))
	}
	reply, err := s.run(ctx, plan, q, names, args...)
	if err != nil {
		return nil, err
	}
	if reply == int64(-1) {
		return nil, fmt.Errorf("plan queue %q: %w", q, &seri.FencedError{TaskID: plans[0].Schedule, Held: leader.Token})
	}
	values, ok := reply.([]any)
	if !ok || len(values) != len(plans) {
		return nil, fmt.Errorf("plan queue %q: unexpected reply %v", q, reply)
	}
	written := make([]bool, len(plans))
	for i, v := range values {
		written[i] = v == int64(1)
	}
	return written, nil
}

// PauseSchedule stops a schedule's ticks, with a note that says why, until [Store.ResumeSchedule]. Repeating it is harmless.
// Errors: [seri.ErrNotFound].
func (s *Store) PauseSchedule(ctx context.Context, q keys.Queue, id, note string) error {
	return s.hold(ctx, q, id, "pause", note, time.Time{}, "")
}

// ErrScheduleChanged: the schedule is another by now; read it again.
var ErrScheduleChanged = errors.New("the schedule has changed")

// ResumeSchedule lets a paused schedule tick again, first at next, which follows from the definition of the given
// revision. Repeating it is harmless. Errors: [seri.ErrNotFound], [ErrScheduleChanged].
func (s *Store) ResumeSchedule(ctx context.Context, q keys.Queue, id, revision string, next time.Time) error {
	return s.hold(ctx, q, id, "resume", "", next, revision)
}

func (s *Store) hold(ctx context.Context, q keys.Queue, id, what, note string, next time.Time, revision string) error {
	names := []string{q.Beat(), q.Schedules(), q.Edited(), q.Schedule(id), q.Events()}
	reply, err := s.run(ctx, hold, q, names, id, s.config.MaxEvents, what, note, tickText(next), revision)
	switch {
	case err != nil:
		return err
	case reply == int64(1), reply == int64(2):
		return nil
	case reply == int64(0):
		err = seri.ErrNotFound
	case reply == int64(-1):
		err = ErrScheduleChanged
	default:
		err = fmt.Errorf("unexpected reply %v", reply)
	}
	return fmt.Errorf("%s schedule %s in queue %q: %w", what, id, q, err)
}

// ScheduleIDs lists the schedules of a queue.
func (s *Store) ScheduleIDs(ctx context.Context, q keys.Queue) ([]string, error) {
	ids, err := s.rdb.ZRange(ctx, q.Schedules(), 0, -1).Result()
	if err != nil {
		return nil, fmt.Errorf("list schedules of queue %q: %w", q, redisfault.Mark(err))
	}
	return ids, nil
}

// ScheduleQueues returns the queues that have a schedule of an ID, sorted.
func (s *Store) ScheduleQueues(ctx context.Context, id string) (have []keys.Queue, err error) {
	queues, err := s.Queues(ctx)
	if err != nil || len(queues) == 0 {
		return nil, err
	}
	pipe := s.rdb.Pipeline()
	replies := make([]*redis.IntCmd, len(queues))
	for i, q := range queues {
		replies[i] = pipe.Exists(ctx, q.Schedule(id))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("look for schedule %s: %w", id, redisfault.Mark(err))
	}
	for i, q := range queues {
		if replies[i].Val() == 1 {
			have = append(have, q)
		}
	}
	return have, nil
}

// The fields of a schedule's record: first those that matter of one whose definition is known.
var (
	scheduleFields = []string{"rev", "next", "origin", "set", "paused", "buffer", "timing", "last", "task", "runs", "missed", "fails", "paused_at", "auto", "def"}
	knownFields    = scheduleFields[:6]
)

// readers is how many calls read records at once: while one waits for Redis, another makes sense of what has come.
const readers = 4

// ScheduleRecords reads the records of schedules of q, in the order of ids; those that are not there have no ID. If known is
// not nil, it is first shown what matters of a schedule whose definition one has: ID, Revision, Next, Origin, Lock, Paused,
// Note and Waiting. Where it returns true, nothing else is read. It is called by several goroutines.
func (s *Store) ScheduleRecords(ctx context.Context, q keys.Queue, ids []string, known func(r *ScheduleRecord) bool) ([]ScheduleRecord, error) {
	records := make([]ScheduleRecord, len(ids))
	var wg sync.WaitGroup
	free := make(chan struct{}, readers)
	errs := make([]error, (len(ids)+MaxBatch-1)/MaxBatch)
	for i := range errs {
		first, last := i*MaxBatch, min((i+1)*MaxBatch, len(ids))
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			errs[i] = s.readRecords(ctx, q, ids[first:last], known, records[first:last])
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, fmt.Errorf("read schedules of queue %q: %w", q, redisfault.Mark(err))
		}
	}
	return records, nil
}

// readRecords reads the records of at most [MaxBatch] schedules.
func (s *Store) readRecords(ctx context.Context, q keys.Queue, ids []string, known func(r *ScheduleRecord) bool, records []ScheduleRecord) error {
	whole := make([]int, 0, len(ids)) // the places of those that are read as a whole
	if known == nil {
		for i := range ids {
			whole = append(whole, i)
		}
	} else {
		err := s.readFields(ctx, q, ids, knownFields, func(i int, values []any) {
			records[i] = scheduleRecord(ids[i], values)
			if records[i].ID != "" && !known(&records[i]) {
				whole = append(whole, i)
			}
		})
		if err != nil {
			return err
		}
	}
	some := make([]string, len(whole))
	for n, i := range whole {
		some[n] = ids[i]
	}
	return s.readFields(ctx, q, some, scheduleFields, func(n int, values []any) {
		records[whole[n]] = scheduleRecord(some[n], values)
	})
}

func (s *Store) readFields(ctx context.Context, q keys.Queue, ids, fields []string, each func(i int, values []any)) error {
	if len(ids) == 0 {
		return nil
	}
	pipe := s.rdb.Pipeline()
	replies := make([]*redis.SliceCmd, len(ids))
	for i, id := range ids {
		replies[i] = pipe.HMGet(ctx, q.Schedule(id), fields...)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return err
	}
	for i, reply := range replies {
		each(i, reply.Val())
	}
	return nil
}

// scheduleRecord makes a record of the values of [scheduleFields], or of the first of them.
func scheduleRecord(id string, values []any) (r ScheduleRecord) {
	text := func(i int) string {
		if i >= len(values) {
			return ""
		}
		s, _ := values[i].(string)
		return s
	}
	if text(0) == "" {
		return ScheduleRecord{}
	}
	count := func(i int) int64 {
		n, _ := strconv.ParseInt(text(i), 10, 64)
		return n
	}
	r = ScheduleRecord{
		ID: id, Revision: text(0), Next: tickOf(text(1)), Origin: Origin(text(2)), Lock: text(3), Paused: values[4] != nil, Note: text(4),
		Waiting: waitingOf(text(5)),
	}
	if len(values) < len(scheduleFields) {
		return r
	}
	r.Timing, r.Last, r.LastTask, r.Runs, r.Missed = text(6), tickOf(text(7)), text(8), count(9), count(10)
	r.Failures, r.ByItself, r.Definition = int(count(11)), values[13] != nil, []byte(text(14))
	if r.Paused {
		r.PausedAt = time.UnixMilli(count(12))
	}
	return r
}

// Edits tells which schedules were changed at run time.
type Edits struct {
	Last int64    // number of the newest change
	IDs  []string // changed after the number that was asked about
	All  bool     // there were too many changes to name them

	Denied error // this user may not read them; there is nothing else then
}

// maxEdited is how many changed schedules a queue's list of them holds.
const maxEdited = 1000

// EditedSince asks, for each queue, for the changes at run time since one of the given number.
func (s *Store) EditedSince(ctx context.Context, since map[keys.Queue]int64) (map[keys.Queue]Edits, error) {
	pipe := s.rdb.Pipeline()
	replies := make(map[keys.Queue]*redis.ZSliceCmd, len(since))
	for q, n := range since {
		replies[q] = pipe.ZRangeArgsWithScores(ctx, redis.ZRangeArgs{
			Key: q.Edited(), ByScore: true, Start: "(" + strconv.FormatInt(n, 10), Stop: "+inf",
		})
	}
	_, _ = pipe.Exec(ctx) // it tells of the first error only
	edits := make(map[keys.Queue]Edits)
	for q, reply := range replies {
		members, err := reply.Result()
		if redisfault.Denied(err) {
			edits[q] = Edits{Denied: fmt.Errorf("ask for changed schedules of queue %q: %w", q, err)}
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("ask for changed schedules: %w", redisfault.Mark(err))
		}
		if len(members) == 0 {
			continue
		}
		e := Edits{Last: int64(members[len(members)-1].Score), All: len(members) >= maxEdited}
		for _, m := range members {
			id, _ := m.Member.(string)
			e.IDs = append(e.IDs, id)
		}
		edits[q] = e
	}
	return edits, nil
}

// Led tells whether the beats of a lock have a leader, or one is about to take over.
func (s *Store) Led(ctx context.Context, lock string) (bool, error) {
	pipe := s.rdb.Pipeline()
	until := pipe.HGet(ctx, keys.Lock(lock), "until") // the key outlives the lease
	waiting := pipe.ZRevRangeWithScores(ctx, keys.LockPresence(lock), 0, 0)
	_, _ = pipe.Exec(ctx) // it tells of the first error only, which may be that nobody has the lock
	for _, err := range []error{until.Err(), waiting.Err()} {
		if err != nil && !errors.Is(err, redis.Nil) {
			return false, fmt.Errorf("ask who holds lock %s: %w", lock, redisfault.Mark(err))
		}
	}
	now, err := s.rdb.Time(ctx).Result()
	if err != nil {
		return false, fmt.Errorf("ask who holds lock %s: %w", lock, redisfault.Mark(err))
	}
	ends, _ := strconv.ParseInt(until.Val(), 10, 64)
	for _, last := range waiting.Val() {
		ends = max(ends, int64(last.Score))
	}
	return ends > now.UnixMicro(), nil
}

// FileRevision returns the revision of the file of schedules that the beats of a lock have applied last; 0: none.
func (s *Store) FileRevision(ctx context.Context, lock string) (uint64, error) {
	n, err := s.rdb.HGet(ctx, keys.BeatFile(lock), "revision").Uint64()
	if err != nil && !errors.Is(err, redis.Nil) {
		return 0, fmt.Errorf("ask for the revision of the file of schedules: %w", redisfault.Mark(err))
	}
	return n, nil
}

// SetFileRevision notes the revision of the file that the leader has applied.
func (s *Store) SetFileRevision(ctx context.Context, leader Leader, revision uint64) error {
	err := s.rdb.HSet(ctx, keys.BeatFile(leader.Lock), "revision", revision, "token", leader.Token).Err()
	if err != nil {
		return fmt.Errorf("note the revision of the file of schedules: %w", redisfault.Mark(err))
	}
	return nil
}
