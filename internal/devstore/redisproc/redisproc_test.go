package redisproc_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/seri-queue/seri/internal/devstore/redisproc"
	"github.com/seri-queue/seri/internal/redistest"
)

// Not parallel: it sets the PATH.
func TestFind(t *testing.T) {
	cases := map[string]struct {
		programs map[string]string // what they print as their version
		want     redisproc.Binary  // Path is the name only
		fault    string
	}{
		"takes redis-server": {
			programs: map[string]string{
				"redis-server":  "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64",
				"valkey-server": "Valkey server v=8.0.1 sha=00000000:0",
			},
			want: redisproc.Binary{Path: "redis-server", Version: "7.0.15"},
		},
		"takes valkey-server where redis-server is too old": {
			programs: map[string]string{
				"redis-server":  "Redis server v=6.0.16 sha=00000000:0",
				"valkey-server": "Valkey server v=8.0.1 sha=00000000:0",
			},
			want: redisproc.Binary{Path: "valkey-server", Version: "8.0.1"},
		},
		"names one that is too old": {
			programs: map[string]string{"redis-server": "Redis server v=6.0.16 sha=00000000:0"},
			fault:    "redis-server is version 6.0.16, older than 7.0",
		},
		"names one that is something else": {
			programs: map[string]string{"redis-server": "hello"},
			fault:    `redis-server --version printed "hello\n"`,
		},
		"says that there is none": {fault: "neither redis-server nor valkey-server is on the PATH"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for program, version := range c.programs {
				script := "#!/bin/sh\necho '" + version + "'\n"
				if err := os.WriteFile(filepath.Join(dir, program), []byte(script), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			t.Setenv("PATH", dir)
			got, err := redisproc.Find()
			if c.fault != "" {
				if err == nil || !strings.HasSuffix(err.Error(), c.fault) {
					t.Errorf("error %v, want %q", err, c.fault)
				}
				return
			}
			got.Path = filepath.Base(got.Path)
			if err != nil || got != c.want {
				t.Errorf("found %+v, %v, want %+v", got, err, c.want)
			}
		})
	}
}

func TestRunTellsWhyAServerDidNotStart(t *testing.T) {
	t.Parallel()
	redistest.New(t) // skips where there is no redis-server
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	binary, err := redisproc.Find()
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		cfg  redisproc.Config
		want string
	}{
		"its port is taken":      {redisproc.Config{Port: taken.Addr().(*net.TCPAddr).Port}, "Address already in use"},
		"a setting is unknown":   {redisproc.Config{Args: []string{"--nonsense", "yes"}}, "nonsense"},
		"there is no such file":  {redisproc.Config{Binary: "/nowhere/redis-server"}, "not found"},
		"there is no such place": {redisproc.Config{Dir: "/nowhere"}, "no such file or directory"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.cfg.Binary == "" {
				c.cfg.Binary = binary.Path
			}
			if c.cfg.Dir == "" {
				c.cfg.Dir = t.TempDir()
			}
			err := redisproc.Run(t.Context(), c.cfg, func(redisproc.Server) { t.Error("it is ready") })
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v, want one line with %q", err, c.want)
			}
		})
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	t.Parallel()
	redistest.New(t)
	binary, err := redisproc.Find()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "scratch")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var server redisproc.Server
	err = redisproc.Run(ctx, redisproc.Config{Binary: binary.Path, Dir: dir, Scratch: true}, func(s redisproc.Server) {
		server = s
		if _, port, _ := net.SplitHostPort(s.Addr); port != strconv.Itoa(s.Port) || s.PID == 0 {
			t.Errorf("server %+v", s)
		}
		cancel()
	})
	if err != nil {
		t.Error(err)
	}
	if conn, err := net.Dial("tcp", server.Addr); err == nil {
		conn.Close()
		t.Error("it still accepts connections")
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the scratch directory is still there: %v", err)
	}
}
