//go:build unix

package fenced_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/examples/fenced"
	"github.com/seri-queue/seri/internal/devstore/redisproc"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/lock"
)

func TestPostgreSQLRefusesWhoHasLostTheLock(t *testing.T) {
	t.Parallel()
	db := postgres(t)
	ctx := t.Context()

	t.Run("of a lock, a former holder", func(t *testing.T) {
		t.Parallel()
		locks := lock.New(redistest.New(t))
		zombie, err := locks.Try(ctx, "report", 10*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		if err := fenced.SaveReport(t.Context(), db, zombie.Token(), "of-a-lock", []byte("first")); err != nil {
			t.Fatal(err)
		}
		err = locks.Do(t.Context(), "report", time.Minute, func(ctx context.Context, token uint64) error {
			return fenced.SaveReport(ctx, db, token, "of-a-lock", []byte("second"))
		})
		if err != nil {
			t.Fatal(err)
		}

		err = fenced.SaveReport(t.Context(), db, zombie.Token(), "of-a-lock", []byte("too late"))

		wantFenced(t, err)
		wantReport(t, db, "of-a-lock", "second")
	})

	t.Run("of one row, lower tokens", func(t *testing.T) {
		t.Parallel()
		for _, step := range []struct {
			token uint64
			body  string
			fits  bool
		}{{5, "a", true}, {5, "b", true}, {4, "c", false}, {1763800000000001, "d", true}, {1763800000000000, "e", false}} {
			err := fenced.SaveReport(t.Context(), db, step.token, "one", []byte(step.body))
			if step.fits && err != nil {
				t.Errorf("token %d: %v", step.token, err)
			}
			if !step.fits {
				wantFenced(t, err)
			}
		}
		wantReport(t, db, "one", "d")
	})

	t.Run("when many insert the row at once, all but the highest", func(t *testing.T) {
		t.Parallel()
		for round := range 10 {
			id := fmt.Sprintf("many-%d", round)
			const most = 8
			var all sync.WaitGroup
			for token := range uint64(most) {
				all.Go(func() {
					err := fenced.SaveReport(t.Context(), db, token+1, id, []byte(strconv.FormatUint(token+1, 10)))
					if err != nil {
						wantFenced(t, err)
					}
				})
			}
			all.Wait()
			wantReport(t, db, id, strconv.Itoa(most))
		}
	})

	t.Run("whole transactions of lower tokens", func(t *testing.T) {
		t.Parallel()
		if err := claimed(t, db, 5, "tx", func(tx *sql.Tx) error { return write(t, tx, "tx", "5") }); err != nil {
			t.Fatal(err)
		}
		if err := claimed(t, db, 6, "tx", func(*sql.Tx) error { return nil }); err != nil { // has written nothing yet
			t.Fatal(err)
		}

		err := claimed(t, db, 5, "tx", func(tx *sql.Tx) error { return write(t, tx, "tx", "again 5") })

		wantFenced(t, err)
		wantReport(t, db, "tx", "5")
	})

	t.Run("a lower token that came while the holder was at work", func(t *testing.T) {
		t.Parallel()
		late := make(chan error, 1)
		err := claimed(t, db, 6, "late", func(tx *sql.Tx) error {
			go func() {
				late <- claimed(t, db, 5, "late", func(tx *sql.Tx) error { return write(t, tx, "late", "5") })
			}()
			waitUntilBlocked(t, db)
			return write(t, tx, "late", "6")
		})
		if err != nil {
			t.Fatal(err)
		}

		wantFenced(t, <-late)
		wantReport(t, db, "late", "6")
	})
}

// claimed runs work in a transaction that belongs to the holder of token.
func claimed(t *testing.T, db *sql.DB, token uint64, name string, work func(*sql.Tx) error) error {
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := fenced.Claim(t.Context(), tx, token, name); err != nil {
		return err
	}
	if err := work(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// write writes a row that has no comparison of its own.
func write(t *testing.T, tx *sql.Tx, id, body string) error {
	_, err := tx.ExecContext(t.Context(), `
		INSERT INTO reports VALUES ($1, $2, 0) ON CONFLICT (id) DO UPDATE SET body = excluded.body`, id, []byte(body))
	return err
}

func wantFenced(t *testing.T, err error) {
	t.Helper()
	if refused, ok := errors.AsType[*seri.FencedError](err); !ok || refused.Seen <= refused.Held {
		t.Errorf("%v, want a FencedError with the higher token", err)
	}
}

func wantReport(t *testing.T, db *sql.DB, id, body string) {
	t.Helper()
	var got []byte
	if err := db.QueryRowContext(t.Context(), `SELECT body FROM reports WHERE id = $1`, id).Scan(&got); err != nil || string(got) != body {
		t.Errorf("report %s holds %q (%v), want %q", id, got, err, body)
	}
}

// waitUntilBlocked returns when a transaction waits for another's.
func waitUntilBlocked(t *testing.T, db *sql.DB) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for waiting := 0; waiting == 0; <-tick.C {
		err := db.QueryRowContext(t.Context(), `
			SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%INTO fences%'`).Scan(&waiting)
		if err != nil {
			t.Error(err)
			return
		}
	}
}

// postgres starts a server for one test, with the tables that the example needs.
func postgres(t *testing.T) *sql.DB {
	t.Helper()
	bin := postgresBinaries(t)
	dir, err := os.MkdirTemp("/tmp", "seri-fenced-*") // short, for the path of a socket; open to who is not root
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	as := unprivileged(t, dir)
	data, port := filepath.Join(dir, "data"), redisproc.FreePort()

	create := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", "seri", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	create.SysProcAttr, create.Dir = as, dir
	if out, err := create.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v: %s", err, out)
	}
	// The shell ends the server when its input ends: with the test, or with a test binary that was killed.
	server := exec.Command("/bin/sh", "-c", `"$0" "$@" & read -r _; kill -INT $!; wait $!`,
		filepath.Join(bin, "postgres"), "-D", data, "-k", dir, "-p", strconv.Itoa(port), "-c", "fsync=off", "-c", "shared_buffers=16MB",
		"-c", "listen_addresses=127.0.0.1")
	server.SysProcAttr, server.Dir = as, dir
	life, err := server.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		life.Close()
		_ = server.Wait() // a shell's exit status says nothing of the server's
	})

	db, err := sql.Open("pgx", fmt.Sprintf("postgres://seri@127.0.0.1:%d/postgres?sslmode=disable", port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(60 * time.Second); ; <-tick.C {
		if _, err = db.ExecContext(t.Context(), fenced.Schema); err == nil {
			return db
		}
		if time.Now().After(deadline) {
			t.Fatalf("PostgreSQL does not answer: %v", err)
		}
	}
}

// postgresBinaries returns the directory of PostgreSQL's programs, or ends the test.
func postgresBinaries(t *testing.T) string {
	t.Helper()
	for _, offPath := range []string{"/usr/lib/postgresql/*/bin/postgres", "/opt/homebrew/opt/postgresql*/bin/postgres"} {
		if found, _ := filepath.Glob(offPath); len(found) > 0 { // Debian and Homebrew keep them there
			return filepath.Dir(slices.Max(found))
		}
	}
	path, err := exec.LookPath("postgres")
	if err == nil {
		return filepath.Dir(path)
	}
	const remedy = "`make test` installs it; so does `apt-get install postgresql` or `brew install postgresql`"
	if os.Getenv("CI") != "" {
		t.Fatalf("no PostgreSQL server was found; in CI this is a failure. %s", remedy)
	}
	t.Skipf("NOT TESTED: no PostgreSQL server was found. %s", remedy)
	return ""
}

// unprivileged returns how to run PostgreSQL, which refuses to be root, and gives it dir.
func unprivileged(t *testing.T, dir string) *syscall.SysProcAttr {
	t.Helper()
	own := &syscall.SysProcAttr{Setpgid: true}
	if os.Getuid() != 0 {
		return own
	}
	for _, name := range []string{"postgres", "nobody"} {
		account, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.Atoi(account.Uid)
		gid, err2 := strconv.Atoi(account.Gid)
		if err := errors.Join(err1, err2, os.Chown(dir, uid, gid)); err != nil {
			t.Fatal(err)
		}
		own.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		return own
	}
	t.Fatal("PostgreSQL does not run as root, and there is no user postgres or nobody")
	return nil
}
