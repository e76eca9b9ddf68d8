package api

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/client"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/internal/wire"
)

func TestRecordsAreClaimedOnceAndStay(t *testing.T) {
	t.Parallel()
	redistest.EachWithEmbedded(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx := t.Context()
		store := NewRedisIdempotency(rdb)
		name := digest([]byte(redistest.Queue(t)))
		first := IdempotencyRecord{Body: "b", Queue: "q", ID: "1", At: time.Now().UTC()}
		second := IdempotencyRecord{Body: "c", Queue: "q", ID: "2", At: time.Now().UTC()}

		if _, found, err := store.Find(ctx, name); found || err != nil {
			t.Fatalf("found before it was claimed: %v, %v", found, err)
		}
		if standing, claimed, err := store.Claim(ctx, name, first); standing != first || !claimed || err != nil {
			t.Fatalf("first claim: %+v, %v, %v", standing, claimed, err)
		}
		if standing, claimed, err := store.Claim(ctx, name, second); standing != first || claimed || err != nil {
			t.Fatalf("second claim: %+v, %v, %v", standing, claimed, err)
		}
		if ttl := rdb.TTL(ctx, keys.Idempotency(name)).Val(); ttl <= 23*time.Hour || ttl > 24*time.Hour {
			t.Errorf("the claim lives for %v", ttl)
		}
		if released, err := store.Release(ctx, name, second); released || err != nil {
			t.Fatalf("somebody else's release: %v, %v", released, err)
		}
		if shared, err := store.Share(ctx, name, second); shared || err != nil {
			t.Fatalf("sharing another claim: %v, %v", shared, err)
		}
		if r, found, err := store.Find(ctx, name); r != first || !found || err != nil {
			t.Fatalf("after somebody else's release: %+v, %v, %v", r, found, err)
		}
		if shared, err := store.Share(ctx, name, first); !shared || err != nil {
			t.Fatalf("sharing the claim: %v, %v", shared, err)
		}
		if released, err := store.Release(ctx, name, first); released || err != nil {
			t.Fatalf("release of a claim that is shared: %v, %v", released, err)
		}
		if ttl := rdb.TTL(ctx, keys.Idempotency(name)).Val(); ttl <= 23*time.Hour || ttl > 24*time.Hour {
			t.Errorf("the shared claim lives for %v", ttl)
		}
		first.Shared = true
		if err := store.Settle(ctx, name, first); err != nil {
			t.Fatal(err)
		}
		if released, err := store.Release(ctx, name, first); released || err != nil {
			t.Fatalf("release of a settled record: %v, %v", released, err)
		}
		first.Settled = true
		if r, found, err := store.Find(ctx, name); r != first || !found || err != nil {
			t.Errorf("a settled record after a release: %+v, %v, %v", r, found, err)
		}
		if ttl := rdb.TTL(ctx, keys.Idempotency(name)).Val(); ttl <= 23*time.Hour || ttl > 24*time.Hour {
			t.Errorf("the settled record lives for %v", ttl)
		}
	})
}

func TestAnOpenClaimCanBeTakenBack(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t)
	store := NewRedisIdempotency(rdb)
	record := IdempotencyRecord{Body: "b", Queue: "q", ID: "1", At: time.Now().UTC()}
	standing, _, err := store.Claim(t.Context(), "d", record)
	if err != nil {
		t.Fatal(err)
	}

	if released, err := store.Release(t.Context(), "d", standing); !released || err != nil {
		t.Fatalf("released %v, error %v", released, err)
	}

	if _, found, err := store.Find(t.Context(), "d"); found || err != nil {
		t.Errorf("found %v, error %v", found, err)
	}
}

