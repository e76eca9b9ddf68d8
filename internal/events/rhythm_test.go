package events

import (
	"testing"
	"time"
)

// reads follows a rate of entries for a second, as a tail does, and returns how often it has read and its longest pause.
func reads(r *rhythm, perSecond int) (reads int, longest time.Duration) {
	begun := time.Now()
	gap := time.Second / time.Duration(perSecond)
	for at, next := time.Duration(0), gap; at < time.Second; {
		at = max(at, next) // a blocked read returns when there is something
		entries := 0
		for ; next <= at; next += gap {
			entries++
		}
		reads++
		p := r.pause(entries, false, begun.Add(at))
		longest = max(longest, p)
		at += p
	}
	return reads, longest
}

func TestBusyStreamsAreReadMoreSeldomThanEntriesCome(t *testing.T) {
	t.Parallel()
	var before time.Duration
	for _, perSecond := range []int{10, 40, 100, 200, 400, 1000, 5000} {
		var r rhythm
		n, longest := reads(&r, perSecond)
		if perSecond <= calm && (n < perSecond-1 || longest > 0) {
			t.Errorf("of %d entries a second, %d reads were made, with pauses of up to %v", perSecond, n, longest)
		}
		if perSecond >= 1000 && (n > int(time.Second/pauseMost)+perSecond/10 || longest != pauseMost) {
			t.Errorf("of %d entries a second, %d reads were made, with pauses of up to %v", perSecond, n, longest)
		}
		if longest < before || longest > pauseMost {
			t.Errorf("at %d entries a second, a pause has %v, and %v at fewer", perSecond, longest, before)
		}
		before = longest
	}
}

func TestStreamIsNotPausedWhileMoreIsThereNorWhenItIsCalmAgain(t *testing.T) {
	t.Parallel()
	var r rhythm
	now := time.Now()
	for range 3 {
		if p := r.pause(readLimit, true, now); p != 0 {
			t.Errorf("while more is there, a pause has %v", p)
		}
	}
	if p := r.pause(1, false, now.Add(time.Millisecond)); p != pauseMost {
		t.Errorf("after many, a pause has %v", p)
	}
	if p := r.pause(1, false, now.Add(10*time.Second)); p != 0 {
		t.Errorf("after ten seconds of rest, a pause has %v", p)
	}
}
