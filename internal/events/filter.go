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

// Matches reports whether an event is one that f asks for.
func (f *Filter) Matches(e *seri.Event) bool {
	return (f.Task == "" || f.Task == e.Task) &&
		(f.Owner == "" || f.Owner == e.Owner) &&
		(f.Queue == "" || f.Queue == e.Queue) &&
		(f.Type == "" || f.Type == e.Type) &&
		(f.Schedule == "" || e.Data.Schedule != nil && f.Schedule == e.Data.Schedule.ID)
}
