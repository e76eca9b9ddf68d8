package ground

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seri-queue/seri/internal/devstore/redisproc"
)

// Postgres is a cluster of its own in a scratch directory, with the tuning that makes River fastest on it short of
// switching fsync off: commits do not wait for the disk, as Redis' do not.
type Postgres struct {
	cmd     *exec.Cmd
	dir     string
	bin     string
	port    int
	version string
	gone    chan error
}

var _ Ground = (*Postgres)(nil)

// postgresSettings is the tuning.
var postgresSettings = map[string]string{
	"synchronous_commit": "off",
	"shared_buffers":     "512MB",
	"max_wal_size":       "4GB",
	"checkpoint_timeout": "30min",
	"wal_compression":    "off",
	"max_connections":    "200",
	"listen_addresses":   "127.0.0.1",
}

// database is where River keeps its tables, and user its owner.
const (
	database = "postgres"
	user     = "bench"
)

// FindPostgres returns the directory of PostgreSQL's programs, the newest if there are several.
func FindPostgres() (bin string, err error) {
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres"); len(found) > 0 { // the pattern is well-formed
		return filepath.Dir(slices.Max(found)), nil
	}
	path, err := exec.LookPath("postgres")
	if err != nil {
		return "", errors.New("no PostgreSQL server is on the PATH or in /usr/lib/postgresql")
	}
	return filepath.Dir(path), nil
}

// StartPostgres starts a cluster. [Postgres.Stop] must be called.
func StartPostgres(ctx context.Context, bin string) (*Postgres, error) {
	dir, err := os.MkdirTemp("", "seri-bench-postgres-*")
	if err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	p := &Postgres{dir: dir, bin: bin, port: redisproc.FreePort(), gone: make(chan error, 1)}
	if err := p.start(ctx); err != nil {
		_ = os.RemoveAll(dir)
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	return p, nil
}

func (p *Postgres) start(ctx context.Context) error {
	as, err := unprivileged(p.dir)
	if err != nil {
		return err
	}
	data := filepath.Join(p.dir, "data")
	create := exec.CommandContext(ctx, filepath.Join(p.bin, "initdb"), "-D", data, "-U", user, "-A", "trust", "-E", "UTF8", "--locale=C")
	create.SysProcAttr, create.Dir = as, p.dir
	if out, err := create.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, lastLine(out))
	}
	args := []string{"-D", data, "-p", strconv.Itoa(p.port), "-k", p.dir}
	for name, value := range postgresSettings {
		args = append(args, "-c", name+"="+value)
	}
	p.cmd = exec.CommandContext(ctx, filepath.Join(p.bin, "postgres"), args...)
	p.cmd.SysProcAttr, p.cmd.Dir = as, p.dir
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(os.Interrupt) } // a fast shutdown: it ends its children
	p.cmd.WaitDelay = 10 * time.Second
	if err := p.cmd.Start(); err != nil {
		return err
	}
	go func() { p.gone <- p.cmd.Wait() }()
	deadline := time.Now().Add(30 * time.Second)
	for {
		answer, err := p.query(ctx, "SHOW server_version")
		if err == nil {
			p.version, _, _ = strings.Cut(answer, " ")
			return nil
		}
		select {
		case ended := <-p.gone:
			return fmt.Errorf("it ended at once: %w", ended)
		case <-time.After(100 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			p.Stop()
			return err
		}
	}
}

// Stop ends the cluster and deletes it.
func (p *Postgres) Stop() {
	_ = p.cmd.Process.Signal(os.Interrupt) // an error means that it has gone
	select {
	case <-p.gone:
	case <-time.After(10 * time.Second):
		_ = p.cmd.Process.Kill()
	}
	_ = os.RemoveAll(p.dir) // in a directory that the system clears
}

// query asks psql, which needs no driver in the module of Seri's users.
func (p *Postgres) query(ctx context.Context, sql string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(p.bin, "psql"), "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", p.URL(), "-c", sql)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("psql: %w: %s", err, lastLine(out))
	}
	return strings.TrimSpace(string(out)), nil
}

// URL is part of [Ground].
func (p *Postgres) URL() string {
	u := url.URL{
		Scheme: "postgres", User: url.User(user), Host: fmt.Sprintf("127.0.0.1:%d", p.port), Path: database,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Version is part of [Ground].
func (p *Postgres) Version() string { return "PostgreSQL " + p.version }

// CPU is part of [Ground].
func (p *Postgres) CPU() time.Duration { return treeCPU(p.cmd.Process.Pid) }

// Flush is part of [Ground]. Before River has made its tables, there is nothing to empty.
func (p *Postgres) Flush(ctx context.Context) error {
	_, err := p.query(ctx, `DO $$ BEGIN IF to_regclass('river_job') IS NOT NULL THEN TRUNCATE river_job, river_leader, river_queue; END IF; END $$`)
	return err
}

// Bytes is part of [Ground].
func (p *Postgres) Bytes(ctx context.Context) (int64, error) {
	return p.number(ctx, `SELECT pg_total_relation_size('river_job')`)
}

// Unfinished is part of [Ground].
func (p *Postgres) Unfinished(ctx context.Context) (int64, error) {
	return p.number(ctx, `SELECT count(*) FROM river_job WHERE state IN ('available', 'running', 'scheduled', 'retryable')`)
}

func (p *Postgres) number(ctx context.Context, sql string) (int64, error) {
	text, err := p.query(ctx, sql)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(text, 10, 64)
}

func lastLine(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1]
}
