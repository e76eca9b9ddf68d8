package meter

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// Worker counts what a worker does.
type Worker struct {
	LeasesLost     Counter
	OutcomesLost   Counter
	TasksRecovered Counter
	TasksPoisoned  Counter
	FetchesFailed  Counter
	Awaited        Counter // calls that wait for tasks, on connections of their own, which [Redis] does not see
	LinesDropped   Counter

	Refused struct{ Outcome, Progress, Log Counter } // writes

	mu    sync.Mutex
	types map[string]*Type
}

// maxTypes bounds the types that are told apart. A worker with a list of handlers has far fewer; one that takes whatever an
// asynq mux matches may be sent any number.
const maxTypes = 200

// Type returns the counters of a type of task, to be kept. Beyond the first 200 types it returns those of "other".
func (w *Worker) Type(name string) *Type {
	w.mu.Lock()
	defer w.mu.Unlock()
	if t := w.types[name]; t != nil {
		return t
	}
	if len(w.types) >= maxTypes {
		name = "other"
	}
	if w.types == nil {
		w.types = make(map[string]*Type)
	}
	t := cmp.Or(w.types[name], &Type{name: name})
	w.types[name] = t
	return t
}

// Measure implements [Source].
func (w *Worker) Measure(_ context.Context, report Report) {
	for f, c := range map[*Family]*Counter{
		LeasesLost: &w.LeasesLost, OutcomesLost: &w.OutcomesLost, TasksRecovered: &w.TasksRecovered, TasksPoisoned: &w.TasksPoisoned,
		FetchesFailed: &w.FetchesFailed, RedisAwaited: &w.Awaited, LogLinesDropped: &w.LinesDropped,
	} {
		report.Value(f, c.Load())
	}
	report.Value(WritesRefused, w.Refused.Outcome.Load(), "outcome")
	report.Value(WritesRefused, w.Refused.Progress.Load(), "progress")
	report.Value(WritesRefused, w.Refused.Log.Load(), "log")
	w.mu.Lock()
	types := slices.Collect(maps.Values(w.types))
	w.mu.Unlock()
	for _, t := range types {
		t.measure(report)
	}
}

// Outcome is how an attempt ended.
type Outcome int

// The outcomes of an attempt.
const (
	Succeeded Outcome = iota
	Retried
	Failed
	Revoked
	HandedBack
	Abandoned
	outcomes
)

var outcomeNames = [outcomes]string{"succeeded", "retried", "failed", "revoked", "handed_back", "abandoned"}

// Type counts the attempts at tasks of one type. A nil one counts nothing.
type Type struct {
	name  string
	ended [outcomes]Counter
	took  Histogram
}

// Ended counts an attempt by its outcome.
func (t *Type) Ended(o Outcome) {
	if t != nil {
		t.ended[o].Add(1)
	}
}

// Took counts an attempt by the time that its handler took.
func (t *Type) Took(d time.Duration) {
	if t != nil {
		t.took.Observe(d)
	}
}

func (t *Type) measure(report Report) {
	for o, name := range outcomeNames {
		report.Value(TasksEnded, t.ended[o].Load(), t.name, name)
	}
	report.Histogram(TaskSeconds, t.took.Snapshot(), t.name)
}
