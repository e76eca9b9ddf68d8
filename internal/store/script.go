package store

import (
	"context"
	_ "embed"
	"strings"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

//go:embed prelude.lua
var prelude string

// script is a Lua script with the prelude before it.
type script struct {
	name    string
	flagged *redis.Script // with the flags that a Redis server honours
	plain   *redis.Script // for the embedded store, which does not know flags
}

// draining makes a script that must run when Redis is out of memory, because it frees some in the end.
func draining(name, source string) *script { return newScript(name, "#!lua flags=allow-oom\n", source) }

// filling makes a script that is refused when Redis is out of memory.
func filling(name, source string) *script { return newScript(name, "#!lua\n", source) }

func newScript(name, flags, source string) *script {
	return &script{
		name:    name,
		flagged: redis.NewScript(flags + prelude + source),
		plain:   redis.NewScript(prelude + source),
	}
}

// runner runs scripts on one Redis and remembers whether it knows script flags.
type runner struct {
	rdb   redis.UniversalClient
	plain atomic.Bool
}

func (r *runner) run(ctx context.Context, s *script, keys []string, args ...any) *redis.Cmd {
	if r.plain.Load() {
		return s.plain.Run(ctx, r.rdb, keys, args...)
	}
	cmd := s.flagged.Run(ctx, r.rdb, keys, args...)
	if err := cmd.Err(); err != nil && strings.Contains(err.Error(), "near '#'") {
		r.plain.Store(true)
		return s.plain.Run(ctx, r.rdb, keys, args...)
	}
	return cmd
}
