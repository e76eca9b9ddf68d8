package audit_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/api"
	"github.com/seri-queue/seri/internal/cli/audit"
	"github.com/seri-queue/seri/internal/consumers"
	"github.com/seri-queue/seri/internal/events"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/partition"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/internal/store"
	"github.com/seri-queue/seri/internal/wire"
	"github.com/seri-queue/seri/lock"
)

// Every key that Seri makes is declared, and lives as declared: a queue in all its states is made, and audited.
func TestABusyQueueIsAsTheRegistrySays(t *testing.T) {
	t.Parallel()
	redistest.EachWithEmbedded(t, func(t *testing.T, rdb redis.UniversalClient) {
		q := busy(t, rdb)

		faults, summary := run(t, rdb)

		// The cluster is shared, and its other tests leave faults on purpose.
		for _, f := range faults {
			if strings.Contains(f.Key, "{"+string(q)+"}") || !strings.Contains(f.Key, "faulty") {
				t.Errorf("%s %s", f.Key, f.Wrong)
			}
		}
		made := map[string]bool{}
		for i, n := range summary.ByEntry {
			if n > 0 {
				made[keys.Registry[i].Pattern] = true
			}
		}
		for _, e := range keys.Registry {
			stock := strings.HasPrefix(e.Owner, "stock ")
			if !made[e.Pattern] && !stock {
				t.Errorf("no key of the entry %s was made; is it needed, or does the test lack a transition?", e.Pattern)
			}
		}
	})
}

// busy makes a queue in which something is in every state, and what surrounds it.
func busy(t *testing.T, rdb redis.UniversalClient) keys.Queue {
	t.Helper()
	ctx, q, s := t.Context(), keys.Queue(redistest.Queue(t)), store.New(rdb, store.Config{})
	must := func(errs []error, err error) {
		t.Helper()
		if err := errors.Join(append(slices.Clone(errs), err)...); err != nil {
			t.Fatal(err)
		}
	}
	message := func(id string) seri.Message {
		return seri.Message{ID: id, Type: "mail:send", Queue: string(q), Payload: []byte(`{"to":"` + id + `"}`), Owner: "user:1",
			MaxRetries: 3, Timeout: time.Minute, Retention: time.Hour, UniqueFor: time.Hour}
	}
	later := message("scheduled")
	later.ETA = time.Now().Add(time.Hour)
	must(s.Enqueue(ctx, q, []seri.Message{message("done"), message("again"), message("dead"), message("gone"), message("running"), message("waiting"), later}))
	later.ID = "published"
	later.UniqueFor = 0
	must(store.New(rdb, store.Config{Events: store.PubSub}).Enqueue(ctx, q, []seri.Message{later}))
	batch, err := s.Dequeue(ctx, q, store.Wanted{Tasks: 5, Lease: time.Minute, Worker: "w"})
	must(nil, err)
	leases := batch.Leases
	must(s.Progress(ctx, q, []store.Report{{Lease: &leases[4], Progress: seri.ProgressInfo{Done: 1, Total: 2}}}))
	must(s.Log(ctx, q, []store.Written{{Lease: &leases[4], Lines: []byte("on the way\n")}}, 1<<10))
	must(s.Complete(ctx, q, []store.Completion{{Lease: &leases[0], Result: []byte(`1`)}}))
	must(s.Retry(ctx, q, []store.Retry{{Lease: &leases[1], After: time.Minute, Error: "again"}}))
	must(s.Archive(ctx, q, []store.Ending{{Lease: &leases[2], Reason: seri.ReasonPermanent, Error: "dead"}}))
	must(s.Archive(ctx, q, []store.Ending{{Lease: &leases[3], Reason: seri.ReasonPermanent, Error: "gone"}}))
	_, err = s.Purge(ctx, q, 10, store.Keep{Archived: time.Hour, MaxArchived: 1, Events: time.Hour}) // which counts what it trims
	must(nil, err)
	must(nil, rdb.ZAdd(ctx, q.Archived(), redis.Z{Score: 1, Member: "ghost"}).Err())
	_, err = s.Turn(ctx, q, "w", time.Minute)
	must(nil, err)
	_, err = s.Sweep(ctx, q, time.Minute) // which counts what it repairs
	must(nil, err)
	must(nil, rdb.Set(ctx, q.Cursor(), 7, 24*time.Hour).Err()) // as of a search among more than 100,000 keys
	must(nil, s.Pause(ctx, q))

	name := "host:1:" + string(q)
	must(nil, s.Announce(ctx, store.Worker{
		Name: name, Types: []store.Type{{Name: "mail:send", Queues: []string{string(q)}}},
		Running: []wire.WorkerInfo{{TaskID: "running", TaskType: "mail:send", Queue: string(q)}},
	}, time.Minute))
	locks, lockName := lock.New(rdb), "lock-of-"+string(q)
	held, err := locks.Try(ctx, lockName, time.Minute)
	must(nil, err)
	guard, err := lock.NewGuard(rdb, lockName)
	must([]error{guard.Set(ctx, held.Token(), nil)}, err)
	waitInVain(t, rdb, lockName)
	leader := store.Leader{Lock: lockName, Token: held.Token()}
	_, err = s.Plan(ctx, q, leader, []store.Plan{{Schedule: "nightly", Revision: "r1", Next: time.Now().Add(time.Hour)}})
	must(nil, err)
	soon := time.Now()
	_, err = s.Fire(ctx, q, store.Leader{}, []store.Tick{{
		Schedule: "nightly", Revision: "r1", Asked: true, Tick: soon, Due: soon, Task: message("sched:nightly:" + fmt.Sprint(soon.Unix())),
	}})
	must(nil, err)
	must([]error{s.PauseSchedule(ctx, q, "nightly", "for repair"), s.SetFileRevision(ctx, leader, 1), s.SetServed(ctx, lockName, store.Served{Until: soon.Add(time.Minute)})}, err)
	_, err = partition.NewAgreement(rdb).Declare(ctx, string(q), 2)
	must(nil, err)
	_, err = consumers.New(rdb).Attach(ctx, string(q), map[string]events.Filter{"": {Queue: string(q)}})
	must(nil, err)
	digest := fmt.Sprintf("%064x", q)[:64]
	_, _, err = api.NewRedisIdempotency(rdb).Claim(ctx, digest, api.IdempotencyRecord{})
	must(nil, err)
	return q
}

