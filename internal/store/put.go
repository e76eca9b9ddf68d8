package store

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/wire"
)

//go:embed put.lua
var putSource string

var put = filling("put", putSource)

// put stores one task that has no terms. It returns [seri.ErrConflict] as refused if the ID exists.
func (s *Store) put(ctx context.Context, q keys.Queue, t *seri.Message) (refused, err error) {
	m := message(q, t)
	reply, err := s.run(ctx, put, q, []string{q.Task(t.ID), q.Pending(), q.Events()},
		t.ID, m.Encode(), wire.About(t.ID, t.Type, ""), s.config.MaxEvents)
	if err != nil {
		return nil, err
	}
	switch reply {
	case int64(1):
		return nil, nil
	case int64(0):
		return seri.ErrConflict, nil
	}
	return nil, fmt.Errorf("put queue %q: unexpected reply %v", q, reply)
}

// plain reports whether a task may start at once and has no terms.
func plain(t *seri.Message) bool {
	return t.ETA.IsZero() && t.Expires.IsZero() && t.UniqueFor == 0 && t.Owner == ""
}
