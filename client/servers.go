package client

import (
	"context"
	"slices"
	"time"

	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/store"
)

// How long the answer to which servers of stock asynq live is good for, and how long one waits for it.
const (
	foreignFor    = 5 * time.Second
	foreignWithin = time.Second
)

// foreign knows the live servers of stock asynq. Looking for them reads what every worker has announced, from all nodes of a
// cluster; so it is done once in a while, and a fault of it keeps nobody from what else is known about a queue.
type foreign struct {
	find func(context.Context) ([]store.ForeignServer, error)

	turn   chan struct{} // holds one while somebody looks
	known  []store.ForeignServer
	looked time.Time
}

func newForeign(find func(context.Context) ([]store.ForeignServer, error)) *foreign {
	return &foreign{find: find, turn: make(chan struct{}, 1)}
}

// servers returns those that lived at most foreignFor ago; none if they could not be looked for.
func (f *foreign) servers(ctx context.Context) []store.ForeignServer {
	select {
	case f.turn <- struct{}{}:
		defer func() { <-f.turn }()
	case <-ctx.Done():
		return nil
	}
	if time.Since(f.looked) < foreignFor {
		return f.known
	}
	call, cancel := context.WithTimeout(ctx, foreignWithin)
	defer cancel()
	servers, err := f.find(call)
	if err != nil && ctx.Err() != nil {
		return nil // whoever asks next may have more time
	}
	f.known, f.looked = servers, time.Now()
	return servers
}

// on returns the names of those servers that consume any of the partitions of a queue.
func (f *foreign) on(ctx context.Context, partitions []keys.Queue) (names []string) {
	for _, s := range f.servers(ctx) {
		if slices.ContainsFunc(partitions, func(q keys.Queue) bool { return slices.Contains(s.Queues, q) }) {
			names = append(names, s.Name)
		}
	}
	return names
}
