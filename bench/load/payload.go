package load

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// minPayload is what a payload takes without padding.
const minPayload = 40

// order is what a task's payload asks of its handler.
type order struct {
	At int64 `json:"at"` // Unix nanoseconds: when it was handed over, or is due
	Ms int   `json:"ms"` // how long the handler takes
}

// payload returns JSON of about size bytes.
func payload(at time.Time, ms, size int) []byte {
	nanos := int64(0)
	if !at.IsZero() {
		nanos = at.UnixNano()
	}
	return fmt.Appendf(nil, `{"at":%d,"ms":%d,"pad":"%s"}`, nanos, ms, strings.Repeat("x", max(size-minPayload, 0)))
}

// result returns JSON of size bytes; nil for 0.
func result(size int) []byte {
	if size == 0 {
		return nil
	}
	return []byte(`"` + strings.Repeat("r", max(size-2, 0)) + `"`)
}

func parse(payload []byte) (order, error) {
	var o order
	if err := json.Unmarshal(payload, &o); err != nil {
		return o, fmt.Errorf("payload of a measured task: %w", err)
	}
	return o, nil
}
