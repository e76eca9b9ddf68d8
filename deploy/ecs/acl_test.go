package ecs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/seri-queue/seri/internal/api"
	"github.com/seri-queue/seri/internal/devstore/redisproc"
	"github.com/seri-queue/seri/internal/gateway"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/permit"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/internal/relay"
	"github.com/seri-queue/seri/internal/role"
)

// patience is how long anything may take until a test fails.
const patience = 30 * time.Second

// access returns the rules of a role as redis.tf puts them together: a line with {q} is meant for each queue.
func access(t *testing.T, roleName string, queues ...string) []string {
	t.Helper()
	var rules []string
	for _, file := range []string{roleName, "commands"} {
		content, err := os.ReadFile("acl/" + file + ".acl")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(content)) {
			line = strings.TrimSpace(line)
			switch {
			case line == "" || strings.HasPrefix(line, "#"):
			case strings.Contains(line, "{q}"):
				for _, queue := range queues {
					rules = append(rules, strings.ReplaceAll(line, "{q}", "{"+queue+"}"))
				}
			default:
				rules = append(rules, line)
			}
		}
	}
	return rules
}

// users are those that the server knows, with the queues of each.
var users = map[string][]string{"api": nil, "relay": nil, "worker": {"default"}, "beat": {"default"}}

// asDeployed are the rules of a user.
func asDeployed(t *testing.T, name string) []string { return access(t, name, users[name]...) }

// admit makes the users on a server.
func admit(t *testing.T, rdb *redis.Client, rules func(t *testing.T, name string) []string) {
	t.Helper()
	for name := range users {
		args := []any{"ACL", "SETUSER", name, "reset", "on", ">secret"}
		for _, rule := range rules(t, name) {
			args = append(args, rule)
		}
		if err := rdb.Do(t.Context(), args...).Err(); err != nil {
			t.Fatalf("%v: %v", args, err)
		}
	}
}

// as returns the URL under which a role comes in.
func as(name, url string) string { return strings.Replace(url, "://", "://"+name+":secret@", 1) }

// The three roles do their work as the users that the module makes, and Redis refuses nothing of it.
func TestTheRolesDoTheirWorkUnderTheirRules(t *testing.T) {
	t.Parallel()
	t.Run("one server", func(t *testing.T) {
		t.Parallel()
		server := redistest.Exclusive(t)
		work(t, server.URL(), "streams", asDeployed, func(do func(*redis.Client)) { do(server.Client()) })
	})
	t.Run("one server, events published", func(t *testing.T) {
		t.Parallel()
		server := redistest.Exclusive(t)
		work(t, server.URL(), "pubsub", asDeployed, func(do func(*redis.Client)) { do(server.Client()) })
	})
	t.Run("one server, events relayed", func(t *testing.T) {
		t.Parallel()
		server := redistest.Exclusive(t)
		kafka, err := kfake.NewCluster(kfake.NumBrokers(1))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(kafka.Close)
		work(t, server.URL(), "kafka://"+kafka.ListenAddrs()[0], asDeployed, func(do func(*redis.Client)) { do(server.Client()) })
	})
	// No other test of this package has the cluster, so its users are this one's.
	t.Run("a cluster, as ElastiCache's", func(t *testing.T) {
		t.Parallel()
		cluster := redistest.Cluster(t)
		work(t, redistest.URL(cluster), "sharded-pubsub", asDeployed, func(do func(*redis.Client)) {
			nodes := make(chan *redis.Client, 16) // the function below is called by several goroutines
			err := cluster.ForEachMaster(t.Context(), func(_ context.Context, node *redis.Client) error {
				nodes <- node
				return nil
			})
			close(nodes)
			if err != nil || len(nodes) == 0 {
				t.Errorf("%d nodes, %v", len(nodes), err)
			}
			for node := range nodes {
				do(node)
			}
		})
	})
}

