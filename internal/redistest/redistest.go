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
// Where no redis-server (or valkey-server) of version 7 or newer is on the PATH, tests fail if the environment variable CI is set, and are
// skipped with a remedy otherwise.
package redistest

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/devstore/redisproc"
	"github.com/seri-queue/seri/internal/redisurl"
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
	rdb := openSingle(t, server.addr, db)
	t.Cleanup(func() {
		// Neither the test's client, which it may have closed, nor its context, which has ended by now.
		cleaner := redis.NewClient(&redis.Options{Addr: server.addr, DB: db})
		defer cleaner.Close()
		if err := cleaner.FlushDB(context.Background()).Err(); err != nil {
			t.Errorf("redistest: empty database %d: %v", db, err)
		}
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
		return clusterURL(rdb.Options().Addrs)
	default:
		panic(fmt.Sprintf("redistest: no URL for a %T", rdb))
	}
}

func clusterURL(addrs []string) string {
	more := url.Values{"addr": addrs[1:]}
	return "redis+cluster://" + addrs[0] + "?" + more.Encode()
}

// open returns a client with the settings that Seri's processes have, until the test ends.
func open(t testing.TB, url string) redis.UniversalClient {
	t.Helper()
	rdb, err := redisurl.Open(url)
	if err != nil {
		t.Fatalf("redistest: %v", err)
	}
	t.Cleanup(func() { rdb.Close() })
	return rdb
}

func openSingle(t testing.TB, addr string, db int) *redis.Client {
	t.Helper()
	return open(t, fmt.Sprintf("redis://%s/%d", addr, db)).(*redis.Client)
}

// requireBinary returns the path of redis-server, or ends the test.
func requireBinary(t testing.TB) string {
	t.Helper()
	binary, err := shared.binary.do(redisproc.Find)
	if err == nil {
		return binary.Path
	}
	const remedy = "`make test` installs it; so does `apt-get install redis-server` or `brew install redis`"
	if os.Getenv("CI") != "" {
		t.Fatalf("redistest: %v; in CI this is a failure. %s", err, remedy)
	}
	t.Skipf("NOT TESTED: %v. %s", err, remedy)
	return ""
}
