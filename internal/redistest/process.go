package redistest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/seri-queue/seri/internal/devstore/redisproc"
)

// process is a running server.
type process struct {
	addr string
	port int
	pid  int
	stop context.CancelFunc
	done chan error // receives one value when the server is gone
}

// launch starts a server and waits until it is ready. port 0 picks a free one.
func launch(cfg redisproc.Config, port int) (*process, error) {
	const attempts = 5
	var err error
	for range attempts {
		try := port
		if port == 0 {
			try = freePort()
		}
		var p *process
		if p, err = launchOn(cfg, try); err == nil {
			return p, nil
		}
		// Only the loss of a race for a port that we chose ourselves is worth another try.
		if port != 0 || !strings.Contains(err.Error(), "Address already in use") {
			break
		}
	}
	return nil, err
}

func launchOn(cfg redisproc.Config, port int) (*process, error) {
	ctx, stop := context.WithCancel(context.Background())
	p := &process{
		addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)),
		port: port,
		stop: stop,
		done: make(chan error, 1),
	}
	cfg.Args = append([]string{"--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--save", ""}, cfg.Args...)
	ready := make(chan int, 1)
	go func() { p.done <- redisproc.Run(ctx, cfg, func(pid int) { ready <- pid }) }()
	select {
	case p.pid = <-ready:
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
	p, err := launch(redisproc.Config{Binary: binary, Dir: dir, Scratch: true, Args: args}, 0)
	if err != nil {
		return "", errors.Join(err, os.RemoveAll(dir))
	}
	return p.addr, nil
}

// freePort returns a port that nobody listens on. It stays below the range from which systems take the ports of
// outgoing connections (32768 on Linux, 49152 on macOS), so that none of these grabs it before the server does.
func freePort() int {
	for {
		port := 10_000 + rand.IntN(22_000)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			l.Close()
			return port
		}
	}
}
