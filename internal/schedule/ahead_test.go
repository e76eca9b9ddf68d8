package schedule

import (
	"slices"
	"testing"
	"time"
)

// What is found out before a tick is due is what is found when it is.
func TestAheadIsWhatSettleFinds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spec   string
		change func(*Schedule)
	}{
		"the usual one":               {"@every 10s", func(*Schedule) {}},
		"each is made up for":         {"@every 10s", func(s *Schedule) { s.Catchup = CatchupAll }},
		"none is made up for":         {"@every 1m", func(s *Schedule) { s.Catchup = CatchupNone }},
		"with a short deadline":       {"@every 10s", func(s *Schedule) { s.Deadline = time.Second }},
		"with a jitter":               {"@every 10s", func(s *Schedule) { s.Jitter = 10 * time.Second }},
		"with a jitter over a tick":   {"* * * * *", func(s *Schedule) { s.Jitter = 5 * time.Minute }},
		"once":                        {"@at 2026-03-01T00:00:00Z", func(*Schedule) {}},
		"that ends":                   {"@daily", func(s *Schedule) { s.End = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }},
		"where a clock is put back":   {"30 2 * * *", func(*Schedule) {}},
		"that is older than an hour":  {"@daily", func(*Schedule) {}},
		"with a deadline of two days": {"@daily", func(s *Schedule) { s.Deadline = 48 * time.Hour }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec, err := Parse(c.spec, nil)
			if err != nil {
				t.Fatal(err)
			}
			s := Schedule{ID: "s", Spec: spec, Enabled: true}
			c.change(&s)
			tick := s.Next(time.Date(2026, 2, 28, 23, 59, 59, 0, time.UTC))
			for range 100 {
				if tick.IsZero() {
					return
				}
				following, until := s.Ahead(tick)
				due := s.Due(tick)

				for _, now := range []time.Time{due, due.Add(1), due.Add(until.Sub(due) / 2), until.Add(-1), until, until.Add(time.Second)} {
					if now.Before(due) {
						continue
					}
					fire, missed, next := s.Settle(tick, now)
					alone := slices.Equal(fire, []time.Time{tick}) && missed.Count == 0 && next.Equal(following)
					if alone != now.Before(until) {
						t.Fatalf("at %v the tick %v is to be fired alone: %t; it was said to be until %v, before %v", now, tick, alone, until, following)
					}
				}
				tick = following
			}
		})
	}
}
