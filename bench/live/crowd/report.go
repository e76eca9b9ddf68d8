package crowd

import (
	"errors"
	"fmt"
	"time"
)

// Report is what the members of a crowd have seen since [Crowd.Forget], and how many are what at the moment.
type Report struct {
	Watching int `json:"watching"` // have been shown what they have asked for last
	Away     int `json:"away"`     // are not connected

	Refused int    `json:"refused"` // could not connect
	Cut     int    `json:"cut"`     // were connected, and the server has ended it
	Resumed int    `json:"resumed"` // have come back after their cursors
	Fault   string `json:"fault"`   // the first that was met

	Frames      uint64    `json:"frames"` // messages of events
	Bytes       uint64    `json:"bytes"`
	Reads       uint64    `json:"reads"`        // that brought something
	Ended       int       `json:"ended"`        // members whose task has ended, by one terminal event
	EndedTwice  int       `json:"ended_twice"`  // by several
	Doubled     int       `json:"doubled"`      // events that came again
	Lost        int       `json:"lost"`         // events that did not come though a later one did
	Gaps        int       `json:"gaps"`         // events said to be missing
	Misdirected int       `json:"misdirected"`  // events of a task that the member does not watch
	Last        time.Time `json:"last"`         // when an event was read last
	LastResumed time.Time `json:"last_resumed"` // when a member that was cut was back
	Delays      Histogram `json:"delays"`       // from commit to reading, of events that bear a stamp
}

// Merge adds what another crowd has seen.
func (r *Report) Merge(other *Report) {
	r.Watching += other.Watching
	r.Away += other.Away
	r.Refused += other.Refused
	r.Cut += other.Cut
	r.Resumed += other.Resumed
	if r.Fault == "" {
		r.Fault = other.Fault
	}
	r.Frames += other.Frames
	r.Bytes += other.Bytes
	r.Reads += other.Reads
	r.Ended += other.Ended
	r.EndedTwice += other.EndedTwice
	r.Doubled += other.Doubled
	r.Lost += other.Lost
	r.Gaps += other.Gaps
	r.Misdirected += other.Misdirected
	r.Last = later(r.Last, other.Last)
	r.LastResumed = later(r.LastResumed, other.LastResumed)
	r.Delays.Merge(&other.Delays)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Faults returns what must not have happened to members whom nobody has cut off.
func (r *Report) Faults() error {
	var errs []error
	for _, f := range []struct {
		n    int
		what string
	}{
		{r.Refused, "could not connect"}, {r.EndedTwice, "tasks ended twice"}, {r.Doubled, "events came again"},
		{r.Lost, "events did not come"}, {r.Gaps, "gaps were announced"}, {r.Misdirected, "events came to others"},
	} {
		if f.n > 0 {
			errs = append(errs, fmt.Errorf("%d %s", f.n, f.what))
		}
	}
	if len(errs) > 0 && r.Fault != "" {
		errs = append(errs, errors.New(r.Fault))
	}
	return errors.Join(errs...)
}
