package devstore

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/seri-queue/seri/internal/devstore/redisproc"
)

// openChild starts a server that keeps its data in dir.
func openChild(ctx context.Context, binary redisproc.Binary, dir string, logger *slog.Logger) (*Store, error) {
	if err := makeDir(dir); err != nil {
		return nil, err
	}
	claim, err := acquire(ctx, dir)
	if err != nil {
		return nil, err
	}
	cfg := redisproc.Config{
		Binary: binary.Path,
		Dir:    dir,
		Lock:   claim.file,
		Args: []string{
			"--appendonly", "yes",
			"--appendfsync", "everysec", // the process may die without loss; the machine may lose a second
			"--maxmemory-policy", "noeviction", // a queue must rather refuse a task than lose one
		},
		Log: func(line string) { logger.Debug("redis-server reported", "line", line) },
	}

	s := &Store{}
	ready := make(chan redisproc.Server, 1)
	s.keep(func(ctx context.Context) error {
		defer claim.release()
		return redisproc.Run(ctx, cfg, func(server redisproc.Server) { ready <- server })
	})
	select {
	case server := <-ready:
		s.url = "redis://" + server.Addr
		s.describe = fmt.Sprintf("%s %s at %s keeps its data in %s", filepath.Base(binary.Path), binary.Version, s.url, dir)
		claim.note(s.url)
		return s, nil
	case <-s.ended:
		return nil, fmt.Errorf("store in %s: %w", dir, s.err)
	case <-ctx.Done():
		s.Close()
		return nil, context.Cause(ctx)
	}
}

// makeDir creates the directory so that it is the owner's only, and keeps it out of the project's history.
func makeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("directory of the store: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".gitignore"), []byte("*\n"), 0o600); err != nil {
		return fmt.Errorf("directory of the store: %w", err)
	}
	return nil
}
