package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/devstore/redisproc"
)

// node is one redis-server of a run. It keeps its port and its files over its deaths.
type node struct {
	cfg  redisproc.Config
	addr string

	mu   sync.Mutex
	pid  int
	stop context.CancelFunc
	done chan error
}

// persistent are the settings of a node that keeps what it has said yes to, as docs/operations.md recommends.
var persistent = []string{
	"--appendonly", "yes", "--appendfsync", "everysec", "--aof-load-truncated", "yes", "--maxmemory-policy", "noeviction",
	"--enable-debug-command", "yes", "--busy-reply-threshold", "200", "--repl-diskless-sync-delay", "0",
	"--auto-aof-rewrite-percentage", "0", // a power cut is to cut the tail of one file
}

// startNode starts a server with a directory and a port of its own; newNode only chooses them.
func startNode(dir string, settings ...string) (*node, error) {
	n, err := newNode(dir, settings...)
	if err != nil {
		return nil, err
	}
	return n, n.start()
}

func newNode(dir string, settings ...string) (*node, error) {
	binary, err := redisproc.Find()
	if err != nil {
		return nil, err
	}
	dir, err = os.MkdirTemp(dir, "redis-*")
	if err != nil {
		return nil, err
	}
	n := &node{cfg: redisproc.Config{Binary: binary.Path, Dir: dir, Args: settings, Port: redisproc.FreePort()}}
	n.addr = fmt.Sprintf("127.0.0.1:%d", n.cfg.Port)
	return n, nil
}

// start starts the server, again if need be, and returns when it has loaded what it had kept.
func (n *node) start(settings ...string) error {
	ctx, stop := context.WithCancel(context.Background())
	cfg := n.cfg
	cfg.Args = append(cfg.Args[:len(cfg.Args):len(cfg.Args)], settings...)
	ready, done := make(chan redisproc.Server, 1), make(chan error, 1)
	go func() { done <- redisproc.Run(ctx, cfg, func(s redisproc.Server) { ready <- s }) }()
	select {
	case s := <-ready:
		n.mu.Lock()
		n.pid, n.stop, n.done = s.PID, stop, done
		n.mu.Unlock()
		return nil
	case err := <-done:
		stop()
		return fmt.Errorf("start redis-server: %w", err)
	case <-time.After(20 * time.Second):
		stop()
		return errors.New("start redis-server: it is not ready after 20 s")
	}
}

// kill is kill -9. What the server had handed to the operating system stays.
func (n *node) kill() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.stop == nil {
		return
	}
	_ = syscall.Kill(n.pid, syscall.SIGKILL) // one that is gone is what is wanted
	<-n.done
	n.stop()
	n.stop = nil
}

func (n *node) signal(s syscall.Signal) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return syscall.Kill(n.pid, s)
}

// cutPower is kill, after which the last bytes that were written are not there: they were never synced. It returns how
// many were cut.
func (n *node) cutPower(bytes int64) (int64, error) {
	n.kill()
	last, err := n.appendFile()
	if err != nil {
		return 0, err
	}
	info, err := os.Stat(last)
	if err != nil {
		return 0, err
	}
	bytes = min(bytes, info.Size())
	return bytes, os.Truncate(last, info.Size()-bytes)
}

// appendFile returns the append-only file that is written to.
func (n *node) appendFile() (string, error) {
	files, err := filepath.Glob(filepath.Join(n.cfg.Dir, "appendonlydir", "*.incr.aof"))
	if err != nil || len(files) == 0 {
		return "", fmt.Errorf("no append-only file in %s: %w", n.cfg.Dir, err)
	}
	return files[len(files)-1], nil // named by number, and never more than one: see persistent
}

// client returns a client for the harness itself, that no fault of the network lies upon.
func (n *node) client() *redis.Client {
	return redis.NewClient(&redis.Options{Addr: n.addr, MaxRetries: -1, ReadTimeout: 10 * time.Second, Protocol: 2})
}

// lastWrite returns the time of the newest event in Redis: all that was written after it is lost.
func lastWrite(ctx context.Context, rdb redis.UniversalClient, streams []string) (int64, error) {
	newest := int64(0)
	for _, stream := range streams {
		entries, err := rdb.XRevRangeN(ctx, stream, "+", "-", 1).Result()
		if err != nil {
			return 0, err
		}
		for _, e := range entries {
			ms, _, _ := strings.Cut(e.ID, "-")
			var at int64
			if _, err := fmt.Sscan(ms, &at); err != nil {
				return 0, err
			}
			newest = max(newest, at)
		}
	}
	return newest, nil
}

// untilParentDies is run by sh: the part in braces stays behind and kills the server when the other end of descriptor 3
// has gone. (redisproc does the same for servers that are given by settings; a Sentinel wants a file.)
const untilParentDies = `{ cat <&3; kill -9 $$; } >/dev/null 2>&1 & exec "$@" 3<&-`

// startSentinel starts a Sentinel, and returns what stops it.
func startSentinel(file string) (stop func(), err error) {
	binary, err := redisproc.Find()
	if err != nil {
		return nil, err
	}
	reads, holds, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("/bin/sh", "-c", untilParentDies, "sentinel", binary.Path, file, "--sentinel")
	cmd.ExtraFiles = []*os.File{reads}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = cmd.Start()
	reads.Close()
	if err != nil {
		return nil, err
	}
	return func() {
		holds.Close()
		_ = cmd.Wait() // it is killed
	}, nil
}

// within calls try until it returns nil, every 20 ms, or for the time given; then it returns try's last error.
func within(d time.Duration, try func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		}
	}
}
