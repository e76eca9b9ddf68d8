package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redisfault"
	"github.com/seri-queue/seri/internal/wire"
)

// Server is a process that takes tasks out of queues. The scripts of one that is not fenced, a server of stock asynq, know
// no tokens: on a queue that it consumes, it may end or move what a worker of Seri's holds, and nothing there is fenced.
type Server struct {
	Name   string       // "host:pid:id"
	Queues []keys.Queue // that it consumes, sorted
	Slots  int          // how many tasks it runs at once
	Fenced bool         // it is a worker of Seri's
}

// clockSlack is by how much the clocks of two machines may differ: a stock server publishes until when it lives by its own.
const clockSlack = time.Minute

// Servers returns the live servers, by name. Values that do not decode are passed over, as asynq does.
func (s *Store) Servers(ctx context.Context) ([]Server, error) {
	now, err := s.rdb.Time(ctx).Result()
	if err != nil {
		return nil, fmt.Errorf("list servers: %w", redisfault.Mark(err))
	}
	since := strconv.FormatInt(now.Add(-clockSlack).Unix(), 10) // those before it have ended long ago
	names, err := s.rdb.ZRangeByScore(ctx, keys.Servers, &redis.ZRangeBy{Min: since, Max: "+inf"}).Result()
	if err != nil {
		return nil, fmt.Errorf("list servers: %w", redisfault.Mark(err))
	}
	if len(names) == 0 {
		return nil, nil
	}
	pipe := s.rdb.Pipeline() // not MGET: each key has a slot of its own
	values := make([]*redis.StringCmd, len(names))
	for i, name := range names {
		values[i] = pipe.Get(ctx, name)
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("list servers: %w", redisfault.Mark(err))
	}
	var live []Server
	for _, value := range values {
		text, err := value.Bytes()
		if err != nil {
			continue // gone: the key's life is the server's
		}
		info, err := wire.DecodeServerInfo(text)
		if err != nil {
			continue
		}
		server := Server{Name: fmt.Sprintf("%s:%d:%s", info.Host, info.PID, info.ID), Slots: info.Concurrency, Fenced: info.Fenced}
		for queue := range info.Queues {
			server.Queues = append(server.Queues, keys.Queue(queue))
		}
		slices.Sort(server.Queues)
		live = append(live, server)
	}
	slices.SortFunc(live, func(a, b Server) int { return strings.Compare(a.Name, b.Name) })
	return live, nil
}
