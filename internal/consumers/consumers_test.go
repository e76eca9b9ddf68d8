package consumers_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/consumers"
	"github.com/seri-queue/seri/internal/events"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redistest"
)

func each(t *testing.T, test func(t *testing.T, r *consumers.Registry, name string)) {
	t.Parallel()
	redistest.EachWithEmbedded(t, func(t *testing.T, rdb redis.UniversalClient) { test(t, consumers.New(rdb), redistest.Queue(t)) })
}

var everything = map[string]events.Filter{"": {}}

func attach(t *testing.T, r *consumers.Registry, name string) consumers.Consumer {
	t.Helper()
	c, err := r.Attach(t.Context(), name, everything)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTheLastWhoAttachesReads(t *testing.T) {
	each(t, func(t *testing.T, r *consumers.Registry, name string) {
		first, second := attach(t, r, name), attach(t, r, name)

		found, err := r.Find(t.Context(), name)

		if err != nil || second.Token <= first.Token || found.Token != second.Token {
			t.Errorf("first %+v, second %+v, found %+v, %v", first, second, found, err)
		}
	})
}

func TestANameIsAboutOneThing(t *testing.T) {
	each(t, func(t *testing.T, r *consumers.Registry, name string) {
		attach(t, r, name)

		_, err := r.Attach(t.Context(), name, map[string]events.Filter{"": {Queue: "q"}})

		if !errors.Is(err, consumers.ErrAbout) {
			t.Errorf("got %v", err)
		}
	})
}

func TestOnlyTheLastWhoAttachedAcknowledges(t *testing.T) {
	each(t, func(t *testing.T, r *consumers.Registry, name string) {
		first, second := attach(t, r, name), attach(t, r, name)

		_, acknowledged := r.Acknowledge(t.Context(), name, first.Token, "a@9-0:0")
		_, kept := r.Keep(t.Context(), name, first.Token)
		found, err := r.Keep(t.Context(), name, second.Token)

		if !errors.Is(acknowledged, consumers.ErrTaken) || !errors.Is(kept, consumers.ErrTaken) {
			t.Errorf("the first is told %v and %v", acknowledged, kept)
		}
		if err != nil || found.Cursor != "" {
			t.Errorf("the second is at %q, %v", found.Cursor, err)
		}
	})
}

// Or who read for a consumer before it was deleted would acknowledge for the next one of its name.
func TestTokensOutliveTheConsumer(t *testing.T) {
	each(t, func(t *testing.T, r *consumers.Registry, name string) {
		before := attach(t, r, name)
		if err := r.Remove(t.Context(), name); err != nil {
			t.Fatal(err)
		}

		if after := attach(t, r, name); after.Token <= before.Token {
			t.Errorf("%d is followed by %d", before.Token, after.Token)
		}
	})
}

func TestNamesAreChecked(t *testing.T) {
	each(t, func(t *testing.T, r *consumers.Registry, _ string) {
		for _, name := range []string{"", ".", "..", "-a", "a/b", "a b", "a{b}", "a\n", "ä", strings.Repeat("x", consumers.MaxName+1)} {
			if _, err := r.Attach(t.Context(), name, everything); !errors.Is(err, consumers.ErrName) {
				t.Errorf("%q: got %v", name, err)
			}
		}
		if err := consumers.CheckName("Billing-2_a.b:" + strings.Repeat("x", consumers.MaxName-14)); err != nil {
			t.Error(err)
		}
	})
}

func TestThereAreSoManyConsumers(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t)
	r := consumers.New(rdb)
	known := attach(t, r, "known")
	others := make([]redis.Z, 0, 1000)
	for i := range 999 {
		others = append(others, redis.Z{Score: float64(time.Now().Add(time.Hour).Unix()), Member: fmt.Sprint(i)})
	}
	others = append(others, redis.Z{Score: 1, Member: "long forgotten"})
	if err := rdb.ZAdd(t.Context(), keys.Consumers, others...).Err(); err != nil {
		t.Fatal(err)
	}

	_, refused := r.Attach(t.Context(), "new", everything)
	again := attach(t, r, "known")

	if !errors.Is(refused, consumers.ErrMany) || again.Token <= known.Token {
		t.Errorf("a new one: %v; one that is there: %+v", refused, again)
	}
	if err := r.Remove(t.Context(), "known"); err != nil {
		t.Fatal(err)
	}
	attach(t, r, "new")
}

// The cursors of a queue that is divided name its partitions.
func TestPartitionsAreAcknowledgedEach(t *testing.T) {
	each(t, func(t *testing.T, r *consumers.Registry, name string) {
		c, err := r.Attach(t.Context(), name, map[string]events.Filter{"": {Queue: "q"}})
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct{ acknowledged, want string }{
			{"5-0:1", "q@5-0:1"},
			{"q@6-0:0,q%3A1@4-0:0", "q@6-0:0,q%3A1@4-0:0"},
			{"q@5-0:0,q%3A1@4-0:1", "q@6-0:0,q%3A1@4-0:1"},
		} {
			got, err := r.Acknowledge(t.Context(), name, c.Token, step.acknowledged)

			if err != nil || got.Cursor != step.want {
				t.Errorf("after %s it is at %s (%v), want %s", step.acknowledged, got.Cursor, err, step.want)
			}
		}
	})
}

