package redisurl_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/meter"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/internal/redisurl"
)

func open(t *testing.T, url string) redis.UniversalClient {
	t.Helper()
	rdb, err := redisurl.Open(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rdb.Close() })
	return rdb
}

func TestCheckAcceptsEveryKindOfRedis(t *testing.T) {
	t.Parallel()
	redistest.EachWithEmbedded(t, func(t *testing.T, rdb redis.UniversalClient) {
		if err := redisurl.Check(t.Context(), open(t, redistest.URL(rdb))); err != nil {
			t.Error(err)
		}
	})
}

func TestRoundTripsOfEveryKindOfConnectionAreCounted(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) {
		rdb = open(t, redistest.URL(rdb)) // its connections are near ones
		var trips meter.Redis
		rdb.AddHook(&trips)
		one, q := redis.NewScript("return 1"), redistest.Queue(t)
		counted := func() float64 {
			c := make(counts)
			trips.Measure(t.Context(), c)
			if c[meter.RedisErrors] != 0 {
				t.Errorf("%v errors were counted", c[meter.RedisErrors])
			}
			return c[meter.RedisTrips]
		}
		if err := one.Run(t.Context(), rdb, []string{q}).Err(); err != nil { // which connects, and makes the script known
			t.Fatal(err)
		}
		before := counted()

		_, err := rdb.Pipelined(t.Context(), func(p redis.Pipeliner) error {
			p.Exists(t.Context(), q)
			p.Exists(t.Context(), q)
			return nil
		})
		if err := errors.Join(err, rdb.Exists(t.Context(), q).Err(), one.Run(t.Context(), rdb, []string{q}).Err()); err != nil {
			t.Fatal(err)
		}

		if n := counted() - before; n < 3 { // connecting takes some more
			t.Errorf("counted %v round trips, want 3", n)
		}
	})
}

// counts are figures that were told.
type counts map[*meter.Family]float64

func (c counts) Value(f *meter.Family, value float64, _ ...string) { c[f] += value }
func (counts) Histogram(*meter.Family, meter.Snapshot, ...string)  {}

func TestCheckTellsTheRightScheme(t *testing.T) {
	t.Parallel()
	single := redistest.New(t).Options().Addr
	node := redistest.Cluster(t).Options().Addrs[0]
	cases := map[string]struct{ url, want string }{
		"for a node of a cluster": {"redis://" + node, "the Redis at " + node + " is a node of a cluster: begin the URL with redis+cluster://"},
		"for a single server":     {"redis+cluster://" + single, "the Redis at " + single + " is no cluster: begin the URL with redis:// or rediss:// instead"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := redisurl.Check(t.Context(), open(t, c.url))
			if err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("error %v, want %s…", err, c.want)
			}
		})
	}
}

func TestCheckOnAServerWithPasswords(t *testing.T) {
	t.Parallel()
	addr := redistest.Exclusive(t, "--requirepass", "secret",
		"--user", "limited", "on", ">pass", "~*", "+@all", "-info").Addr()
	cases := map[string]struct{ login, want string }{
		"accepts the right password":           {":secret@", ""},
		"accepts a user that may not ask INFO": {"limited:pass@", ""},
		"asks for a missing password":          {"", "wants a password"},
		"names a wrong password":               {":wrong@", "refuses the user name or the password"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := redisurl.Check(t.Context(), open(t, "redis://"+c.login+addr))
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}
