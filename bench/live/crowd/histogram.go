package crowd

import (
	"encoding/json"
	"math/bits"
	"time"
)

// Histogram counts durations up to an hour by buckets that are at most a thirty-second of their value wide. The zero value
// is empty.
type Histogram struct {
	counts [28 * halfOctave]uint64
	total  uint64
	max    time.Duration
}

// halfOctave is the number of buckets between a power of two and the next, beyond the first 64 microseconds.
const halfOctave = 32

// Add counts one duration. Less than nothing, which is the clock's fault, counts as nothing.
func (h *Histogram) Add(d time.Duration) {
	d = max(d, 0)
	us := min(uint64(d.Microseconds()), 1<<32-1)
	shift := max(0, bits.Len64(us)-6)
	h.counts[uint64(shift*halfOctave)+us>>shift]++
	h.total++
	h.max = max(h.max, d)
}

// Merge adds what another histogram has counted.
func (h *Histogram) Merge(other *Histogram) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.total += other.total
	h.max = max(h.max, other.max)
}

// Count is how many durations were counted.
func (h *Histogram) Count() uint64 { return h.total }

// Max is the longest of them.
func (h *Histogram) Max() time.Duration { return h.max }

// Quantile returns a duration that a share of those counted is not above; 0 if none was.
func (h *Histogram) Quantile(share float64) time.Duration {
	rank, seen := uint64(share*float64(h.total)), uint64(0)
	for i, n := range h.counts {
		if seen += n; n > 0 && seen >= rank {
			return min(upper(i), h.max)
		}
	}
	return h.max
}

// upper is the end of a bucket.
func upper(i int) time.Duration {
	shift := max(0, i/halfOctave-1)
	return time.Duration(i-shift*halfOctave+1) << shift * time.Microsecond
}

// sparse is a histogram in JSON: bucket and count of those that have one.
type sparse struct {
	Max    time.Duration `json:"max"`
	Counts [][2]uint64   `json:"counts"`
}

// MarshalJSON is part of [json.Marshaler].
func (h Histogram) MarshalJSON() ([]byte, error) {
	s := sparse{Max: h.max, Counts: [][2]uint64{}}
	for i, n := range h.counts {
		if n > 0 {
			s.Counts = append(s.Counts, [2]uint64{uint64(i), n})
		}
	}
	return json.Marshal(s)
}

// UnmarshalJSON is part of [json.Unmarshaler].
func (h *Histogram) UnmarshalJSON(b []byte) error {
	var s sparse
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	*h = Histogram{max: s.Max}
	for _, bucket := range s.Counts {
		if bucket[0] < uint64(len(h.counts)) {
			h.counts[bucket[0]] += bucket[1]
			h.total += bucket[1]
		}
	}
	return nil
}
