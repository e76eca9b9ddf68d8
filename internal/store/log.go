package store

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redisfault"
)

//go:embed log.lua
var logSource string

var logScript = filling("log", logSource)

// Written is what an attempt has written to its task's own log: whole lines.
type Written struct {
	Lease *Lease
	Lines []byte
}

// logLife is how long a task's log outlives its last line, unless the task itself is kept longer.
const logLife = 24 * time.Hour

// Log appends to the logs of tasks of one queue, of each of which at most the given number of bytes is kept. An element of the
// answer is nil, or a [*seri.FencedError] if the task is gone. Attempts that are over may write: lines say which they are from.
func (s *Store) Log(ctx context.Context, q keys.Queue, written []Written, most int) ([]error, error) {
	names := make([]string, 0, 2*len(written))
	args := make([]any, 1, 1+3*len(written))
	args[0] = most
	for _, w := range written {
		id := w.Lease.ID()
		names = append(names, q.Task(id), q.Log(id))
		life := max(logLife, time.Duration(w.Lease.Message.Retention)*time.Second)
		args = append(args, w.Lease.token(), int(life.Seconds()), w.Lines)
	}
	reply, err := s.run(ctx, logScript, q, names, args...)
	if err != nil {
		return nil, err
	}
	return s.verdicts(logScript, q, reply, len(written), func(i int) *Lease { return written[i].Lease })
}

// ReadLog returns the log of a task; empty if there is none.
func (s *Store) ReadLog(ctx context.Context, q keys.Queue, id string) (string, error) {
	text, err := s.rdb.Get(ctx, q.Log(id)).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return "", fmt.Errorf("read the log of task %s in queue %q: %w", id, q, redisfault.Mark(err))
	}
	return text, nil
}
