package api

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/client"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/internal/store"
	"github.com/seri-queue/seri/internal/wire"
)

// onRedis runs a test against the real client, on every kind of Redis that Seri runs on.
func onRedis(t *testing.T, test func(t *testing.T, server http.Handler, rdb redis.UniversalClient, queue string)) {
	t.Parallel()
	redistest.EachWithEmbedded(t, func(t *testing.T, rdb redis.UniversalClient) {
		server := newServer(t, Config{Tasks: client.New(rdb, client.Config{}), Idempotency: NewRedisIdempotency(rdb)})
		test(t, server, rdb, redistest.Queue(t))
	})
}

func TestATaskGoesInAndCanBeSeenPagedAndRevoked(t *testing.T) {
	onRedis(t, func(t *testing.T, server http.Handler, _ redis.UniversalClient, queue string) {
		body := fmt.Sprintf(`{"type":"image.thumbnail","payload":{"source":"https://a","sizes":[64]},"queue":%q,"id":"a/ä b","owner":"user:42","headers":{"h":"1"}}`, queue)

		posted := do(server, "POST", "/v1/tasks", body)

		if posted.Code != http.StatusAccepted {
			t.Fatalf("POST answers %d %s", posted.Code, posted.Body)
		}
		accepted := decode[wire.Task](t, posted)
		for _, target := range []string{posted.Header().Get("Location"), "/v1/tasks/a%2F%C3%A4%20b"} {
			w := do(server, "GET", target, "")
			if w.Code != http.StatusOK {
				t.Fatalf("GET %s answers %d %s", target, w.Code, w.Body)
			}
			if got := decode[wire.Task](t, w); got.ID != accepted.ID || got.State != accepted.State || got.Seq != accepted.Seq || got.Owner != "user:42" ||
				string(got.Payload) != string(accepted.Payload) || got.Timeout != accepted.Timeout || got.Retention != accepted.Retention || got.MaxRetries != accepted.MaxRetries {
				t.Errorf("accepted %+v\nstored   %+v", accepted, got)
			}
		}

		again := do(server, "POST", "/v1/tasks", body)
		if p := problemOf(t, again); again.Code != 409 || p.Type != "/problems/conflict" || p.Task == nil || p.Task.ID != "a/ä b" {
			t.Errorf("the same id again: %d %s", again.Code, again.Body)
		}
		page := do(server, "GET", "/v1/queues/"+queue+"/tasks?state=pending", "")
		if got := decode[Page](t, page); len(got.Tasks) != 1 || got.Next != "" {
			t.Errorf("page: %d %s", page.Code, page.Body)
		}
		revoked := do(server, "DELETE", posted.Header().Get("Location"), "")
		if got := decode[wire.Task](t, revoked); revoked.Code != 200 || got.State != seri.Revoked {
			t.Errorf("DELETE: %d %s", revoked.Code, revoked.Body)
		}
		ended := do(server, "DELETE", posted.Header().Get("Location"), "")
		if p := problemOf(t, ended); ended.Code != 409 || p.Type != "/problems/ended" || p.Task == nil {
			t.Errorf("DELETE again: %d %s", ended.Code, ended.Body)
		}
	})
}

func TestARunningTaskIsAskedToStop(t *testing.T) {
	onRedis(t, func(t *testing.T, server http.Handler, rdb redis.UniversalClient, queue string) {
		location := do(server, "POST", "/v1/tasks", fmt.Sprintf(`{"type":"free.form","payload":{},"queue":%q}`, queue)).Header().Get("Location")
		if _, err := store.New(rdb, store.Config{}).Dequeue(t.Context(), keys.Queue(queue), store.Wanted{Tasks: 1, Lease: time.Minute}); err != nil {
			t.Fatal(err)
		}

		w := do(server, "DELETE", location, "")

		if got := decode[wire.Task](t, w); w.Code != http.StatusAccepted || got.State != seri.Active {
			t.Errorf("DELETE: %d %s", w.Code, w.Body)
		}
	})
}

