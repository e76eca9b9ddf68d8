package e2e_test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/seri-queue/seri/internal/api"
	"github.com/seri-queue/seri/internal/redistest"
)

// requireRedisServer skips the test where there is no redis-server, or fails it in CI.
func requireRedisServer(t *testing.T) {
	t.Helper()
	redistest.New(t)
}

// expectFault waits for a process that cannot start, and checks that it says why in plain words.
func (p *process) expectFault(name string, says ...string) {
	p.t.Helper()
	begun := time.Now()
	state := p.wait()
	if state.ExitCode() != 1 {
		p.t.Errorf("%s: %s ended with %v, want exit status 1", name, p.name, state)
	}
	if took := time.Since(begun); took > 30*time.Second { // many start at once, perhaps on a busy machine
		p.t.Errorf("%s: %s took %v to say so", name, p.name, took)
	}
	output := p.output()
	for _, text := range says {
		if !strings.Contains(output, text) {
			p.t.Errorf("%s: %s says %q, want it to contain %q", name, p.name, output, text)
		}
	}
	if strings.Contains(output, "goroutine ") || strings.Contains(output, `"level"`) {
		p.t.Errorf("%s: %s says more than what is wrong:\n%s", name, p.name, output)
	}
	lines := strings.Split(output, "\n")
	if want := max(len(says), 1); !strings.HasPrefix(output, p.name+": ") || len(lines) > want {
		p.t.Errorf("%s: %s says it in %d lines, want at most %d that begin with its name:\n%s", name, p.name, len(lines), want, output)
	}
}

// listener returns the address of a port at which connections are taken and nothing is ever said.
func listener(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// closedPort returns an address at which nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestAProcessThatCannotStartSaysWhyInOneLine(t *testing.T) {
	t.Parallel()
	key, err := api.NewKey("e2e")
	if err != nil {
		t.Fatal(err)
	}
	taken, closed, silent := listener(t), closedPort(t), listener(t)
	file := schedules(t, everySecond)
	rdb := redistest.URL(redistest.New(t))
	evicting := redistest.Exclusive(t, "--maxmemory-policy", "allkeys-lru").Addr()
	// What each role needs besides what the case is about.
	enough := map[string][]string{
		"api": {"SERI_API_KEYS=" + key.Entry, "SERI_HTTP_ADDR=127.0.0.1:0"}, "worker": nil, "beat": {"SERI_SCHEDULES=" + file},
		"dev": {"SERI_HTTP_ADDR=127.0.0.1:0"},
	}

	for name, c := range map[string]struct {
		roles string
		env   string
		args  string
		says  string
	}{
		"a Redis where nobody listens":        {roles: "api worker beat dev", env: "SERI_REDIS_URL=redis://" + closed, says: closed + " cannot be reached"},
		"a Redis that does not answer":        {roles: "worker", env: "SERI_REDIS_URL=redis://" + silent, says: silent + " cannot be reached"},
		"a Redis with an unknown name":        {roles: "worker", env: "SERI_REDIS_URL=redis://redis.invalid:6379", says: "redis.invalid:6379 cannot be reached"},
		"a Redis that evicts keys":            {roles: "api worker beat dev", env: "SERI_REDIS_URL=redis://" + evicting, says: "set maxmemory-policy to noeviction"},
		"a URL that is none":                  {roles: "api worker beat dev", env: "SERI_REDIS_URL=localhost:6379", says: "--redis-url (SERI_REDIS_URL)"},
		"a port that is taken":                {roles: "api dev", env: "SERI_REDIS_URL=" + rdb, args: "--http-addr=" + taken, says: taken},
		"a port that is none":                 {roles: "api dev", env: "SERI_REDIS_URL=" + rdb, args: "--http-addr=127.0.0.1", says: "must be host:port"},
		"an option that does not exist":       {roles: "api worker beat dev", args: "--slot=3", says: "--slot"},
		"an API key that is not hashed":       {roles: "api", args: "--api-keys=" + key.Secret, says: "this is a key itself"},
		"an address that is not loopback":     {roles: "api", env: "SERI_API_KEYS=", args: "--insecure-dev --http-addr=:8080", says: "loopback only"},
		"keys together with none wanted":      {roles: "api", args: "--insecure-dev", says: "leave out one of them"},
		"a file of schedules that is missing": {roles: "beat dev", env: "SERI_SCHEDULES=/nowhere.yaml", says: "/nowhere.yaml"},
		"a directory of files that is none":   {roles: "worker dev", args: "--files-dir=/nowhere", says: "/nowhere"},
		"a lease that is too short":           {roles: "worker dev", args: "--lease=1ms", says: "must be between 100ms and 1h"},
	} {
		for role := range strings.FieldsSeq(c.roles) {
			t.Run(fmt.Sprintf("%s: %s", role, name), func(t *testing.T) {
				t.Parallel()
				p := start(t, command{role: role, env: append(enough[role][:len(enough[role]):len(enough[role])], c.env), args: strings.Fields(c.args)})
				p.expectFault(name, c.says)
				if strings.Contains(p.output(), key.Secret) {
					t.Error("it tells the key")
				}
			})
		}
	}
}

