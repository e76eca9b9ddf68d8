package store

import (
	"cmp"
	"context"
	_ "embed"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/wire"
)

//go:embed fire.lua
var fireSource string

var fire = filling("fire", fireSource)

// Leader is who writes schedules: the lock under which beats lead, and the token of the one that leads.
type Leader struct {
	Lock  string
	Token uint64
}

// Tick is one tick of one schedule, about to be fired.
type Tick struct {
	Schedule string
	Revision string    // of the schedule's definition
	Expected time.Time // the tick that is taken for the schedule's next one; zero: Tick is the first of those that wait
	Asked    bool      // somebody has asked for it, whatever the next one is; Expected and Next do not count then
	Tick     time.Time // zero: move on without a task, the ticks were missed
	Due      time.Time // when the task may start
	Next     time.Time // the tick to move on to; zero: there is none
	Missed   string    // data of the event about the ticks that were missed before, from [wire.MissedTicks]; empty: none were
	Task     seri.Message

	Overlap    string // "allow", "skip", …
	Limit      int    // of tasks of the schedule; 0: none
	PauseAfter int    // failures in a row; 0: never

	encoded []byte // the task's message; nil: not yet
	about   string // the task, in its event
}

// Encode does what [Store.Fire] otherwise would, before anybody waits for it. Task must not be changed after that.
func (k *Tick) Encode(q keys.Queue) {
	m := message(q, &k.Task)
	k.encoded, k.about = m.Encode(), wire.About(k.Task.ID, k.Task.Type, k.Task.Owner)
}

// policy is how the script is told of the last three fields; empty: the usual ones.
func (k *Tick) policy() string {
	if (k.Overlap == "" || k.Overlap == "allow") && k.Limit == 0 && k.PauseAfter == 0 {
		return ""
	}
	return fmt.Sprintf("%s %d %d", cmp.Or(k.Overlap, "allow"), k.Limit, k.PauseAfter)
}

// Fired is what became of a tick.
type Fired struct {
	Outcome Outcome
	// Waiting are the schedule's ticks that wait for their turn; only after an outcome that may have changed them.
	Waiting []Waiting
	// Running are the ticks whose tasks have not ended, of a tick that waits or was left out.
	Running []time.Time
}

// Waiting is a tick that waits for the task of an earlier one to end.
type Waiting struct {
	Tick  time.Time
	Asked bool // somebody has asked for it: no pause and no limit holds it up
}

// Outcome says what became of a tick.
type Outcome int

// What [Store.Fire] may find.
const (
	TickMoved    Outcome = iota // the schedule's next tick or definition is another by now
	TickEnqueued                // this call has enqueued the tick's task
	TickExists                  // the tick's task is there already
	TickPassed                  // the schedule has moved on without a task, as was asked
	TickLeftOut                 // an earlier task has not ended, so the tick was left out
	TickWaits                   // an earlier task has not ended, so the tick waits
	TickPaused                  // the schedule is paused
	TickLast                    // this call has enqueued the tick's task, and the schedule has come to its limit
	TickEarly                   // by Redis' clock the tick is not due
	TickOver                    // the schedule had come to its limit before, and has no next tick now
)

const argumentsOfATick = 11

