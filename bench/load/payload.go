package load

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// minPayload is what a payload takes without padding.
const minPayload = 40

// order is what a task's payload asks of its handler.
type order struct {
	At int64 `json:"at"` // Unix nanoseconds: when it was handed over, or is due
	Ms int   `json:"ms"` // how long the handler takes
}

// text is what pads payloads and results. It is no repetition of a letter: Redis' Lua looks at about every thirtieth byte of
// a long string to tell it from others, so that strings which hardly differ would cost every system far more than real ones.
var text = func() string {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789"
	random := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, 1<<16)
	for i := range b {
		b[i] = letters[random.IntN(len(letters))]
	}
	return string(b)
}()

// Padding returns size bytes of text, at most 64 KiB, others each time.
func Padding(size int) string {
	size = min(max(size, 0), len(text))
	start := int(padded.Add(97)) % (len(text) - size + 1)
	return text[start : start+size]
}

var padded atomic.Int64

// payload returns JSON of about size bytes.
func payload(at time.Time, ms, size int) []byte {
	nanos := int64(0)
	if !at.IsZero() {
		nanos = at.UnixNano()
	}
	return fmt.Appendf(nil, `{"at":%d,"ms":%d,"pad":"%s"}`, nanos, ms, Padding(size-minPayload))
}

// result returns JSON of size bytes; nil for 0.
func result(size int) []byte {
	if size == 0 {
		return nil
	}
	return []byte(`"` + Padding(size-2) + `"`)
}

func parse(payload []byte) (order, error) {
	var o order
	if err := json.Unmarshal(payload, &o); err != nil {
		return o, fmt.Errorf("payload of a measured task: %w", err)
	}
	return o, nil
}