func TestEveryFaultOfTheConfigurationIsToldAtOnce(t *testing.T) {
	t.Parallel()
	common := []string{"SERI_REDIS_URL=nonsense", "SERI_LOG_LEVEL=loud", "SERI_LOG_FORMAT=xml", "SERI_MAX_EVENTS=many"}
	commonSays := []string{"SERI_REDIS_URL", "SERI_LOG_LEVEL", "SERI_LOG_FORMAT", "SERI_MAX_EVENTS"}
	for role, c := range map[string]struct{ env, says []string }{
		"api": {
			[]string{"SERI_HTTP_GRACE=soon", "SERI_HTTP_DRAIN=-1s", "SERI_HTTP_ADDR=nowhere", "SERI_API_KEYS=a:b", "SERI_ALLOWED_ORIGINS=me"},
			[]string{"SERI_HTTP_GRACE", "SERI_HTTP_DRAIN", "SERI_HTTP_ADDR", "SERI_API_KEYS", "SERI_ALLOWED_ORIGINS"},
		},
		"worker": {
			[]string{"SERI_SLOTS=0", "SERI_LEASE=2h", "SERI_GRACE=-1s", "SERI_CRASHES=no", "SERI_QUEUES=mail=0", "SERI_ALLOW_HOSTS=http://x", "SERI_STRICT=perhaps"},
			[]string{"SERI_SLOTS", "SERI_LEASE", "SERI_GRACE", "SERI_CRASHES", "SERI_QUEUES", "SERI_ALLOW_HOSTS", "SERI_STRICT"},
		},
		"beat": {
			[]string{"SERI_BEAT_LEASE=1ms", "SERI_SCHEDULES=/nowhere.yaml"},
			[]string{"SERI_BEAT_LEASE", "SERI_SCHEDULES"},
		},
	} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			p := start(t, command{role: role, env: append(common[:len(common):len(common)], c.env...)})

			says := append(append([]string{fmt.Sprintf("%d faults:", len(common)+len(c.says))}, commonSays...), c.says...)
			p.expectFault("everything", says...)
		})
	}
}

func TestTheAPIDoesNotStartWithoutKeys(t *testing.T) {
	t.Parallel()
	url := "SERI_REDIS_URL=" + redistest.URL(redistest.New(t))

	start(t, command{role: "api", env: []string{url}}).expectFault("no keys", "--api-keys (SERI_API_KEYS) is missing")
	start(t, command{role: "api", env: []string{url, "SERI_API_KEYS_FILE=/dev/null"}}).expectFault("an empty file of keys", "--api-keys (SERI_API_KEYS) is missing")

	open := start(t, command{role: "api", env: []string{url, "SERI_HTTP_ADDR=127.0.0.1:0", "SERI_HTTP_DRAIN=0s"}, args: []string{"--insecure-dev"}})
	addr := attribute(t, open.await("api started"), "addr")
	if !strings.HasPrefix(addr, "127.0.0.1:") {
		t.Errorf("it listens on %s, want loopback", addr)
	}
	status, _ := endpoint{t: t, url: "http://" + addr}.call("GET", "/v1/queues", nil)
	expect(t, "status without a key", status, 200)
	open.stop()
}

func TestHelpListsEverySettingWithItsDefaultAndVariable(t *testing.T) {
	t.Parallel()
	for role, settings := range map[string][]string{
		"api":    {"--http-addr=HOST:PORT", "--api-keys=", "--api-keys-file=", "--insecure-dev", "--http-grace=", "--http-drain=", "--allow-unknown-types", "--allowed-origins="},
		"worker": {"--queues=", "--strict", "--slots=", "--lease=", "--grace=", "--crashes=", "--allow-hosts=", "--output-dir=", "--files-dir="},
		"beat":   {"--schedules=", "--beat-lease="},
		"dev":    {"--dir=", "--http-addr=", "--queues=", "--slots=", "--lease=", "--schedules=", "--beat-lease=", "--output-dir="},
	} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			p := start(t, command{role: role, args: []string{"--help"}})
			state := p.wait()
			help := strings.Join(strings.Fields(p.output()), " ")

			expect(t, "exit status", state.ExitCode(), 0)
			for _, setting := range append(settings, "--redis-url=", "--log-level=", "--log-format=", "--max-events=", "--version") {
				_, after, found := strings.Cut(help, setting)
				if !found {
					t.Errorf("%s is not listed", setting)
					continue
				}
				about, _, _ := strings.Cut(after, " --")
				if setting != "--version" && !strings.Contains(about, "($SERI_") {
					t.Errorf("%s has no variable: %s", setting, about)
				}
				switch setting {
				case "--slots=", "--lease=", "--grace=", "--crashes=", "--http-grace=", "--http-drain=", "--beat-lease=", "--log-level=", "--max-events=", "--queues=", "--http-addr=HOST:PORT":
					if !strings.Contains(about, "Default: ") {
						t.Errorf("%s has no default: %s", setting, about)
					}
				}
			}
		})
	}
}
