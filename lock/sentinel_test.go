package lock_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/devstore/redisproc"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/lock"
)

// A real Sentinel promotes a real replica, because the primary was killed.
func TestLocksGoOnAfterASentinelsFailover(t *testing.T) {
	t.Parallel()
	primary, replica := redistest.Exclusive(t, "--repl-diskless-sync-delay", "0"), redistest.Exclusive(t)
	host, port, _ := net.SplitHostPort(primary.Addr())
	if err := replica.Client().ReplicaOf(t.Context(), host, port).Err(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the replica is in step", func() bool {
		return strings.Contains(replica.Client().Info(t.Context(), "replication").Val(), "master_link_status:up")
	})
	sentinel := startSentinel(t, host, port)
	rdb := redis.NewFailoverClient(&redis.FailoverOptions{
		MasterName: "m", SentinelAddrs: []string{sentinel}, ContextTimeoutEnabled: true, MaxRetries: -1,
	})
	t.Cleanup(func() { rdb.Close() })
	locks := lock.New(rdb)
	before := try(t, locks, "l", time.Hour)
	if n := rdb.Wait(t.Context(), 1, 10*time.Second).Val(); n != 1 {
		t.Fatalf("%d replicas know of the lock", n)
	}

	primary.Kill()

	eventually(t, "its holder releases the lock on the new primary", func() bool { return before.Release(t.Context()) == nil })
	after := try(t, locks, "l", time.Hour)
	if after.Token() <= before.Token() {
		t.Errorf("token %d after %d", after.Token(), before.Token())
	}
	w := wait(t, rdb, "l", time.Hour)
	released := time.Now()
	release(t, after)
	<-w.done
	if waited := time.Since(released); w.err != nil || waited > 1900*time.Millisecond {
		t.Errorf("a waiter, %v after the release: %v", waited, w.err)
	}
}

// startSentinel starts a Sentinel that watches a primary as "m", and returns its address when it knows a replica of it.
func startSentinel(t *testing.T, host, port string) string {
	t.Helper()
	binary, err := redisproc.Find()
	if err != nil {
		t.Fatal(err)
	}
	addr := fmt.Sprintf("127.0.0.1:%d", redisproc.FreePort())
	_, own, _ := net.SplitHostPort(addr)
	config := filepath.Join(t.TempDir(), "sentinel.conf")
	settings := fmt.Sprintf("bind 127.0.0.1\nport %s\nsentinel monitor m %s %s 1\nsentinel down-after-milliseconds m 500\n", own, host, port)
	if err := os.WriteFile(config, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	// The shell ends it when its input ends: with the test, or with a test binary that was killed.
	process := exec.Command("/bin/sh", "-c", `"$0" "$@" & read -r _; kill $!; wait $!`, binary.Path, config, "--sentinel")
	life, err := process.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		life.Close()
		_ = process.Wait() // a shell's exit status says nothing of the Sentinel's
	})
	client := redis.NewSentinelClient(&redis.Options{Addr: addr})
	t.Cleanup(func() { client.Close() })
	eventually(t, "the Sentinel knows the replica", func() bool {
		replicas, err := client.Replicas(t.Context(), "m").Result()
		return err == nil && len(replicas) == 1 && replicas[0]["master-link-status"] == "ok"
	})
	return addr
}
