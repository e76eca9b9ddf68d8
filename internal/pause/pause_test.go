package pause_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seri-queue/seri/internal/pause"
)

func TestAPauseEndsWithItsTimeOrItsContext(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		pause, life, want time.Duration
		full              bool
	}{
		"its time":    {pause: time.Second, life: time.Minute, want: time.Second, full: true},
		"its context": {pause: time.Minute, life: time.Second, want: time.Second, full: false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), c.life)
				defer cancel()
				begun := time.Now()

				if full := pause.For(ctx, c.pause); full != c.full {
					t.Errorf("waited to its end: %t, want %t", full, c.full)
				}
				if took := time.Since(begun); took != c.want {
					t.Errorf("took %v, want %v", took, c.want)
				}
			})
		})
	}
}
