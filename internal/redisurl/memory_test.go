package redisurl_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/internal/redisurl"
)

func TestEveryMasterIsAskedForItsMemory(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) {
		all, err := redisurl.Memories(t.Context(), rdb)

		masters := 1
		if _, ok := rdb.(*redis.ClusterClient); ok {
			masters = 3
		}
		if err != nil || len(all) != masters {
			t.Fatalf("%+v, %v; want %d answers", all, err, masters)
		}
		for _, m := range all {
			if m.Addr == "" || m.Used < 100<<10 || m.Limit != 0 || m.Policy != "noeviction" || m.Percent() != 0 {
				t.Errorf("%+v, %f %%", m, m.Percent())
			}
		}
	})
}

func TestEvicting(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		settings []string
		login    string
		known    bool
		says     string
	}{
		"noeviction":                            {[]string{"--maxmemory", "100mb", "--maxmemory-policy", "noeviction"}, "", true, ""},
		"a policy that deletes anything":        {[]string{"--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"}, "", true, "maxmemory-policy is allkeys-lru"},
		"a policy that deletes what has a TTL":  {[]string{"--maxmemory-policy", "volatile-ttl"}, "", true, "set maxmemory-policy to noeviction"},
		"a user that may not ask for CONFIG":    {[]string{"--maxmemory-policy", "allkeys-lfu", "--user", "limited", "on", ">pass", "~*", "+@all", "-config"}, "limited:pass@", true, "allkeys-lfu"},
		"a user that may not even ask for INFO": {[]string{"--maxmemory-policy", "allkeys-lfu", "--user", "limited", "on", ">pass", "~*", "+@all", "-info"}, "limited:pass@", false, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr := redistest.Exclusive(t, c.settings...).Addr()

			known, err := redisurl.Evicting(t.Context(), open(t, "redis://"+c.login+addr))

			evicting, wrong := errors.AsType[*redisurl.EvictionError](err)
			switch {
			case known != c.known:
				t.Errorf("known is %t, %v", known, err)
			case c.says == "" && err != nil:
				t.Error(err)
			case c.says != "" && (!wrong || !strings.Contains(err.Error(), c.says) || evicting.Addr != addr):
				t.Errorf("error %v, want one about %s with %q", err, addr, c.says)
			}
		})
	}
}

// One master of three is enough to lose tasks.
func TestOneEvictingMasterOfAClusterIsFound(t *testing.T) {
	t.Parallel()
	rdb := redistest.ExclusiveCluster(t)
	addrs := rdb.Options().Addrs
	odd := redis.NewClient(&redis.Options{Addr: addrs[len(addrs)-1]})
	defer odd.Close()
	if known, err := redisurl.Evicting(t.Context(), rdb); !known || err != nil {
		t.Errorf("before: %t, %v", known, err)
	}
	if err := odd.ConfigSet(t.Context(), "maxmemory-policy", "allkeys-random").Err(); err != nil {
		t.Fatal(err)
	}

	_, err := redisurl.Evicting(t.Context(), rdb)

	if evicting, ok := errors.AsType[*redisurl.EvictionError](err); !ok || evicting.Addr != odd.Options().Addr {
		t.Errorf("error %v, want one about %s", err, odd.Options().Addr)
	}
}
