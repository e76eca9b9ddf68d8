package chaos_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
)

// F6 where Redis syncs every write before it answers (appendfsync always): the power takes what was not synced, and not a
// single acknowledged task.

// syncTime is how long the disk takes for a sync, in microseconds: as much as an ordinary one does.
const syncTime = 3000

// preload returns a program that is the server with a library of testdata under it, and variables of its environment.
func preload(dir, library, server, variables string) (program string, err error) {
	object, err := compile(dir, library)
	if err != nil {
		return "", err
	}
	program = filepath.Join(dir, "redis-with-"+library)
	script := fmt.Sprintf("#!/bin/sh\n%s LD_PRELOAD=%s exec %s \"$@\"\n", variables, object, server)
	return program, os.WriteFile(program, []byte(script), 0o755)
}

// compile makes a library of testdata.
func compile(dir, library string) (object string, err error) {
	object = filepath.Join(dir, library+".so")
	if out, err := exec.Command("cc", "-shared", "-fPIC", "-O2", "-o", object, "testdata/"+library+".c").CombinedOutput(); err != nil {
		return "", fmt.Errorf("compile %s.c: %w: %s", library, err, out)
	}
	return object, nil
}

// cutUnsynced is kill -9, after which all is gone that was not synced. It returns how many bytes that were.
func (n *node) cutUnsynced() (int64, error) {
	n.kill()
	last, err := n.appendFile()
	if err != nil {
		return 0, err
	}
	var synced int64 // 0: nothing ever was
	note, err := os.ReadFile(last + ".synced")
	switch {
	case err == nil && len(note) == 8:
		synced = int64(binary.NativeEndian.Uint64(note))
	case !errors.Is(err, fs.ErrNotExist):
		return 0, fmt.Errorf("read what was synced: %q, %w", note, err)
	}
	info, err := os.Stat(last)
	if err != nil {
		return 0, err
	}
	if synced > info.Size() {
		return 0, fmt.Errorf("%d bytes of %s were synced, and it has %d", synced, last, info.Size())
	}
	return info.Size() - synced, os.Truncate(last, synced)
}

// cutPowerUnsynced is F6 with an honest disk. Nothing may be lost: the window has no beginning of a loss.
func cutPowerUnsynced(_ context.Context, r *rig, _ *rand.Rand, _ *window) (int, error) {
	n := r.primary()
	r.part()
	bytes, err := n.cutUnsynced()
	if err != nil {
		return 0, err
	}
	if err := n.start(); err != nil {
		return 0, err
	}
	rdb := n.client()
	defer rdb.Close()
	r.rejoin()
	r.nemesis.mu.Lock()
	r.figures.CutBytes += int(bytes)
	r.nemesis.mu.Unlock()
	return 1, rewrite(rdb)
}