// work has the roles do all that they can under some rules, with events that travel in one of the ways. each calls a function
// for each server.
func work(t *testing.T, url, events string, rules func(*testing.T, string) []string, each func(func(*redis.Client))) {
	each(func(rdb *redis.Client) { admit(t, rdb, rules) })
	key, err := api.NewKey("acl")
	if err != nil {
		t.Fatal(err)
	}
	if relay.IsURL(events) {
		start(t, new(role.API), "relay started",
			"--redis-url", as("relay", url), "--events", events, "--role", "relay", "--http-addr", fmt.Sprintf("127.0.0.1:%d", redisproc.FreePort()))
	}
	addr := fmt.Sprintf("127.0.0.1:%d", redisproc.FreePort())
	front := start(t, new(role.API), "api started",
		"--redis-url", as("api", url), "--events", events, "--api-keys", key.Entry, "--http-addr", addr, "--http-grace", "1s", "--http-drain", "0s")
	start(t, new(role.Worker), "worker started",
		"--redis-url", as("worker", url), "--events", events, "--allow-hosts", "127.0.0.0/8:*", "--output-dir", t.TempDir(), "--lease", "2s", "--grace", "1s")
	schedules := fmt.Sprintf("schedules: [{id: often, every: 1s, task: http.request, payload: {url: 'http://%s/healthz'}}]", addr)
	start(t, new(role.Beat), "tick enqueued", "--redis-url", as("beat", url), "--events", events, "--schedules-text", schedules, "--beat-lease", "1s", "--log-level", "debug")

	e := endpoint{t, "http://" + addr, key.Secret}
	healthz := map[string]any{"url": e.url + "/healthz"}
	succeeds := e.enqueue("http.request", healthz, nil)
	fails := e.enqueue("http.request", map[string]any{"url": "http://127.0.0.1:1/"}, map[string]any{"max_retries": 0})
	retries := e.enqueue("http.request", map[string]any{"url": "http://127.0.0.1:1/"}, map[string]any{"max_retries": 1})
	later := e.enqueue("http.request", healthz, map[string]any{"countdown": 3600, "owner": "user:42"})
	soon := e.enqueue("http.request", healthz, map[string]any{"countdown": 0.2})
	e.enqueue("http.request", healthz, map[string]any{"queue": "of-others", "countdown": 3600}) // beats look whether it has schedules
	e.until(succeeds, "succeeded")
	e.until(soon, "succeeded")
	e.until(fails, "failed")
	e.until(retries, "failed") // after a second attempt
	e.call(http.MethodDelete, "/v1/tasks/"+later, nil, 0)
	e.until(later, "revoked")
	for _, path := range []string{"/v1/queues", "/v1/queues/default/tasks?state=succeeded", "/v1/types", "/readyz"} {
		e.call(http.MethodGet, path, nil, 200)
	}
	e.call(http.MethodPost, "/v1/queues/default/pause", nil, 0)
	e.call(http.MethodPost, "/v1/queues/default/resume", nil, 0)
	e.follow("/v1/events?owner=user:42", "snapshot")
	e.follow("/v1/events", "dev.seri.schedule.fired") // an event that a role has written, and the api has been told of

	acknowledging := json.Number(e.follow("/v1/events?queue=default&consumer=billing", "snapshot").Get(gateway.ConsumerHeader))
	e.call(http.MethodPost, "/v1/consumers/billing/ack", map[string]any{"token": acknowledging, "cursor": "1-0:0"}, http.StatusOK)
	e.call(http.MethodDelete, "/v1/consumers/billing", nil, http.StatusNoContent)

	// A schedule for a queue that the beat may not write to is left out, told, and refused once that is known; the others tick.
	theirs := map[string]any{"every": "1s", "task": "http.request", "payload": healthz, "queue": "theirs"}
	e.call(http.MethodPut, "/v1/schedules/first", theirs, http.StatusCreated)
	e.schedule("first", "to be denied", func(s api.Schedule) bool { return s.Denied })
	if refusal := e.call(http.MethodPut, "/v1/schedules/second", theirs, http.StatusUnprocessableEntity); !strings.Contains(string(refusal), "body.queue") {
		t.Errorf("a second one is refused with %s", refusal)
	}
	var runs int64
	e.schedule("often", "there", func(s api.Schedule) bool { runs = s.Runs; return !s.Denied })
	e.schedule("often", "to tick on", func(s api.Schedule) bool { return s.Runs > runs+1 })
	front() // the rest ends with the test

	each(func(rdb *redis.Client) {
		refused, err := rdb.Do(t.Context(), "ACL", "LOG").Slice()
		if err != nil {
			t.Error(err)
		}
		for _, entry := range refused {
			t.Errorf("Redis has refused something: %v", entry)
		}
	})
}

