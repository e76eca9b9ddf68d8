package client

import (
	"context"
	"slices"
	"time"

	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/store"
)

// How long the answer to which servers live is good for, at most when a queue seems to have none (one that has just been
// started is missed otherwise), and how long one waits for it.
const (
	serversFor    = 5 * time.Second
	noServersFor  = time.Second
	serversWithin = time.Second
)

// servers knows the live servers. Looking for them reads what every worker has announced, from all nodes of a cluster; so
// it is done once in a while, and a fault of it keeps nobody from what else is known about a queue.
type servers struct {
	find func(context.Context) ([]store.Server, error)

	turn   chan struct{} // holds one while somebody looks
	live   []store.Server
	known  bool // live is what there is, and not for want of an answer
	looked time.Time
}

func newServers(find func(context.Context) ([]store.Server, error)) *servers {
	return &servers{find: find, turn: make(chan struct{}, 1)}
}

// lately returns the servers that lived at most so long ago; known is false if they could not be looked for.
func (s *servers) lately(ctx context.Context, ago time.Duration) (live []store.Server, known bool) {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return nil, false
	}
	if time.Since(s.looked) < ago {
		return s.live, s.known
	}
	call, cancel := context.WithTimeout(ctx, serversWithin)
	defer cancel()
	live, err := s.find(call)
	if err != nil && ctx.Err() != nil {
		return nil, false // whoever asks next may have more time
	}
	s.live, s.known, s.looked = live, err == nil, time.Now()
	return s.live, s.known
}

// tell completes what is known about a queue by who consumes it, or its partitions.
func (s *servers) tell(ctx context.Context, info *QueueInfo) {
	if s.complete(ctx, info, serversFor); info.Unserved {
		s.complete(ctx, info, noServersFor)
	}
}

// complete is tell, by the servers that lived at most so long ago.
func (s *servers) complete(ctx context.Context, info *QueueInfo, ago time.Duration) {
	live, known := s.lately(ctx, ago)
	consumers := func(name string) (all, foreign []string) {
		for _, server := range live {
			if slices.Contains(server.Queues, keys.Queue(name)) {
				if all = append(all, server.Name); !server.Fenced {
					foreign = append(foreign, server.Name)
				}
			}
		}
		return all, foreign
	}
	if info.Partitions == nil {
		all, foreign := consumers(info.Name)
		info.Foreign, info.Unserved = foreign, known && all == nil
		return
	}
	info.Foreign, info.Unserved = nil, false
	for i := range info.Partitions {
		p := &info.Partitions[i]
		all, foreign := consumers(p.Name)
		p.Unserved = known && all == nil
		info.Unserved = info.Unserved || p.Unserved
		info.Foreign = append(info.Foreign, foreign...)
	}
	slices.Sort(info.Foreign)
	info.Foreign = slices.Compact(info.Foreign)
}
