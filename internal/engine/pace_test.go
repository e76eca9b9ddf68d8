package engine

import (
	"testing"
	"time"
)

func TestWhatIsFetchedAhead(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		slots int
		each  time.Duration // how long attempts take
		want  int
	}{
		"nothing before anything is known":          {10, 0, 0},
		"much where tasks are fast":                 {10, time.Microsecond, aheadMost},
		"as much as the slots do in the time ahead": {10, 5 * time.Millisecond, 20},
		"less than the slots where tasks are slow":  {10, 40 * time.Millisecond, 2},
		"nothing where they are slower":             {1000, 50 * time.Millisecond, 0},
	}
	for sentence, c := range cases {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			var p pace
			if c.each > 0 {
				p.note(c.each)
			}
			if got := p.ahead(c.slots); got != c.want {
				t.Errorf("%d tasks ahead, want %d", got, c.want)
			}
		})
	}
}

func TestThePaceFollowsTheTasks(t *testing.T) {
	t.Parallel()
	var p pace
	p.note(time.Microsecond)
	for range 100 {
		p.note(100 * time.Millisecond)
	}
	if p.ahead(10) != 0 {
		t.Errorf("average %v after 100 slow tasks: still fetches ahead", p.average)
	}
	for range 200 {
		p.note(time.Microsecond)
	}
	if p.ahead(10) != aheadMost {
		t.Errorf("average %v after 200 fast tasks: does not fetch ahead", p.average)
	}
}
