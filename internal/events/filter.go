package events

import "github.com/seri-queue/seri"

// Filter says what a subscription is about. What is set must all be true of an event; the zero Filter takes everything.
type Filter struct {
	Task     string // its id
	Owner    string
	Queue    string
	Type     string
	Schedule string // its id: only events about it, of which snapshots show nothing
	// Bare leaves payloads and headers of tasks out of snapshots. It says nothing of events, which never have them.
	Bare bool
}

// share makes f refer to the texts of another that are the same.
func (f *Filter) share(other *Filter) {
	for _, text := range [...]struct{ of, by *string }{
		{&f.Task, &other.Task}, {&f.Owner, &other.Owner}, {&f.Queue, &other.Queue}, {&f.Type, &other.Type}, {&f.Schedule, &other.Schedule},
	} {
		if *text.of == *text.by {
			*text.of = *text.by
		}
	}
}

// Matches reports whether an event is one that f asks for.
func (f *Filter) Matches(e *seri.Event) bool {
	return (f.Task == "" || f.Task == e.Task) &&
		(f.Owner == "" || f.Owner == e.Owner) &&
		(f.Queue == "" || f.Queue == e.Queue) &&
		(f.Type == "" || f.Type == e.Type) &&
		(f.Schedule == "" || e.Data.Schedule != nil && f.Schedule == e.Data.Schedule.ID)
}
