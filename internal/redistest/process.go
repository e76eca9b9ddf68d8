package redistest

import (
	"context"
	"os"

	"github.com/seri-queue/seri/internal/devstore/redisproc"
)

// process is a running server.
type process struct {
	redisproc.Server
	stop context.CancelFunc
	done chan error // receives one value when the server is gone
}

// launch starts a server and waits until it is ready.
func launch(cfg redisproc.Config) (*process, error) {
	ctx, stop := context.WithCancel(context.Background())
	p := &process{stop: stop, done: make(chan error, 1)}
	ready := make(chan redisproc.Server, 1)
	go func() { p.done <- redisproc.Run(ctx, cfg, func(s redisproc.Server) { ready <- s }) }()
	select {
	case p.Server = <-ready:
		return p, nil
	case err := <-p.done:
		stop()
		return nil, err
	}
}

// startShared starts a server that lives for as long as the test binary, and returns its address.
func startShared(binary string, args ...string) (addr string, err error) {
	dir, err := os.MkdirTemp("", "seri-redis-*")
	if err != nil {
		return "", err
	}
	p, err := launch(redisproc.Config{Binary: binary, Dir: dir, Scratch: true, Args: args})
	if err != nil {
		return "", err
	}
	return p.Addr, nil
}
