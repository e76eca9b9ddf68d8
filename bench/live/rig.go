//go:build linux

package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/seri-queue/seri/internal/api"
)

// rig is what all scenarios are measured with.
type rig struct {
	config
	self    string // this program
	dir     string // of the programs that are built
	api     string
	peers   string // empty: not built yet
	key     api.Key
	secret  string // signs tokens
	version string // of Redis
	begun   time.Time
}

func newRig(ctx context.Context, c config) (*rig, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	key, err := api.NewKey("bench")
	if err != nil {
		return nil, err
	}
	var secret [32]byte
	_, _ = rand.Read(secret[:]) // never fails
	dir, err := os.MkdirTemp("", "seri-bench-live-*")
	if err != nil {
		return nil, err
	}
	r := &rig{
		config: c, self: self, dir: dir, api: filepath.Join(dir, "api"), key: key,
		secret: "bench:" + base64.StdEncoding.EncodeToString(secret[:]), begun: time.Now(),
	}
	if err := build(ctx, ".", r.api, "./cmd/api"); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *rig) close() { os.RemoveAll(r.dir) }

// build builds a program of the module in a directory of the repository.
func build(ctx context.Context, module, program, pkg string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", program, pkg)
	cmd.Dir, cmd.Stderr = module, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build %s (from the repository's root): %w", pkg, err)
	}
	return nil
}

// withPeers builds the plain servers.
func (r *rig) withPeers(ctx context.Context) error {
	if r.peers != "" {
		return nil
	}
	program := filepath.Join(r.dir, "peers")
	if err := build(ctx, filepath.Join("bench", "live", "peers"), program, "."); err != nil {
		return err
	}
	r.peers = program
	return nil
}

func (r *rig) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%4.0f s  %s\n", time.Since(r.begun).Seconds(), fmt.Sprintf(format, args...))
}

// scaled changes a number by the scale.
func (r *rig) scaled(n int) int { return max(1, int(math.Round(float64(n)*r.scale))) }

// command is how a scenario is measured again.
func (r *rig) command(scenario string) string {
	text := "make bench-live SCENARIOS=" + scenario
	if r.scale != 1 {
		text += fmt.Sprintf(" SCALE=%g", r.scale)
	}
	if scenario == "soak" {
		text += " FOR=" + r.length.String()
	}
	return text
}
