package safehttp

import (
	"math"
	"net/http"
	"strconv"
	"time"
)

// RetryAfter reads the Retry-After header, which is a number of seconds or a date, as the time from now on.
// It is false if there is none, if it cannot be read, or if it lies in the past: then the caller's own idea of when
// to try again is the better one.
//
// Source: RFC 9110, section 10.2.3.
func RetryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	value := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(value, 10, 63); err == nil {
		return time.Duration(min(seconds, math.MaxInt64/uint64(time.Second))) * time.Second, seconds > 0
	}
	if at, err := http.ParseTime(value); err == nil && at.After(now) {
		return at.Sub(now), true
	}
	return 0, false
}