// A role asks at its start whether it may do all that it will do. So one that is given what it says it lacks, until it starts,
// and no other command but those that connect, can do all of its work.
func TestARoleAsksAtItsStartAboutAllThatItDoes(t *testing.T) {
	t.Parallel()
	server := redistest.Exclusive(t)
	key, err := api.NewKey("acl")
	if err != nil {
		t.Fatal(err)
	}
	flags := map[string][]string{
		"worker": {"--output-dir", t.TempDir()},
		"beat":   {"--schedules-text", "schedules: [{id: often, every: 1s, task: x}]"},
		"api":    {"--api-keys", key.Entry, "--http-addr", "127.0.0.1:0"},
	}
	granted := make(map[string][]string)
	rules := func(t *testing.T, name string) []string {
		all := slices.DeleteFunc(access(t, name, users[name]...), func(rule string) bool { return strings.ContainsAny(rule[:1], "+-") })
		return append(append(all, "-@all", "+@connection", "+info", "+eval", "+evalsha"), granted[name]...)
	}
	for name := range flags { // a relay is not one of the three
		for started := false; !started; {
			admit(t, server.Client(), rules)
			err := startsAs(t, name, flags[name], server.URL())
			denied, isDenied := errors.AsType[*permit.DeniedError](err)
			if started = err == nil; !started && !isDenied {
				t.Fatalf("%s ended with %v", name, err)
			}
			if isDenied {
				before := len(granted[name])
				for _, what := range slices.Concat(denied.Commands, denied.Pairs) {
					command, _, _ := strings.Cut(what, " ")
					granted[name] = append(granted[name], "+"+strings.ToLower(command))
				}
				slices.Sort(granted[name])
				if granted[name] = slices.Compact(granted[name]); len(granted[name]) == before {
					t.Fatalf("%s may do all of %v, and ends with %v", name, granted[name], err)
				}
			}
		}
	}

	work(t, server.URL(), "streams", rules, func(do func(*redis.Client)) { do(server.Client()) })
}

// What belongs to others, or to whoever runs the server, is out of reach.
func TestTheRulesKeepTheRolesFromMore(t *testing.T) {
	t.Parallel()
	admin := redistest.Exclusive(t).Client()
	admit(t, admin, asDeployed)
	cases := map[string]struct {
		user    string
		command []any
	}{
		"a worker reads another queue's tasks":       {"worker", []any{"HGETALL", keys.Queue("other").Task("1")}},
		"a worker writes into another queue":         {"worker", []any{"LPUSH", keys.Queue("other").Pending(), "1"}},
		"a worker takes the beats' lock":             {"worker", []any{"SET", keys.Lock("beat"), "x"}},
		"a worker reads answers of the api":          {"worker", []any{"GET", keys.Idempotency("0")}},
		"a beat reads another queue's tasks":         {"beat", []any{"HGETALL", keys.Queue("other").Task("1")}},
		"a beat takes another lock":                  {"beat", []any{"SET", keys.Lock("other"), "x"}},
		"a beat tells which types there are":         {"beat", []any{"ZADD", keys.Types, "1", "x"}},
		"the api takes the beats' lock":              {"api", []any{"SET", keys.Lock("beat"), "x"}},
		"the api writes keys that are not Seri's":    {"api", []any{"SET", "session:1", "x"}},
		"the api empties the database":               {"api", []any{"FLUSHALL"}},
		"a worker lists all keys":                    {"worker", []any{"KEYS", "*"}},
		"a worker changes the configuration":         {"worker", []any{"CONFIG", "SET", "maxmemory-policy", "allkeys-lru"}},
		"a worker makes itself another user":         {"worker", []any{"ACL", "SETUSER", "worker", "allkeys"}},
		"a relay writes to a task":                   {"relay", []any{"HSET", keys.Queue("default").Task("1"), "state", "x"}},
		"a relay takes the beats' lock":              {"relay", []any{"SET", keys.Lock("beat"), "x"}},
		"a beat leaves a function behind":            {"beat", []any{"FUNCTION", "LOAD", "#!lua name=x\nredis.register_function('x', function() end)"}},
		"an api moves keys to another server":        {"api", []any{"MIGRATE", "127.0.0.1", "1", keys.Queues, "0", "1"}},
		"a worker ends the connections of others":    {"worker", []any{"CLIENT", "KILL", "127.0.0.1:1"}},
		"a worker listens to what is not for it":     {"worker", []any{"SUBSCRIBE", "__keyspace@0__:*"}},
		"a beat stops the server":                    {"beat", []any{"SHUTDOWN"}},
		"an api makes a replica of a strange server": {"api", []any{"REPLICAOF", "127.0.0.1", "1"}},
	}
	for sentence, c := range cases {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			said, err := admin.Do(t.Context(), append([]any{"ACL", "DRYRUN", c.user}, c.command...)...).Text()
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(said, "no permissions") {
				t.Errorf("%v may run %v: %s", c.user, c.command, said)
			}
		})
	}
}

