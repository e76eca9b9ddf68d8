package load

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// meter is the handler, and counts its calls. What it does for a no-op is two readings of the clock and three atomic
// operations, the same for every system.
type meter struct {
	count atomic.Int64
	first atomic.Int64 // Unix nanoseconds
	last  atomic.Int64

	mu     sync.Mutex
	delays []time.Duration
}

// handle returns what w says that handlers do.
func (m *meter) handle(w Work) Handle {
	answer := result(w.Result)
	switch w.Kind {
	case Sleeper:
		return m.counted(answer, func(ctx context.Context, payload []byte, _ time.Time) {
			if o, err := parse(payload); err == nil && o.Ms > 0 {
				time.Sleep(time.Duration(o.Ms) * time.Millisecond)
			}
		})
	case Timer:
		return m.counted(answer, func(_ context.Context, payload []byte, started time.Time) {
			o, err := parse(payload)
			if err != nil {
				return
			}
			m.mu.Lock()
			m.delays = append(m.delays, started.Sub(time.Unix(0, o.At)))
			m.mu.Unlock()
		})
	case Holder:
		return func(ctx context.Context, _ []byte) []byte {
			m.count.Add(1)
			<-ctx.Done()
			return nil
		}
	default:
		return m.counted(answer, func(context.Context, []byte, time.Time) {})
	}
}

func (m *meter) counted(answer []byte, do func(context.Context, []byte, time.Time)) Handle {
	return func(ctx context.Context, payload []byte) []byte {
		started := time.Now()
		if m.first.Load() == 0 {
			m.first.CompareAndSwap(0, started.UnixNano())
		}
		do(ctx, payload, started)
		m.last.Store(time.Now().UnixNano())
		m.count.Add(1)
		return answer
	}
}

// status returns what is counted so far.
func (m *meter) status() Report {
	return Report{Count: m.count.Load(), First: moment(m.first.Load()), Last: moment(m.last.Load())}
}

// sorted returns the delays that were noted.
func (m *meter) sorted() []time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	slices.Sort(m.delays)
	return m.delays
}

func moment(nanos int64) time.Time {
	if nanos == 0 {
		return time.Time{}
	}
	return time.Unix(0, nanos)
}
