package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redisfault"
)

// Served is what a leading beat tells the makers of schedules.
type Served struct {
	Until  time.Time    // when that is too old to count
	Denied []keys.Queue // whose schedules it cannot serve, because its Redis user may not write there
}

type servedForm struct {
	Until  int64        `json:"until"` // Unix milliseconds
	Denied []keys.Queue `json:"denied,omitempty"`
}

// SetServed tells it for the beats of a lock.
func (s *Store) SetServed(ctx context.Context, lock string, served Served) error {
	slices.Sort(served.Denied)
	text, err := json.Marshal(servedForm{served.Until.UnixMilli(), served.Denied})
	if err != nil {
		return err // cannot happen: it is numbers and text
	}
	_, err = s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		p.HSet(ctx, keys.Beats, lock, text)
		p.Expire(ctx, keys.Beats, time.Minute)
		return nil
	})
	if err != nil {
		return fmt.Errorf("tell which queues are served: %w", redisfault.Mark(err))
	}
	return nil
}

// Served returns what the leading beats tell, by their lock. Without one that tells anything, it is empty.
func (s *Store) Served(ctx context.Context) (map[string]Served, error) {
	pipe := s.rdb.Pipeline()
	told, clock := pipe.HGetAll(ctx, keys.Beats), pipe.Time(ctx)
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("ask which queues are served: %w", redisfault.Mark(err))
	}
	served := make(map[string]Served)
	for lock, text := range told.Val() {
		var f servedForm
		if err := json.Unmarshal([]byte(text), &f); err != nil {
			continue // another version's
		}
		if until := time.UnixMilli(f.Until); until.After(clock.Val()) {
			served[lock] = Served{until, f.Denied}
		}
	}
	return served, nil
}
