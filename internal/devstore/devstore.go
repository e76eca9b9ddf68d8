// Package devstore is the store of `seri dev`: a Redis that nobody has to install or start.
//
// [Open] starts a redis-server or valkey-server from the PATH as a child, with its data in a directory of the project, so
// that tasks survive a restart. Where there is none of version 7 or newer, miniredis serves inside this process:
// everything works, and nothing is kept. [Store.Describe] says which of the two it is.
//
//	store, err := devstore.Open(ctx, ".seri", logger)
//	…
//	defer store.Close()
//	rdb, err := redisurl.Open(store.URL())
//	…
//	err = run.Stack(ctx,
//		run.Part{Name: "store", Run: store.Run}, // first to start, last to stop
//		…
//
// It is for one developer's machine: one process at a time, no password, loopback only, and up to a second of writes lost
// when the machine (not merely the process) crashes.
package devstore

import (
	"context"
	"log/slog"

	"github.com/seri-queue/seri/internal/devstore/redisproc"
)

// Store is a running development store.
type Store struct {
	url      string
	describe string
	stop     context.CancelFunc
	ended    chan struct{} // closed when the store has gone
	err      error         // why it has; to be read after ended
}

// Open starts a store and returns when it can be used, with its data loaded. dir is created if needed; it stays untouched
// if the store is the one inside this process. ctx is for the opening only: the store ends with [Store.Run] or
// [Store.Close], and with this process, however that dies.
//
// The error is an [*InUseError] if another process has a store in dir.
func Open(ctx context.Context, dir string, logger *slog.Logger) (*Store, error) {
	binary, err := redisproc.Find()
	if err != nil {
		return openEmbedded(err)
	}
	return openChild(ctx, binary, dir, logger)
}

// URL returns the address of the store, as redisurl.Open takes it.
func (s *Store) URL() string { return s.url }

// Describe says in one line what serves and whether it keeps its data.
func (s *Store) Describe() string { return s.describe }

// Run keeps the store until ctx ends, and returns when it is gone; with an error if it ends before.
func (s *Store) Run(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return s.Close()
	case <-s.ended:
		return s.err
	}
}

// Close ends the store and returns when it is gone. It is for those who do not get as far as [Store.Run], and does no
// harm after it.
func (s *Store) Close() error {
	s.stop()
	<-s.ended
	return s.err
}

// keep runs what serves the store until somebody calls stop.
func (s *Store) keep(serve func(context.Context) error) {
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.ended = make(chan struct{})
	go func() {
		defer close(s.ended)
		s.err = serve(ctx)
	}()
}
