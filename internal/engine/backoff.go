package engine

import (
	"math/rand/v2"
	"time"
)

// backoff spaces the tries of a loop that meets errors of Redis: each wait is up to twice as long as the last one, from
// half of [faultBackoff] to [faultLimit], and spread, so that a fleet does not fall upon a Redis that has just come back.
type backoff struct{ length time.Duration }

// next returns how long to wait after one more failure.
func (b *backoff) next() time.Duration {
	b.length = min(max(2*b.length, faultBackoff), faultLimit)
	return b.length/2 + rand.N(b.length/2)
}
