package devstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// InUseError tells that another process has a store in the directory.
type InUseError struct {
	Dir string
	PID string // of the other process; empty if it has not told
	URL string // of its store; likewise
}

func (e *InUseError) Error() string {
	who := "another process"
	if e.PID != "" {
		who = "process " + e.PID
	}
	text := fmt.Sprintf("the store in %s is in use by %s", e.Dir, who)
	if e.URL != "" {
		text += " and can be reached at " + e.URL
	}
	return text + "; end that process, or use another directory"
}

// patience is how long to wait for a store whose process has been killed: its server goes within milliseconds.
const patience = time.Second

// claim is the right to the store in a directory: an flock on a file in it, which the server holds open too. So it lasts
// until both are gone, and two servers never write the same append-only file.
type claim struct{ file *os.File }

func acquire(ctx context.Context, dir string) (*claim, error) {
	file, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("claim the store: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	again := time.NewTicker(10 * time.Millisecond) // nobody announces that a lock is free
	defer again.Stop()
	for {
		err := tryLock(file)
		if err == nil {
			return &claim{file}, nil
		}
		if !errors.Is(err, errLocked) {
			file.Close()
			return nil, fmt.Errorf("claim the store in %s: %w", dir, err)
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			file.Close()
			return nil, inUse(dir)
		}
	}
}

func inUse(dir string) *InUseError {
	e := &InUseError{Dir: dir}
	if content, err := os.ReadFile(filepath.Join(dir, "lock")); err == nil {
		if fields := strings.Fields(string(content)); len(fields) == 2 {
			e.PID, e.URL = fields[0], fields[1]
		}
	}
	return e
}

// note leaves the address of the store for those who find it in use. That it cannot be written costs them only this.
func (c *claim) note(url string) {
	if c.file.Truncate(0) == nil {
		_, _ = c.file.WriteAt(fmt.Appendf(nil, "%d %s\n", os.Getpid(), url), 0)
	}
}

// release is to be called when the server has gone.
func (c *claim) release() {
	_ = c.file.Truncate(0)
	_ = unlock(c.file)
	c.file.Close()
}
