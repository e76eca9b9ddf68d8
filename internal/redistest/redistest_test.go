package redistest_test

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/redistest"
)

func TestNewGivesADatabaseOfItsOwn(t *testing.T) {
	t.Parallel()
	one, other := redistest.New(t), redistest.New(t)
	if err := one.Set(t.Context(), "key", "value", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if n := other.DBSize(t.Context()).Val(); n != 0 {
		t.Errorf("another test's database holds %d keys, want 0", n)
	}
}

func TestDatabasesComeBackEmpty(t *testing.T) {
	t.Parallel()
	var url string
	t.Run("a test that leaves a key", func(t *testing.T) {
		rdb := redistest.New(t)
		url = redistest.URL(rdb)
		rdb.Set(t.Context(), "key", "value", 0)
	})
	opts, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	rdb := redis.NewClient(opts)
	t.Cleanup(func() { rdb.Close() })
	if n := rdb.DBSize(t.Context()).Val(); n != 0 {
		t.Errorf("%d keys left, want 0", n)
	}
}

func TestEachRunsOnEveryKindOfRedis(t *testing.T) {
	t.Parallel()
	redistest.EachWithEmbedded(t, func(t *testing.T, rdb redis.UniversalClient) {
		q := redistest.Queue(t)
		key := "{" + q + "}:key"
		if err := rdb.Set(t.Context(), key, "value", 0).Err(); err != nil {
			t.Fatal(err)
		}
		script := redis.NewScript(`return redis.call("GET", KEYS[1])`)
		got, err := script.Run(t.Context(), rdb, []string{key}).Text()
		if err != nil || got != "value" {
			t.Errorf("script returned %q, %v", got, err)
		}
	})
}

func TestClusterServesEverySlot(t *testing.T) {
	t.Parallel()
	rdb := redistest.Cluster(t)
	for i := range 300 {
		if err := rdb.Set(t.Context(), redistest.Queue(t), i, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestExclusiveKeepsWhatItPersists(t *testing.T) {
	t.Parallel()
	ends := map[string]func(*redistest.Server){
		"over an orderly stop": (*redistest.Server).Stop,
		"over kill -9":         (*redistest.Server).Kill,
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Exclusive(t, "--appendonly", "yes", "--appendfsync", "always")
			rdb := server.Client()
			if err := rdb.Set(t.Context(), "key", "value", 0).Err(); err != nil {
				t.Fatal(err)
			}
			end(server)
			if err := rdb.Ping(t.Context()).Err(); err == nil {
				t.Fatal("a server that has gone answers")
			}
			server.Start()
			if got := server.Client().Get(t.Context(), "key").Val(); got != "value" {
				t.Errorf("after the restart the key holds %q", got)
			}
		})
	}
}

// The test runs its own binary as the process that dies without cleaning up.
func TestServersDieWithTheTestBinary(t *testing.T) {
	t.Parallel()
	if os.Getenv("SERI_REDISTEST_VICTIM") != "" {
		rdb := redistest.New(t)
		info := rdb.InfoMap(t.Context(), "server").Item("Server", "process_id")
		os.Stdout.WriteString("pid " + info + "\n")
		self, err := os.FindProcess(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		self.Kill()
		select {}
	}
	redistest.New(t) // skips where there is no redis-server
	cmd := exec.Command(os.Args[0], "-test.run=^TestServersDieWithTheTestBinary$")
	cmd.Env = append(os.Environ(), "SERI_REDISTEST_VICTIM=1")
	out, err := cmd.Output()
	if err == nil {
		t.Fatalf("the victim survived: %s", out)
	}
	_, rest, _ := strings.Cut(string(out), "pid ")
	pid, err := strconv.Atoi(strings.TrimSpace(strings.SplitN(rest, "\n", 2)[0]))
	if err != nil {
		t.Fatalf("the victim printed %q", out)
	}
	waitUntilGone(t, pid)
}

func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		redistest.Exclusive(b).Stop()
	}
}
