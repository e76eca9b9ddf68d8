package schedule

import (
	"testing"
	"time"
)

// counted is a rule that counts how often it is asked.
type counted struct {
	rule
	asked *int
}

func (c counted) next(after instant) (instant, bool) {
	*c.asked++
	return c.rule.next(after)
}

// After a long outage, a leader has to know what is due before it fires anything.
func TestSettleAsksLittleAfterALongOutage(t *testing.T) {
	t.Parallel()
	begun := time.Unix(1_770_000_000, 0)
	for name, change := range map[string]func(*Schedule){
		"all are made up for":    func(*Schedule) {},
		"with a jitter":          func(s *Schedule) { s.Jitter = time.Second },
		"it has ended meanwhile": func(s *Schedule) { s.End = begun.AddDate(0, 6, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec, err := Parse("@every 1s", nil)
			if err != nil {
				t.Fatal(err)
			}
			asked := 0
			spec.rule = counted{spec.rule, &asked}
			s := Schedule{ID: "s", Spec: spec, Enabled: true, Policy: Policy{Catchup: CatchupAll, CatchupLimit: MaxCatchupLimit}}
			change(&s)

			_, missed, _ := s.Settle(begun, begun.AddDate(1, 0, 0))

			if !missed.More || asked > MaxMissed+20*MaxCatchupLimit {
				t.Errorf("asked for %d ticks; missed are %+v", asked, missed)
			}
		})
	}
}