// Fire enqueues the tasks of ticks of schedules of q, at most [MaxBatch], and moves the schedules on, each if the tick is
// still the next one. Several ticks of one schedule follow one another. A task's ETA and UniqueFor are not honoured: a tick
// has its time and its own kind of uniqueness. A [*seri.FencedError] tells that a newer leader has been here. Ticks that
// somebody has asked for need no leader: its zero value stands for none.
func (s *Store) Fire(ctx context.Context, q keys.Queue, leader Leader, ticks []Tick) ([]Fired, error) {
	if len(ticks) == 0 {
		return nil, nil
	}
	if len(ticks) > MaxBatch {
		return nil, fmt.Errorf("fire queue %q: %d ticks in one call, the limit is %d", q, len(ticks), MaxBatch)
	}
	if err := s.register(ctx, q); err != nil {
		return nil, err
	}
	names := make([]string, 0, 11+2*len(ticks))
	names = append(names, q.Beat(), q.Schedules(), q.Events(), q.Pending(), q.Scheduled(), q.Retry(), q.Due(), q.Active(), q.Lease(), q.Archived(), q.Edited())
	for i := range ticks {
		names = append(names, q.Schedule(ticks[i].Schedule))
	}
	for i := range ticks {
		names = append(names, q.History(ticks[i].Schedule))
	}
	token := ""
	if leader.Token != 0 {
		token = strconv.FormatUint(leader.Token, 10)
	}
	args := make([]any, 0, 6+argumentsOfATick*len(ticks))
	args = append(args, q.TaskPrefix(), s.config.MaxEvents, leader.Lock, token, keys.Cancel, len(ticks))
	for i := range ticks {
		k := &ticks[i]
		more := ""
		if !k.Tick.IsZero() {
			if k.encoded == nil {
				k.Encode(q)
			}
			var t terms
			if !k.Task.Expires.IsZero() {
				t.Expires = k.Task.Expires.UnixMilli()
			}
			if k.Task.Owner != "" {
				names = append(names, q.Owner(k.Task.Owner))
				t.Owner, t.Owned = k.Task.Owner, len(names)
			}
			more = t.encode()
		}
		expected := tickText(k.Expected)
		if k.Asked {
			expected = "-"
		}
		args = append(args, k.Schedule, k.Revision, expected, tickText(k.Tick), k.Due.UnixMilli(), tickText(k.Next), k.Missed,
			k.encoded, k.about, more, k.policy())
	}
	reply, err := s.run(ctx, fire, q, names, args...)
	if err != nil {
		return nil, err
	}
	if reply == int64(-1) {
		return nil, fmt.Errorf("fire queue %q: %w", q, &seri.FencedError{TaskID: ticks[0].Schedule, Held: leader.Token})
	}
	return firedOf(reply, len(ticks), q)
}

func firedOf(reply any, n int, q keys.Queue) ([]Fired, error) {
	values, _ := reply.([]any)
	if len(values) != 2 {
		return nil, fmt.Errorf("fire queue %q: unexpected reply %v", q, reply)
	}
	outcomes, _ := values[0].([]any)
	details, _ := values[1].([]any)
	if len(outcomes) != n || len(details)%3 != 0 {
		return nil, fmt.Errorf("fire queue %q: unexpected reply %v", q, reply)
	}
	fired := make([]Fired, n)
	for i, v := range outcomes {
		outcome, _ := v.(int64)
		fired[i].Outcome = Outcome(outcome)
	}
	for i := 0; i < len(details); i += 3 {
		place, _ := details[i].(int64)
		if place < 1 || int(place) > n {
			return nil, fmt.Errorf("fire queue %q: unexpected reply %v", q, reply)
		}
		waiting, _ := details[i+1].(string)
		running, _ := details[i+2].(string)
		fired[place-1].Waiting, fired[place-1].Running = waitingOf(waiting), ticksOf(running)
	}
	return fired, nil
}

// tickText is a tick as it stands in a record; that there is none, is empty.
func tickText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return strconv.FormatInt(t.Unix(), 10)
}

func tickOf(text string) time.Time {
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(seconds, 0)
}

func ticksOf(text string) (ticks []time.Time) {
	if text == "" {
		return nil
	}
	for t := range strings.SplitSeq(text, ",") {
		ticks = append(ticks, tickOf(t))
	}
	return ticks
}

func waitingOf(text string) (ticks []Waiting) {
	if text == "" {
		return nil
	}
	for t := range strings.SplitSeq(text, ",") {
		at, asked := strings.CutPrefix(t, "a")
		ticks = append(ticks, Waiting{tickOf(at), asked})
	}
	return ticks
}