// Whoever declares a new kind of key has to let its owner reach it.
func TestEveryKeyIsWithinReachOfItsOwner(t *testing.T) {
	t.Parallel()
	admin := redistest.Exclusive(t).Client()
	admit(t, admin, asDeployed)
	placeholder := regexp.MustCompile(`<[a-z0-9]+>`)
	owners := map[string]string{"engine": "worker", "worker": "worker", "beat": "beat", "api": "api"}
	checked := 0
	for _, entry := range keys.Registry {
		key := placeholder.ReplaceAllString(strings.ReplaceAll(entry.Pattern, "{q}", "{default}"), "x")
		for owner, user := range owners {
			if !regexp.MustCompile(`\b`+owner+`\b`).MatchString(entry.Owner) || strings.Contains(entry.Owner, "stock") {
				continue
			}
			checked++
			said, err := admin.Do(t.Context(), "ACL", "DRYRUN", user, "DEL", key).Text()
			if err != nil || said != "OK" {
				t.Errorf("%s, which is of %s, is out of reach of %s: %s %v; see acl/%s.acl", entry.Pattern, entry.Owner, user, said, err, user)
			}
		}
	}
	if checked < 20 {
		t.Errorf("checked %d keys only", checked)
	}
}

// A script that Redis refuses a part of has done what comes before it. So a role that lacks a permission does not start, and
// says which.
func TestARoleThatLacksAPermissionDoesNotStart(t *testing.T) {
	t.Parallel()
	server := redistest.Exclusive(t)
	admin := server.Client()
	key, err := api.NewKey("acl")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		lacks   string
		command string
		flags   []string
	}{
		"worker": {"-zrem", "ZREM", []string{"--output-dir", t.TempDir()}},
		"beat":   {"-hincrby", "HINCRBY", []string{"--schedules-text", "schedules: [{id: often, every: 1s, task: x}]"}},
		"api":    {"-xadd", "XADD", []string{"--api-keys", key.Entry, "--http-addr", "127.0.0.1:0"}},
	} {
		admit(t, admin, asDeployed)
		if err := admin.Do(t.Context(), "ACL", "SETUSER", name, c.lacks).Err(); err != nil {
			t.Fatal(err)
		}
		err := startsAs(t, name, c.flags, server.URL())
		if err == nil || !strings.Contains(err.Error(), "denies this user "+c.command) {
			t.Errorf("%s without %s ended with %v", name, c.command, err)
		}
		if n := admin.DBSize(t.Context()).Val(); n != 0 {
			t.Errorf("%s has written %d keys", name, n)
		}
	}
}

// startsAs runs a role as its user until it has started, and returns nil, or until it ends by itself, and returns why.
func startsAs(t *testing.T, name string, flags []string, url string) error {
	t.Helper()
	r := map[string]role.Role{"worker": new(role.Worker), "beat": new(role.Beat), "api": new(role.API)}[name]
	parser, err := kong.New(r)
	if err == nil {
		_, err = parser.Parse(append(flags[:len(flags):len(flags)], "--redis-url", as(name, url)))
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	log := &watched{text: map[string]string{"worker": "worker started", "beat": "beat leads", "api": "api started"}[name], seen: make(chan struct{})}
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx, io.Discard, log) }()
	select {
	case <-log.seen:
		cancel()
		<-ended
		return nil
	case err := <-ended:
		return err
	}
}