func TestAnEqualTaskIsADuplicate(t *testing.T) {
	onRedis(t, func(t *testing.T, server http.Handler, _ redis.UniversalClient, queue string) {
		first := do(server, "POST", "/v1/tasks", fmt.Sprintf(`{"type":"free.form","payload":{"a":1},"queue":%q,"unique_for":60}`, queue))
		second := do(server, "POST", "/v1/tasks", fmt.Sprintf(`{"type":"free.form","payload": { "a" : 1 },"queue":%q,"unique_for":60}`, queue))

		if p := problemOf(t, second); first.Code != 202 || second.Code != 409 || p.Type != "/problems/duplicate" {
			t.Errorf("first %d, second %d %s", first.Code, second.Code, second.Body)
		}
	})
}

func TestAKeyOutlivesItsTask(t *testing.T) {
	onRedis(t, func(t *testing.T, server http.Handler, rdb redis.UniversalClient, queue string) {
		body := fmt.Sprintf(`{"type":"free.form","payload":{},"queue":%q,"retention":0,"countdown":0}`, queue)
		post := func() (wire.Task, string) {
			w := do(server, "POST", "/v1/tasks", body, "Idempotency-Key", "k-"+queue)
			if w.Code != http.StatusAccepted {
				t.Fatalf("answer is %d %s", w.Code, w.Body)
			}
			return decode[wire.Task](t, w), w.Header().Get("Idempotent-Replayed")
		}
		first, replayed := post()
		if replayed != "" {
			t.Errorf("the first is a replay")
		}
		if again, replayed := post(); again.ID != first.ID || replayed != "true" {
			t.Errorf("repeat: %s, replayed %q; want %s", again.ID, replayed, first.ID)
		}
		work := store.New(rdb, store.Config{})
		batch, err := work.Dequeue(t.Context(), keys.Queue(queue), store.Wanted{Tasks: 1, Lease: time.Minute})
		if err != nil || len(batch.Leases) != 1 {
			t.Fatalf("dequeue: %+v, %v", batch, err)
		}
		if errs, err := work.Complete(t.Context(), keys.Queue(queue), []store.Completion{{Lease: &batch.Leases[0]}}); err != nil || errs[0] != nil {
			t.Fatalf("complete: %v, %v", errs, err)
		}
		if w := do(server, "GET", "/v1/tasks/"+first.ID+"?queue="+queue, ""); w.Code != 404 {
			t.Fatalf("the task is still there: %d", w.Code)
		}

		again, replayed := post()

		if again.ID != first.ID || replayed != "true" || !again.EnqueuedAt.Equal(*first.EnqueuedAt) {
			t.Errorf("repeat after the task's end: %+v, replayed %q; want %+v", again, replayed, first)
		}
		if w := do(server, "GET", "/v1/tasks/"+first.ID+"?queue="+queue, ""); w.Code != 404 {
			t.Errorf("the task has been enqueued a second time")
		}
	})
}

func TestAThousandTasksInOneBatch(t *testing.T) {
	onRedis(t, func(t *testing.T, server http.Handler, _ redis.UniversalClient, queue string) {
		one := fmt.Sprintf(`{"type":"free.form","payload":{},"queue":%q}`, queue)

		w := do(server, "POST", "/v1/tasks/batch", `{"tasks":[`+strings.Repeat(one+",", 999)+one+`]}`)

		for i, item := range decode[BatchAnswer](t, w).Items {
			if item.Status != http.StatusAccepted {
				t.Fatalf("item %d: %+v", i, item.Problem)
			}
		}
		var seen []string
		cursor := ""
		for {
			page := decode[Page](t, do(server, "GET", "/v1/queues/"+queue+"/tasks?state=pending&limit=200"+cursor, ""))
			for _, task := range page.Tasks {
				seen = append(seen, task.ID)
			}
			if page.Next == "" {
				break
			}
			cursor = "&cursor=" + page.Next
		}
		slices.Sort(seen)
		if n := len(slices.Compact(seen)); n != 1000 {
			t.Errorf("the pages show %d tasks, want 1000", n)
		}
	})
}