// waitInVain waits for a held lock until the test ends, beside a bell that nobody hears.
func waitInVain(t *testing.T, rdb redis.UniversalClient, name string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	waited := make(chan struct{})
	go func() {
		defer close(waited)
		_, _ = lock.New(rdb).Acquire(ctx, name, time.Minute)
	}()
	t.Cleanup(func() { cancel(); <-waited })
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for rdb.ZCard(ctx, keys.LockQueue(name)).Val() == 0 {
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatal("nobody waits")
		}
	}
	bell := keys.LockBells(name) + "unheard"
	if err := errors.Join(rdb.RPush(ctx, bell, "1").Err(), rdb.PExpire(ctx, bell, 10*time.Second).Err()); err != nil {
		t.Fatal(err)
	}
}

func run(t *testing.T, rdb redis.UniversalClient) (faults []audit.Fault, summary audit.Summary) {
	t.Helper()
	summary, err := audit.Run(t.Context(), rdb, func(f audit.Fault) error {
		faults = append(faults, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return faults, summary
}

func TestEachKindOfFaultIsFound(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) {
		q := keys.Queue("faulty-" + redistest.Queue(t))
		ctx := t.Context()
		for _, err := range []error{
			rdb.Set(ctx, string("asynq:{"+q+"}:unheard"), "", 0).Err(),
			rdb.Set(ctx, string("seri:v0:{"+q+"}"), "", time.Hour).Err(),
			rdb.Set(ctx, q.Pending(), "", 0).Err(),
			rdb.Set(ctx, q.Unique("t", []byte("{}")), "id", 0).Err(),
			rdb.Set(ctx, q.Processed()+":2026-01-31", "1", time.Hour).Err(),
			rdb.Set(ctx, string("other:{"+q+"}"), "", 0).Err(),
			rdb.Set(ctx, string("ayri:{"+q+"}"), "", 0).Err(), // the glob lets it through
		} {
			if err != nil {
				t.Fatal(err)
			}
		}

		all, _ := run(t, rdb)

		found := map[string]string{}
		for _, f := range all {
			if strings.Contains(f.Key, string(q)) {
				found[f.Key] = f.Wrong
			}
		}
		for key, want := range map[string]string{
			string("asynq:{" + q + "}:unheard"): "is in no entry of the registry",
			string("seri:v0:{" + q + "}"):       "is in no entry of the registry",
			q.Pending():                         "is a string, should be a list; entry asynq:{q}:pending",
			q.Unique("t", []byte("{}")):         "never expires, should (the task's UniqueFor; while it runs, its lease at least); entry asynq:{q}:unique:<type>:<md5>",
		} {
			if found[key] != want {
				t.Errorf("%s %q, want %q", key, found[key], want)
			}
		}
		if len(found) != 4 {
			t.Errorf("found %q, want four faults", found)
		}
	})
}

func TestManyKeysAreWalkedOverInBatches(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t)
	const n = 5000
	_, err := rdb.Pipelined(t.Context(), func(pipe redis.Pipeliner) error {
		for i := range n {
			pipe.Set(t.Context(), fmt.Sprintf("seri:stray:%d", i), "", 0)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var calls atomic.Int64

	summary, err := audit.Run(t.Context(), rdb, func(audit.Fault) error { calls.Add(1); return nil })

	if err != nil || summary.Keys != n || summary.Faults != n || calls.Load() != n {
		t.Errorf("summary %+v, %d calls (%v), want %d keys", summary, calls.Load(), err, n)
	}
	enough := errors.New("enough")
	if _, err := audit.Run(t.Context(), rdb, func(audit.Fault) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("an error of the caller ends the audit with %v", err)
	}
}
