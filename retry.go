package seri

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// RetryPolicy says how long to wait before the next attempt.
// It is called with the number of attempts that have failed so far (1 after the first) and the last error.
type RetryPolicy func(failed int, err error) time.Duration

// DefaultRetry waits up to 10 s after the first failure, doubling up to one hour.
var DefaultRetry = Exponential(10*time.Second, time.Hour)

// Exponential waits a random time between zero and base·2ⁿ⁻¹, at most limit, after the n-th failure: exponential
// back-off with full jitter, which spreads a crowd of failures best (Brooker, "Exponential Backoff And Jitter", 2015).
// It panics if base or limit is not positive.
func Exponential(base, limit time.Duration) RetryPolicy {
	if base <= 0 || limit <= 0 {
		panic(fmt.Sprintf("seri: Exponential(%v, %v): both must be positive", base, limit))
	}
	return func(failed int, _ error) time.Duration {
		ceiling := limit
		if shift := max(failed-1, 0); shift < 62 && base <= limit>>shift {
			ceiling = base << shift
		}
		return rand.N(ceiling)
	}
}

// Fixed waits d after every failure. It panics if d is negative.
func Fixed(d time.Duration) RetryPolicy {
	if d < 0 {
		panic(fmt.Sprintf("seri: Fixed(%v): must not be negative", d))
	}
	return func(int, error) time.Duration { return d }
}