// A cursor that cannot be read again would begin anew.
func TestWhatIsAcknowledgedStaysReadable(t *testing.T) {
	each(t, func(t *testing.T, r *consumers.Registry, name string) {
		c := attach(t, r, name)
		places := make([]string, events.MaxCursorQueues)
		for i := range places {
			places[i] = fmt.Sprintf("q%03d@5-0:0", i)
		}
		full := strings.Join(places, ",")
		if _, err := r.Acknowledge(t.Context(), name, c.Token, full); err != nil {
			t.Fatal(err)
		}

		_, err := r.Acknowledge(t.Context(), name, c.Token, "another@5-0:0")

		if _, ok := errors.AsType[*consumers.CursorError](err); !ok {
			t.Errorf("got %v", err)
		}
		if found, err := r.Find(t.Context(), name); err != nil || found.Cursor != full {
			t.Errorf("it is at %.60s…, %v", found.Cursor, err)
		}
	})
}

func TestAcknowledgementsMoveForwardOnly(t *testing.T) {
	each(t, func(t *testing.T, r *consumers.Registry, name string) {
		token := attach(t, r, name).Token
		for _, c := range []struct{ acknowledged, want string }{
			{"a@5-0:1", "a@5-0:1"},
			{"a@4-0:9", "a@5-0:1"},
			{"b@1-0:0", "a@5-0:1,b@1-0:0"},
			{"a@6-0:0,b@0-9:0", "a@6-0:0,b@1-0:0"},
		} {
			got, err := r.Acknowledge(t.Context(), name, token, c.acknowledged)

			if err != nil || got.Cursor != c.want {
				t.Errorf("after %s it is at %s (%v), want %s", c.acknowledged, got.Cursor, err, c.want)
			}
		}
		if _, err := r.Acknowledge(t.Context(), name, token, "yesterday"); err == nil {
			t.Error("a malformed cursor was acknowledged")
		} else if _, ok := errors.AsType[*consumers.CursorError](err); !ok {
			t.Errorf("got %v", err)
		}
		found, err := r.Find(t.Context(), name)
		if err != nil || found.Cursor != "a@6-0:0,b@1-0:0" || found.At.IsZero() {
			t.Errorf("found %+v, %v", found, err)
		}
	})
}

func TestAcknowledgementsAtOnceAreAllKept(t *testing.T) {
	each(t, func(t *testing.T, r *consumers.Registry, name string) {
		token := attach(t, r, name).Token
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				if _, err := r.Acknowledge(t.Context(), name, token, fmt.Sprintf("q%d@5-0:0", i)); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()

		found, err := r.Find(t.Context(), name)

		want := "q0@5-0:0,q1@5-0:0,q2@5-0:0,q3@5-0:0,q4@5-0:0,q5@5-0:0,q6@5-0:0,q7@5-0:0"
		if err != nil || found.Cursor != want {
			t.Errorf("got %s, %v", found.Cursor, err)
		}
	})
}

func TestConsumersAreForgotten(t *testing.T) {
	each(t, func(t *testing.T, r *consumers.Registry, name string) {
		token := attach(t, r, name).Token
		if err := r.Remove(t.Context(), name); err != nil {
			t.Fatal(err)
		}

		_, found := r.Find(t.Context(), name)
		_, acknowledged := r.Acknowledge(t.Context(), name, token, "a@1-0:0")
		again := r.Remove(t.Context(), name)

		for _, err := range []error{found, acknowledged, again} {
			if !errors.Is(err, seri.ErrNotFound) {
				t.Errorf("got %v", err)
			}
		}
	})
}

func TestWhoMayNotKeepConsumersIsToldSo(t *testing.T) {
	t.Parallel()
	server := redistest.Exclusive(t)
	for rule, want := range map[string]string{"+@all": "", "-zremrangebyscore": "ZREMRANGEBYSCORE", "-hgetall": "HGETALL", "-time": "TIME"} {
		if err := server.Client().Do(t.Context(), "ACL", "SETUSER", "one", "reset", "on", ">pw", "+@all", "~seri:v1:{*", rule).Err(); err != nil {
			t.Fatal(err)
		}
		rdb := redis.NewClient(&redis.Options{Addr: server.Addr(), Username: "one", Password: "pw", MaxRetries: -1})

		err := consumers.New(rdb).Permitted(t.Context())

		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("with %s: got %v", rule, err)
		}
		rdb.Close()
	}
}
