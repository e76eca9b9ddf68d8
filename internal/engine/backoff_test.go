package engine

import (
	"testing"
	"time"
)

func TestBackOffGrowsIsBoundedAndSpread(t *testing.T) {
	t.Parallel()
	longest := []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 5 * time.Second, 5 * time.Second}
	seen := make(map[time.Duration]bool)
	for range 100 {
		var b backoff
		for i, most := range longest {
			wait := b.next()
			if wait < most/2 || wait > most {
				t.Fatalf("wait %d is %v, want between %v and %v", i, wait, most/2, most)
			}
			seen[wait] = true
		}
	}
	if len(seen) < 500 {
		t.Errorf("only %d different waits of 600", len(seen))
	}
}