func TestARepeatedKeyMakesNoSecondTask(t *testing.T) {
	t.Parallel()
	const body = `{"type":"free.form","payload":{"n":1}}`
	for name, c := range map[string]struct {
		prepare func(tasks *fakeTasks, records *fakeIdempotency) // before the first request
		between func(tasks *fakeTasks, records *fakeIdempotency) // before the repeat
		again   string                                           // the body of the repeat; empty: the same
		status  int
		typ     string
		stored  int
	}{
		"the task is there":   {nil, nil, "", 202, "", 1},
		"another body":        {nil, nil, `{"type":"free.form","payload":{"n":2}}`, 422, "idempotency-key-reused", 1},
		"another white space": {nil, nil, body + " ", 422, "idempotency-key-reused", 1},
		"the task is gone":    {nil, func(tasks *fakeTasks, _ *fakeIdempotency) { clear(tasks.tasks) }, "", 202, "", 0},
		"the server died before it could settle": {func(_ *fakeTasks, records *fakeIdempotency) { records.settle = errors.New("died") },
			func(_ *fakeTasks, records *fakeIdempotency) { records.settle = nil }, "", 202, "", 1},
		"the server died before it could enqueue": {func(tasks *fakeTasks, _ *fakeIdempotency) {
			tasks.enqueue = func(seri.Message) error { return errors.New("died") }
		},
			func(tasks *fakeTasks, _ *fakeIdempotency) { tasks.enqueue = nil }, "", 202, "", 1},
		"the type is no longer known": {nil, func(tasks *fakeTasks, _ *fakeIdempotency) { clear(tasks.types); tasks.types = nil }, "", 202, "", 1},
		"the first was refused for a lock": {func(tasks *fakeTasks, _ *fakeIdempotency) {
			tasks.enqueue = func(seri.Message) error { return seri.ErrDuplicate }
		},
			func(tasks *fakeTasks, _ *fakeIdempotency) { tasks.enqueue = nil }, `{"type":"free.form","payload":{"n":3}}`, 202, "fresh", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tasks, records := &fakeTasks{}, &fakeIdempotency{}
			server := newServer(t, Config{Tasks: tasks, Idempotency: records})
			if c.prepare != nil {
				c.prepare(tasks, records)
			}
			first := do(server, "POST", "/v1/tasks", body, "Idempotency-Key", "k")
			if c.between != nil {
				c.between(tasks, records)
			}
			again := body
			if c.again != "" {
				again = c.again
			}

			w := do(server, "POST", "/v1/tasks", again, "Idempotency-Key", "k")

			if w.Code != c.status || len(tasks.tasks) != c.stored {
				t.Fatalf("answer is %d with %d tasks stored, want %d with %d: %s", w.Code, len(tasks.tasks), c.status, c.stored, w.Body)
			}
			if w.Code != http.StatusAccepted {
				if p := problemOf(t, w); p.Type != "/problems/"+c.typ {
					t.Errorf("problem is %s", w.Body)
				}
				return
			}
			if replayed := w.Header().Get("Idempotent-Replayed") == "true"; replayed != (c.typ != "fresh") {
				t.Errorf("Idempotent-Replayed is %q", w.Header().Get("Idempotent-Replayed"))
			}
			if first.Code == http.StatusAccepted {
				if a, b := decode[wire.Task](t, first), decode[wire.Task](t, w); a.ID != b.ID || a.Queue != b.Queue || first.Header().Get("Location") != w.Header().Get("Location") {
					t.Errorf("the first task is %s, the repeat answers with %s", a.ID, b.ID)
				}
			}
			for _, r := range records.records {
				if !r.Settled {
					t.Errorf("the record is left open: %+v", r)
				}
			}
		})
	}
}

func TestAnIDThatExistsIsAConflictWithAKeyToo(t *testing.T) {
	t.Parallel()
	tasks, records := &fakeTasks{}, &fakeIdempotency{}
	server := newServer(t, Config{Tasks: tasks, Idempotency: records})
	do(server, "POST", "/v1/tasks", freeTask)

	for range 2 { // the second time as well: the refusal must not turn the foreign task into the key's own
		w := do(server, "POST", "/v1/tasks", freeTask, "Idempotency-Key", "k")

		if p := problemOf(t, w); w.Code != 409 || p.Type != "/problems/conflict" || p.Task == nil {
			t.Fatalf("answer is %d %s", w.Code, w.Body)
		}
	}
}

func TestKeysOfDifferentCallersDoNotMeet(t *testing.T) {
	t.Parallel()
	a, b := newKey(t, "a"), newKey(t, "b")
	known, err := ParseKeys(a.Entry + "," + b.Entry)
	if err != nil {
		t.Fatal(err)
	}
	tasks := &fakeTasks{}
	server := newServer(t, Config{Tasks: tasks, Idempotency: &fakeIdempotency{}, Keys: known})

	for i, secret := range []string{a.Secret, b.Secret} {
		w := do(server, "POST", "/v1/tasks", `{"type":"free.form","payload":`+string(rune('1'+i))+`}`, "Idempotency-Key", "k", "Authorization", "Bearer "+secret)
		if w.Code != http.StatusAccepted {
			t.Errorf("answer is %d %s", w.Code, w.Body)
		}
	}

	if len(tasks.tasks) != 2 {
		t.Errorf("%d tasks are stored, want 2", len(tasks.tasks))
	}
}