func TestQueuesPauseAndResume(t *testing.T) {
	onRedis(t, func(t *testing.T, server http.Handler, _ redis.UniversalClient, queue string) {
		do(server, "POST", "/v1/tasks", fmt.Sprintf(`{"type":"free.form","payload":{},"queue":%q}`, queue))

		for _, c := range []struct {
			verb   string
			paused bool
		}{{"pause", true}, {"pause", true}, {"resume", false}, {"resume", false}} {
			w := do(server, "POST", "/v1/queues/"+queue+"/"+c.verb, "")
			if got := decode[Queue](t, w); w.Code != 200 || got.Paused != c.paused || got.Pending != 1 || got.Name != queue {
				t.Errorf("%s: %d %s", c.verb, w.Code, w.Body)
			}
		}
		all := decode[Queues](t, do(server, "GET", "/v1/queues", ""))
		if !slices.ContainsFunc(all.Queues, func(q Queue) bool { return q.Name == queue && q.Pending == 1 }) {
			t.Errorf("queues: %+v", all)
		}
		if w := do(server, "POST", "/v1/queues/never-"+queue+"/pause", ""); w.Code != 404 {
			t.Errorf("pausing an unknown queue: %d %s", w.Code, w.Body)
		}
	})
}

func TestTheTypesOfANewWorkerAreKnownSoon(t *testing.T) {
	t.Parallel()
	redistest.EachWithEmbedded(t, func(t *testing.T, rdb redis.UniversalClient) {
		now := time.Now()
		server := newServerAt(t, Config{Tasks: client.New(rdb, client.Config{})}, func() time.Time { return now })
		queue := redistest.Queue(t)
		typ := "published." + queue
		body := fmt.Sprintf(`{"type":%q,"payload":{"n":"1"},"queue":%q}`, typ, queue)
		if w := do(server, "POST", "/v1/tasks", body); w.Code != 422 {
			t.Fatalf("before the worker: %d %s", w.Code, w.Body)
		}
		schema := []byte(`{"type":"object","properties":{"n":{"type":"integer"}}}`)
		worker := store.Worker{Name: "host:1:" + queue, Types: []store.Type{{Name: typ, Args: schema, Queues: []string{queue}}}}
		if err := store.New(rdb, store.Config{}).Announce(t.Context(), worker, time.Minute); err != nil {
			t.Fatal(err)
		}

		now = now.Add(typesAgain)
		w := do(server, "POST", "/v1/tasks", body)

		if p := problemOf(t, w); p.Type != "/problems/invalid" || p.Errors[0].Location != "body.payload.n" {
			t.Errorf("with the worker: %d %s", w.Code, w.Body)
		}
		all := decode[Types](t, do(server, "GET", "/v1/types", ""))
		if !slices.ContainsFunc(all.Types, func(k Type) bool { return k.Name == typ && k.Workers == 1 && len(k.Args) > 0 }) {
			t.Errorf("types: %+v", all)
		}
	})
}

func TestARedisThatIsAwayIs503(t *testing.T) {
	t.Parallel()
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1, DialTimeout: time.Second, DialerRetries: 1})
	defer rdb.Close()
	server := newServer(t, Config{Tasks: client.New(rdb, client.Config{}), Idempotency: NewRedisIdempotency(rdb)})

	for _, target := range []string{"POST /v1/tasks", "GET /v1/queues", "GET /v1/tasks/a?queue=q", "GET /v1/types", "DELETE /v1/tasks/a", "GET /v1/queues/q/tasks?state=active", "POST /v1/queues/q/pause"} {
		method, path, _ := strings.Cut(target, " ")
		body := ""
		if target == "POST /v1/tasks" {
			body = freeTask
		}

		w := do(server, method, path, body)

		if p := problemOf(t, w); w.Code != 503 || w.Header().Get("Retry-After") == "" || strings.Contains(p.Detail, "127.0.0.1") {
			t.Errorf("%s answers %d %s", target, w.Code, w.Body)
		}
	}
}
