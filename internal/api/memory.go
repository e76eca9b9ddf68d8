package api

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/seri-queue/seri/internal/pause"
	"github.com/seri-queue/seri/internal/redisurl"
)

// How often a guard looks, and how long it waits for the answer.
const (
	memoryEvery   = 2 * time.Second
	memoryTimeout = time.Second
)

// MemoryGuard knows whether the store has memory for new tasks. It looks every two seconds, never for a request, and has
// new tasks refused before Redis itself must refuse every write: until then, what runs can report and what waits can be
// inspected. Of several masters the fullest decides. A store that does not answer changes nothing: requests find out.
type MemoryGuard struct {
	read   func(context.Context) ([]redisurl.Memory, error)
	most   float64 // percent
	logger *slog.Logger
	full   atomic.Bool
}

// NewMemoryGuard returns a guard that takes the store for full from the given percentage of its memory on. A server
// without a limit (maxmemory 0) is never full. Nor is any until [MemoryGuard.Run] has looked.
func NewMemoryGuard(read func(context.Context) ([]redisurl.Memory, error), percent int, logger *slog.Logger) *MemoryGuard {
	return &MemoryGuard{read: read, most: float64(percent), logger: logger}
}

// Full reports whether new tasks are to be refused.
func (g *MemoryGuard) Full() bool { return g.full.Load() }

// Run looks until ctx ends.
func (g *MemoryGuard) Run(ctx context.Context) error {
	for {
		g.look(ctx)
		if !pause.For(ctx, memoryEvery*3/4+rand.N(memoryEvery/2)) { // servers that started together drift apart
			return nil
		}
	}
}

func (g *MemoryGuard) look(ctx context.Context) {
	call, cancel := context.WithTimeout(ctx, memoryTimeout)
	defer cancel()
	all, err := g.read(call)
	if err != nil || len(all) == 0 {
		return
	}
	fullest := all[0]
	for _, m := range all[1:] {
		if m.Percent() > fullest.Percent() {
			fullest = m
		}
	}
	full := fullest.Percent() >= g.most
	if g.full.Swap(full) == full {
		return
	}
	args := []any{"addr", fullest.Addr, "used_bytes", fullest.Used, "maxmemory_bytes", fullest.Limit, "limit_percent", g.most}
	if full {
		g.logger.ErrorContext(ctx, "new tasks are refused: redis is almost full", args...)
	} else {
		g.logger.InfoContext(ctx, "new tasks are taken again: redis has room", args...)
	}
}
