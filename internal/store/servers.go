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

// ForeignServer is a server of stock asynq. Its scripts know no tokens: on a queue that it consumes, it may end or move
// what a worker of Seri's holds, and nothing there is fenced.
type ForeignServer struct {
	Name   string       // "host:pid:id"
	Queues []keys.Queue // that it consumes, sorted
}

// clockSlack is by how much the clocks of two machines may differ.
const clockSlack = time.Minute

// Foreign returns the live servers that are not Seri's, by name.
func (s *Store) Foreign(ctx context.Context) ([]ForeignServer, error) {
	servers, err := s.servers(ctx)
	if err != nil {
		return nil, err
	}
	var foreign []ForeignServer
	for _, info := range servers {
		if info.Fenced {
			continue
		}
		server := ForeignServer{Name: fmt.Sprintf("%s:%d:%s", info.Host, info.PID, info.ID)}
		for queue := range info.Queues {
			server.Queues = append(server.Queues, keys.Queue(queue))
		}
		slices.Sort(server.Queues)
		foreign = append(foreign, server)
	}
	slices.SortFunc(foreign, func(a, b ForeignServer) int { return strings.Compare(a.Name, b.Name) })
	return foreign, nil
}

// Capacity is what one live worker, or server of stock asynq, can run.
type Capacity struct {
	Slots  int
	Queues []keys.Queue
}

// Capacities returns those of all live workers, in no order.
func (s *Store) Capacities(ctx context.Context) ([]Capacity, error) {
	servers, err := s.servers(ctx)
	if err != nil {
		return nil, err
	}
	capacities := make([]Capacity, len(servers))
	for i, info := range servers {
		capacities[i].Slots = info.Concurrency
		for queue := range info.Queues {
			capacities[i].Queues = append(capacities[i].Queues, keys.Queue(queue))
		}
	}
	return capacities, nil
}

// servers reads what live processes have announced. Values that do not decode are passed over, as asynq does.
func (s *Store) servers(ctx context.Context) ([]wire.ServerInfo, error) {
	since := strconv.FormatInt(time.Now().Add(-clockSlack).Unix(), 10) // those before it have ended long ago
	names, err := s.rdb.ZRangeByScore(ctx, keys.Servers, &redis.ZRangeBy{Min: since, Max: "+inf"}).Result()
	if err != nil {
		return nil, fmt.Errorf("list asynq's servers: %w", redisfault.Mark(err))
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
		return nil, fmt.Errorf("list asynq's servers: %w", redisfault.Mark(err))
	}
	var servers []wire.ServerInfo
	for _, value := range values {
		text, err := value.Bytes()
		if err != nil {
			continue // gone: the key's life is the server's
		}
		if info, err := wire.DecodeServerInfo(text); err == nil {
			servers = append(servers, info)
		}
	}
	return servers, nil
}
