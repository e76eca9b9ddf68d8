// Package redistest gives each test a real Redis.
//
//	rdb := redistest.New(t)                         // an empty database of the test's own, on a shared server
//	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) { … })  // the same test on one server and on a cluster
//	server := redistest.Exclusive(t)                // a server of the test's own, to stop, kill, restart or configure
//
// Servers start when they are first asked for: one server and one cluster of three masters for a test binary, shared by
// its tests, on free ports of the loopback interface, without persistence. They die with the test binary, even if it is
// killed, so there is no TestMain to write and nothing to clean up.
//
// # Whose keys
//
// A client of [New] has a database of its own (SELECT n): key names cannot clash, counts are exact, FLUSHDB is allowed.
// Scripts, pub/sub and the configuration belong to the server: whoever touches these takes [Exclusive].
// A cluster has one database. Its tests use queue names of their own ([Queue]) and do not rely on what keys that span
// queues, such as asynq:queues, hold besides their own.
//
// # Without redis-server
//
// Where no redis-server (or valkey-server) is on the PATH, tests fail if the environment variable CI is set, and are
// skipped with a remedy otherwise.
package redistest

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/seri-queue/seri/internal/devstore/redisproc"
)

// New returns a client on an empty database of its own, which is emptied and given back when the test ends.
func New(t testing.TB) *redis.Client {
	t.Helper()
	server := sharedServer(t)
	var db int
	select {
	case db = <-server.databases:
	default:
		t.Fatalf("redistest: more than %d tests hold a database at the same time", databases)
	}
	rdb := newClient(server.addr, db)
	t.Cleanup(func() {
		// Not the test's context, which has ended by now.
		if err := rdb.FlushDB(context.Background()).Err(); err != nil {
			t.Errorf("redistest: empty database %d: %v", db, err)
		}
		rdb.Close()
		server.databases <- db
	})
	return rdb
}

// Each runs a test as two parallel subtests: "single" on a client of [New], "cluster" on one of [Cluster].
// The test must not call t.Parallel itself.
func Each(t *testing.T, test func(t *testing.T, rdb redis.UniversalClient)) {
	t.Helper()
	t.Run("single", func(t *testing.T) {
		t.Parallel()
		test(t, New(t))
	})
	t.Run("cluster", func(t *testing.T) {
		t.Parallel()
		test(t, Cluster(t))
	})
}

// EachWithEmbedded is [Each] with a third subtest: "embedded", on a client of [Embedded].
func EachWithEmbedded(t *testing.T, test func(t *testing.T, rdb redis.UniversalClient)) {
	t.Helper()
	Each(t, test)
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		test(t, Embedded(t))
	})
}

var queues atomic.Int64

// Queue returns a queue name that no other test of this binary has: part of the test's name, for the reader of a
// failure, and a number.
func Queue(t testing.TB) string {
	t.Helper()
	_, name, _ := strings.Cut(t.Name(), "Test")
	name = strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9':
			return r
		case 'A' <= r && r <= 'Z':
			return r - 'A' + 'a'
		case r == '/', r == '_':
			return '_'
		default:
			return -1
		}
	}, name)
	return fmt.Sprintf("%.40s-%d", name, queues.Add(1))
}

// URL returns the URL at which another process, or redisurl.Open, reaches what rdb is connected to.
func URL(rdb redis.UniversalClient) string {
	switch rdb := rdb.(type) {
	case *redis.Client:
		return fmt.Sprintf("redis://%s/%d", rdb.Options().Addr, rdb.Options().DB)
	case *redis.ClusterClient:
		addrs := rdb.Options().Addrs
		url := "redis+cluster://" + addrs[0]
		for i, addr := range addrs[1:] {
			url += string("?&"[min(i, 1)]) + "addr=" + addr
		}
		return url
	default:
		panic(fmt.Sprintf("redistest: no URL for a %T", rdb))
	}
}

// newClient never repeats a command by itself: a test must see each script run as often as it was sent.
func newClient(addr string, db int) *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr:                     addr,
		DB:                       db,
		MaxRetries:               -1,
		DialerRetries:            1, // a server that a test has stopped is gone at once
		ContextTimeoutEnabled:    true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
}

// requireBinary returns the path of redis-server, or ends the test.
func requireBinary(t testing.TB) string {
	t.Helper()
	binary, err := redisproc.Find()
	if err == nil {
		return binary
	}
	const remedy = "`make test` installs it; so does `apt-get install redis-server` or `brew install redis`"
	if os.Getenv("CI") != "" {
		t.Fatalf("redistest: %v; in CI this is a failure. %s", err, remedy)
	}
	t.Skipf("NOT TESTED: %v. %s", err, remedy)
	return ""
}
