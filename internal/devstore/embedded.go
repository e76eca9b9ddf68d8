package devstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// beat is how often the embedded store lets its keys age. A key may go up to one beat early: what it has aged when it is
// set is not known. Ageing walks over every key (2 ms for 10,000), so miniredis's own way, which does that at each
// command (ClockTTL), would make a script of ten commands take 20 ms.
const beat = 100 * time.Millisecond

// openEmbedded starts a store inside this process. reason is why it is not a real one.
func openEmbedded(reason error) (*Store, error) {
	m := miniredis.NewMiniRedis()
	if err := m.StartAddr("127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("start the store inside this process: %w", err)
	}
	s := &Store{
		url: "redis://" + m.Addr(),
		describe: fmt.Sprintf("a store inside this process (miniredis) at redis://%s: "+
			"tasks are lost when it ends; install redis-server 7 or newer to keep them (%v)", m.Addr(), reason),
	}
	s.keep(func(ctx context.Context) error {
		age(ctx, m)
		m.Close()
		return nil
	})
	return s, nil
}

// age lets time pass for keys that expire, which in miniredis it does not do by itself. TIME, EXPIREAT and the IDs of
// stream entries follow the clock anyway.
func age(ctx context.Context, m *miniredis.Miniredis) {
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			now := time.Now()
			m.FastForward(now.Sub(last))
			last = now
		}
	}
}

var errAsked = errors.New("asked for")

// Embedded starts the store inside this process even where a real one could be had, for tests of what it can do.
func Embedded() (*Store, error) { return openEmbedded(errAsked) }