// start runs a role with the given flags until the returned function is called, or the test ends, and waits until its log
// says that it works.
func start(t *testing.T, r role.Role, says string, flags ...string) (stop func()) {
	t.Helper()
	parser, err := kong.New(r)
	if err == nil {
		_, err = parser.Parse(flags)
	}
	if err == nil {
		err = r.Check()
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	log := &watched{text: says, seen: make(chan struct{})}
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx, io.Discard, log) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("%T wrote:\n%s", r, log.all.String())
		}
	}
	t.Cleanup(stop)
	select {
	case <-log.seen:
	case err := <-ended:
		stopped = true
		cancel()
		t.Fatalf("%T has ended: %v\n%s", r, err, log.all.String())
	case <-time.After(patience):
		t.Errorf("%T has not written %q", r, says)
		stop() // whose log may be read only when it has ended
		t.FailNow()
	}
	return stop
}

// watched is a log; seen is closed once text is in it. Its writers take turns, as slog's handlers have them.
type watched struct {
	text string
	all  bytes.Buffer
	seen chan struct{}
	done bool
}

func (w *watched) Write(b []byte) (int, error) {
	w.all.Write(b)
	if !w.done && strings.Contains(w.all.String(), w.text) {
		w.done = true
		close(w.seen)
	}
	return len(b), nil
}

// endpoint is where the api answers.
type endpoint struct {
	t        *testing.T
	url, key string
}

func (e endpoint) enqueue(typ string, payload map[string]any, terms map[string]any) (id string) {
	e.t.Helper()
	body := map[string]any{"type": typ, "payload": payload}
	maps.Copy(body, terms)
	var answer struct{ ID string }
	if err := json.Unmarshal(e.call(http.MethodPost, "/v1/tasks", body, http.StatusAccepted), &answer); err != nil {
		e.t.Fatal(err)
	}
	return answer.ID
}

// until asks for a task again and again until it is in the state.
func (e endpoint) until(id, state string) {
	e.t.Helper()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	expired := time.After(patience)
	for {
		var answer struct{ State, Error string }
		if err := json.Unmarshal(e.call(http.MethodGet, "/v1/tasks/"+id, nil, http.StatusOK), &answer); err != nil {
			e.t.Fatal(err)
		}
		if answer.State == state {
			return
		}
		select {
		case <-again.C:
		case <-expired:
			e.t.Fatalf("task %s is %s (%s), want %s", id, answer.State, answer.Error, state)
		}
	}
}

// schedule asks for a schedule again and again until it is as it should be.
func (e endpoint) schedule(id, want string, is func(s api.Schedule) bool) {
	e.t.Helper()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	expired := time.After(patience)
	for {
		var s api.Schedule
		if err := json.Unmarshal(e.call(http.MethodGet, "/v1/schedules/"+id, nil, http.StatusOK), &s); err != nil {
			e.t.Fatal(err)
		}
		if is(s) {
			return
		}
		select {
		case <-again.C:
		case <-expired:
			e.t.Fatalf("schedule %s is %+v, want it %s", id, s, want)
		}
	}
}

// follow opens a stream and waits for the first line with text. It returns the answer's header.
func (e endpoint) follow(path, text string) http.Header {
	e.t.Helper()
	response := e.send(http.MethodGet, path, nil)
	defer response.Body.Close()
	buffer, all := make([]byte, 4096), ""
	for !strings.Contains(all, text) {
		n, err := response.Body.Read(buffer)
		all += string(buffer[:n])
		if err != nil {
			e.t.Fatalf("%s ends without %q: %s", path, text, all)
		}
	}
	return response.Header
}

// call makes a request and returns the answer, which must have the status; 0: any that is good.
func (e endpoint) call(method, path string, body any, want int) []byte {
	e.t.Helper()
	response := e.send(method, path, body)
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil || want == 0 && response.StatusCode/100 != 2 || want != 0 && response.StatusCode != want {
		e.t.Fatalf("%s %s answers %d, %v: %s", method, path, response.StatusCode, err, content)
	}
	return content
}

func (e endpoint) send(method, path string, body any) *http.Response {
	e.t.Helper()
	content := []byte{}
	if body != nil {
		var err error
		if content, err = json.Marshal(body); err != nil {
			e.t.Fatal(err)
		}
	}
	request, err := http.NewRequestWithContext(e.t.Context(), method, e.url+path, bytes.NewReader(content))
	if err != nil {
		e.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+e.key)
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Idempotency-Key", fmt.Sprint(time.Now().UnixNano()))
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		e.t.Fatal(err)
	}
	return response
}
