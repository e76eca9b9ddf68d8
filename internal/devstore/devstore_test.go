package devstore_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/devstore"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/internal/redisurl"
)

func open(t *testing.T, dir string) *devstore.Store {
	t.Helper()
	store, err := devstore.Open(t.Context(), dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

func client(t *testing.T, url string) redis.UniversalClient {
	t.Helper()
	rdb, err := redisurl.Open(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rdb.Close() })
	return rdb
}

// stop runs a store whose context has ended, as a stack does at the end.
func stop(t *testing.T, store *devstore.Store) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := store.Run(ctx); err != nil {
		t.Error(err)
	}
}

func TestTasksSurviveARestart(t *testing.T) {
	t.Parallel()
	redistest.New(t) // skips where there is no redis-server
	dir := filepath.Join(t.TempDir(), "new", ".seri")
	store := open(t, dir)
	if !strings.Contains(store.Describe(), dir) {
		t.Errorf("%q does not say where the data is", store.Describe())
	}
	if err := client(t, store.URL()).Set(t.Context(), "key", "value", 0).Err(); err != nil {
		t.Fatal(err)
	}
	stop(t, store)

	again := client(t, open(t, dir).URL())
	if got := again.Get(t.Context(), "key").Val(); got != "value" {
		t.Errorf("after the restart the key holds %q", got)
	}
	want := map[string]string{"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction", "bind": "127.0.0.1"}
	for name, value := range want {
		if got := again.ConfigGet(t.Context(), name).Val()[name]; got != value {
			t.Errorf("%s is %q, want %q", name, got, value)
		}
	}
}

func TestASecondStoreInOneDirectoryIsRefused(t *testing.T) {
	t.Parallel()
	redistest.New(t)
	dir := t.TempDir()
	first := open(t, dir)
	_, err := devstore.Open(t.Context(), dir, slog.New(slog.DiscardHandler))
	inUse, ok := errors.AsType[*devstore.InUseError](err)
	if !ok || inUse.URL != first.URL() || strings.Contains(err.Error(), "\n") {
		t.Errorf("error %v, want one line that names %s", err, first.URL())
	}
}

func TestRunTellsThatTheServerHasGone(t *testing.T) {
	t.Parallel()
	redistest.New(t)
	store := open(t, t.TempDir())
	client(t, store.URL()).ShutdownNoSave(t.Context())
	if err := store.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "ended by itself") {
		t.Errorf("error %v", err)
	}
}

func TestADamagedStoreIsNamed(t *testing.T) {
	t.Parallel()
	redistest.New(t)
	dir := t.TempDir()
	stop(t, open(t, dir))
	manifest := filepath.Join(dir, "appendonlydir", "appendonly.aof.manifest")
	if err := os.WriteFile(manifest, []byte("nonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := devstore.Open(t.Context(), dir, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "AOF") {
		t.Errorf("error %v, want one that names the directory and the file", err)
	}
}

// The test runs its own binary as the process that is killed.
func TestAStoreIsFreeAgainWhenItsProcessWasKilled(t *testing.T) {
	t.Parallel()
	if dir := os.Getenv("SERI_DEVSTORE_VICTIM"); dir != "" {
		rdb := client(t, open(t, dir).URL())
		if err := rdb.Set(t.Context(), "key", "value", 0).Err(); err != nil {
			t.Fatal(err)
		}
		self, err := os.FindProcess(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		self.Kill()
		select {}
	}
	redistest.New(t)
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestAStoreIsFreeAgainWhenItsProcessWasKilled$")
	cmd.Env = append(os.Environ(), "SERI_DEVSTORE_VICTIM="+dir)
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("error %v, output:\n%s", err, out)
	}
	if got := client(t, open(t, dir).URL()).Get(t.Context(), "key").Val(); got != "value" {
		t.Errorf("the key holds %q", got)
	}
}

func TestTheEmbeddedStore(t *testing.T) {
	t.Parallel()
	store, err := devstore.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	rdb := client(t, store.URL())
	if err := redisurl.Check(t.Context(), rdb); err != nil {
		t.Error(err)
	}
	if !strings.Contains(store.Describe(), "tasks are lost") {
		t.Errorf("%q does not warn", store.Describe())
	}
	before := time.Now().Add(-time.Millisecond)
	if now := rdb.Time(t.Context()).Val(); now.Before(before) {
		t.Errorf("its clock says %v, and it is %v", now, before)
	}

	// Keys expire with the clock; one that is refreshed does not; nothing else goes.
	set := func(key string, ttl time.Duration) {
		if err := rdb.Set(t.Context(), key, "value", ttl).Err(); err != nil {
			t.Fatal(err)
		}
	}
	set("short", 300*time.Millisecond)
	set("long", time.Hour)
	set("eternal", 0)
	begin := time.Now()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for rdb.Exists(t.Context(), "short").Val() == 1 {
		if time.Since(begin) > 10*time.Second {
			t.Fatal("the key does not expire")
		}
		<-poll.C
	}
	if took := time.Since(begin); took < 200*time.Millisecond-20*time.Millisecond {
		t.Errorf("a key with a life of 300ms expired after %v", took)
	}
	if n := rdb.Exists(t.Context(), "long", "eternal").Val(); n != 2 {
		t.Errorf("%d of the other keys are left, want 2", n)
	}
	stop(t, store)
	if err := rdb.Ping(t.Context()).Err(); err == nil {
		t.Error("it answers after its end")
	}
}