func TestOfManyRequestsWithOneKeyOneMakesATask(t *testing.T) {
	t.Parallel()
	tasks := &fakeTasks{}
	server := newServer(t, Config{Tasks: tasks, Idempotency: &fakeIdempotency{}})
	var wg sync.WaitGroup
	var mu sync.Mutex
	ids := map[string]bool{}
	for range 20 {
		wg.Go(func() {
			w := do(server, "POST", "/v1/tasks", `{"type":"free.form","payload":{}}`, "Idempotency-Key", "k")
			if w.Code != http.StatusAccepted {
				t.Errorf("answer is %d %s", w.Code, w.Body)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			ids[decode[wire.Task](t, w).ID] = true
		})
	}
	wg.Wait()

	if len(ids) != 1 || len(tasks.tasks) != 1 {
		t.Errorf("%d tasks answered, %d stored", len(ids), len(tasks.tasks))
	}
}

// The steps of concurrent requests mix in every way on two servers, mostly so that a repeat enqueues before the request
// that has claimed.
func TestOfManyRequestsToTwoServersOneMakesATask(t *testing.T) {
	t.Parallel()
	const names, repeats = 200, 12
	rdb := redistest.New(t)
	queue := redistest.Queue(t)
	tasks := client.New(rdb, client.Config{})
	var servers [2]http.Handler
	for i := range servers {
		servers[i] = newServer(t, Config{Tasks: tasks, Idempotency: NewRedisIdempotency(rdb)})
	}
	for n := range names {
		body := fmt.Sprintf(`{"type":"free.form","payload":{"n":%d},"queue":%q`, n, queue)
		switch n % 3 {
		case 1:
			body += fmt.Sprintf(`,"id":"given-%d"`, n)
		case 2:
			body += `,"unique_for":60`
		}
		body += "}"
		var wg sync.WaitGroup
		answers := make([]*httptest.ResponseRecorder, repeats)
		for i := range answers {
			wg.Go(func() {
				answers[i] = do(servers[i%2], "POST", "/v1/tasks", body, "Idempotency-Key", fmt.Sprint(queue, n))
			})
		}
		wg.Wait()
		ids := map[string]bool{}
		for _, w := range answers {
			if w.Code != http.StatusAccepted {
				t.Fatalf("body %s: answer is %d %s", body, w.Code, w.Body)
			}
			ids[decode[wire.Task](t, w).ID] = true
		}
		if len(ids) != 1 {
			t.Fatalf("body %s: answers name %d tasks", body, len(ids))
		}
	}

	if info, err := tasks.Queue(t.Context(), queue); err != nil || info.Pending != names {
		t.Errorf("%d tasks are stored, error %v; want %d", info.Pending, err, names)
	}
}

// Each case lets one step of another request with the key happen at the worst moment: just after the enqueueing of the
// request that has claimed was refused, or instead of it.
func TestAClaimThatIsSharedIsNotReleased(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body    string
		refusal error
		own     bool // the other request has enqueued
		status  int
	}{
		"a repeat has enqueued, a random id":        {`{"type":"free.form","payload":{}}`, seri.ErrConflict, true, 202},
		"a repeat has enqueued, a given id":         {freeTask, seri.ErrConflict, true, 202},
		"a repeat has enqueued, and holds the lock": {`{"type":"free.form","payload":{},"unique_for":9}`, seri.ErrDuplicate, true, 202},
		"a foreign id":   {freeTask, seri.ErrConflict, false, 409},
		"a foreign lock": {`{"type":"free.form","payload":{},"unique_for":9}`, seri.ErrDuplicate, false, 409},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tasks, records := &fakeTasks{}, &fakeIdempotency{}
			server := newServer(t, Config{Tasks: tasks, Idempotency: records})
			var id string
			tasks.enqueue = func(m seri.Message) error {
				id = m.ID
				for digest, r := range records.records {
					if _, err := records.Share(t.Context(), digest, r); err != nil {
						return err
					}
				}
				if c.own {
					tasks.tasks = map[string]seri.Info{m.Queue + "/" + m.ID: {ID: m.ID, Type: m.Type, Queue: m.Queue, Payload: m.Payload, State: seri.Pending}}
				}
				return c.refusal
			}

			w := do(server, "POST", "/v1/tasks", c.body, "Idempotency-Key", "k")

			if w.Code != c.status {
				t.Errorf("answer is %d %s, want %d", w.Code, w.Body, c.status)
			}
			for _, r := range records.records {
				if r.ID != id || r.Settled != c.own {
					t.Errorf("the record is %+v", r)
				}
			}
			if len(records.records) != 1 {
				t.Errorf("there are %d records, want 1", len(records.records))
			}
		})
	}
}
