package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/events"
	"github.com/seri-queue/seri/internal/events/eventstest"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/meter"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/internal/store"
	"github.com/seri-queue/seri/internal/wire"
)

// streamOf returns the name of a stream of the test's own.
func streamOf(t *testing.T) string {
	return "seri-" + strings.ToLower(regexp.MustCompile(`[^A-Za-z0-9]+`).ReplaceAllString(redistest.Queue(t), "-"))
}

// eachBroker runs a test with every broker.
func eachBroker(t *testing.T, test func(t *testing.T, open func(t *testing.T) site)) {
	t.Helper()
	t.Parallel()
	for name, open := range brokers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open)
		})
	}
}

// running runs a relay until the function that it returns is called, or the test ends.
func running(t *testing.T, rdb redis.UniversalClient, b Broker) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	r := New(rdb, b, Config{Lease: time.Second, Logger: slog.New(slog.DiscardHandler)})
	go func() {
		defer close(ended)
		_ = r.Run(ctx)
	}()
	stop = func() { cancel(); <-ended }
	t.Cleanup(stop)
	return stop
}

func TestGatewaysFedFromBrokersKeepTheirPromises(t *testing.T) {
	eachBroker(t, func(t *testing.T, open func(t *testing.T) site) {
		eventstest.Conform(t, func(t *testing.T) *eventstest.Site {
			s, rdb := open(t), redistest.Exclusive(t).Client()
			running(t, rdb, s.relay(t))
			return &eventstest.Site{
				Store: store.New(rdb, store.Config{}),
				Open: func(t *testing.T) events.Transport {
					b := s.gateway(t)
					transport, err := events.FromSource(b.Name(), b, rdb)
					if err != nil {
						t.Fatal(err)
					}
					return transport
				},
				Cut: s.cut, Heal: s.heal,
				Flush: func() {
					if err := rdb.FlushAll(t.Context()).Err(); err != nil {
						t.Error(err)
					}
				},
			}
		})
	})
}

// enqueue stores tasks named first to last, all in one call.
func enqueue(t *testing.T, rdb redis.UniversalClient, queue string, first, last int) {
	t.Helper()
	var tasks []seri.Message
	for i := first; i <= last; i++ {
		tasks = append(tasks, seri.Message{ID: fmt.Sprintf("t%d", i), Type: "mail:send", Queue: queue, Payload: []byte("{}")})
	}
	errs, err := store.New(rdb, store.Config{}).Enqueue(t.Context(), keys.Queue(queue), tasks)
	if err := errors.Join(append(errs, err)...); err != nil {
		t.Fatal(err)
	}
}

// relayed reads everything in a broker until something is so, and returns the IDs and the types of the events.
func relayed(t *testing.T, b Broker, until func(r events.Record) bool) (all []events.Record) {
	t.Helper()
	enough := errors.New("enough")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		all = nil
		attempt, cancel := context.WithTimeout(ctx, patience/4) // a gateway's network would be cut sooner or later, too
		err := b.Read(attempt, "", time.Now().Add(-time.Hour), func() {}, func(r events.Record) error {
			all = append(all, r)
			if until(r) {
				return enough
			}
			return nil
		})
		cancel()
		if errors.Is(err, enough) {
			return all
		}
		t.Logf("an attempt to read ended after %d records: %v", len(all), err)
		if ctx.Err() != nil {
			t.FailNow()
		}
	}
}

func is(queue, task string) func(events.Record) bool {
	return func(r events.Record) bool { return r.Queue == queue && r.Key == task }
}

// A relay that is ended at any moment, and another that goes on: nothing is missing, and nothing but the last batch is repeated.
func TestRelayGoesOnWhereAnotherHasEnded(t *testing.T) {
	eachBroker(t, func(t *testing.T, open func(t *testing.T) site) {
		s, rdb, q := open(t), redistest.New(t), redistest.Queue(t)
		b := s.relay(t)
		const rounds, batch = 8, 25

		for i := range rounds {
			stop := running(t, rdb, b)
			enqueue(t, rdb, q, i*batch+1, (i+1)*batch)
			if i%2 == 0 {
				relayed(t, b, is(q, fmt.Sprintf("t%d", i*batch+1)))
			}
			stop()
		}
		running(t, rdb, b)
		all := relayed(t, b, is(q, fmt.Sprintf("t%d", rounds*batch)))

		var order []string
		seen := make(map[string]int)
		for _, r := range all {
			if r.Queue != q {
				continue
			}
			if seen[r.ID]++; seen[r.ID] == 1 {
				order = append(order, r.Key)
			}
		}
		var want []string
		for i := 1; i <= rounds*batch; i++ {
			want = append(want, fmt.Sprintf("t%d", i))
		}
		if !slices.Equal(order, want) {
			t.Errorf("got  %v\nwant %v", order, want)
		}
		for id, n := range seen {
			if n > 2 {
				t.Errorf("%s came %d times", id, n)
			}
		}
	})
}

func TestOneRelayWorksAtATime(t *testing.T) {
	t.Parallel()
	rdb, q := redistest.New(t), redistest.Queue(t)
	var counted counting
	for range 3 {
		running(t, rdb, &counted)
	}

	enqueue(t, rdb, q, 1, 1)
	counted.await(t, 1)
	for i := 2; i <= 40; i++ {
		enqueue(t, rdb, q, i, i)
	}
	counted.await(t, 40)

	counted.mu.Lock()
	defer counted.mu.Unlock()
	if len(counted.records) != 40 {
		t.Errorf("three relays have relayed 40 events %d times", len(counted.records))
	}
}

func TestLostStreamIsAnnounced(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lose func(t *testing.T, rdb redis.UniversalClient, q keys.Queue)
		want string
	}{
		"trimmed": {func(t *testing.T, rdb redis.UniversalClient, q keys.Queue) {
			enqueue(t, rdb, string(q), 2, 2)
			enqueue(t, rdb, string(q), 3, 3)
			if err := rdb.XTrimMaxLen(t.Context(), q.Events(), 1).Err(); err != nil {
				t.Fatal(err)
			}
		}, wire.TypeGap},
		"deleted": {func(t *testing.T, rdb redis.UniversalClient, q keys.Queue) {
			if err := rdb.Del(t.Context(), q.Events()).Err(); err != nil {
				t.Fatal(err)
			}
		}, wire.TypeReset},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rdb, q := redistest.New(t), keys.Queue(redistest.Queue(t))
			var counted counting
			stop := running(t, rdb, &counted)
			enqueue(t, rdb, string(q), 1, 1)
			counted.await(t, 1)
			counted.saved(t, rdb, q)
			stop()
			c.lose(t, rdb, q)

			running(t, rdb, &counted)
			counted.await(t, 2)

			counted.mu.Lock()
			defer counted.mu.Unlock()
			if got := counted.records[1]; got.Type != c.want || got.Of != 0 || got.Queue != string(q) {
				t.Errorf("got %+v, want %s", got, c.want)
			}
		})
	}
}

// told is the last value of each figure.
type told map[*meter.Family]float64

func (f told) Value(of *meter.Family, value float64, _ ...string) { f[of] = value }
func (f told) Histogram(*meter.Family, meter.Snapshot, ...string) {}

func behindOf(ctx context.Context, r *Relay) told {
	f := make(told)
	r.Measure(ctx, f)
	return f
}

func TestHowFarRelayingIsBehindIsTold(t *testing.T) {
	t.Parallel()
	rdb, q := redistest.New(t), keys.Queue(redistest.Queue(t))
	var b counting
	waiting := New(rdb, &b, Config{}) // does not run, and tells nevertheless
	now, err := rdb.Time(t.Context()).Result()
	if err != nil {
		t.Fatal(err)
	}
	hourAgo := fmt.Sprintf("%d-0", now.Add(-time.Hour).UnixMilli())
	if err := rdb.XAdd(t.Context(), &redis.XAddArgs{Stream: q.Events(), ID: hourAgo, Values: []string{"e", "[]"}}).Err(); err != nil {
		t.Fatal(err)
	}
	enqueue(t, rdb, string(q), 1, 1)
	enqueue(t, rdb, string(q), 2, 2)
	got := behindOf(t.Context(), waiting)
	if oldest := got[meter.RelayBehind]; oldest < 3600 || oldest > 3660 {
		t.Errorf("before: %v s, want an hour", oldest)
	}

	running(t, rdb, &b)
	until(t, "all is relayed", func() bool {
		oldest, isTold := behindOf(t.Context(), waiting)[meter.RelayBehind]
		return isTold && oldest == 0
	})

	if err := rdb.HSet(t.Context(), keys.LockGuard(Lock), "value", "not JSON").Err(); err != nil {
		t.Fatal(err)
	}
	if got := behindOf(t.Context(), waiting); len(got) != 0 {
		t.Errorf("what cannot be known is told as %v", got)
	}
}

// counting is a broker that keeps records in memory.
type counting struct {
	mu      sync.Mutex
	records []events.Record
	more    chan struct{}
}

func (c *counting) Name() string { return "counting" }
func (c *counting) Close()       {}
func (c *counting) Read(context.Context, string, time.Time, func(), func(events.Record) error) error {
	return errors.New("nothing can be read here")
}

func (c *counting) Publish(_ context.Context, records []events.Record) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.records = append(c.records, records...)
	if c.more != nil {
		close(c.more)
		c.more = nil
	}
	return nil
}

// await waits until there are n records.
func (c *counting) await(t *testing.T, n int) {
	t.Helper()
	timeout := time.After(patience)
	for {
		c.mu.Lock()
		if len(c.records) >= n {
			c.mu.Unlock()
			return
		}
		if c.more == nil {
			c.more = make(chan struct{})
		}
		more := c.more
		c.mu.Unlock()
		select {
		case <-more:
		case <-timeout:
			t.Fatalf("waited for %d records", n)
		}
	}
}

// saved waits until Redis has where the queue was relayed to.
func (c *counting) saved(t *testing.T, rdb redis.UniversalClient, q keys.Queue) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		if value := rdb.HGet(t.Context(), keys.LockGuard(Lock), "value").Val(); strings.Contains(value, string(q)) {
			return
		}
	}
}

func TestBrokersAreNamedWithoutSecrets(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"nats://s3cret@127.0.0.1:4222", "amqp://user:s3cret@127.0.0.1:5672/vhost", "tls://s3cret:s3cret@127.0.0.1:4222"} {
		got, err := parse(text)
		if err != nil || strings.Contains(got.name(), "s3cret") || !strings.Contains(got.name(), "127.0.0.1") {
			t.Errorf("%s is named %q, %v", text, got.name(), err)
		}
	}
}

func TestURLsOfBrokersAreChecked(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"nats://127.0.0.1:4222": "",
		"kafka://a:9092?addr=b:9092&stream=s&partitions=3&keep=1h": "",
		"amqp://guest:guest@localhost/?replicas=3":                 "",
		"http://127.0.0.1":            "should be nats://",
		"nats://127.0.0.1?keep=soon":  "keep is",
		"kafka://a:9092?partitions=0": "partitions is",
		"nats://127.0.0.1?strem=x":    `no setting "strem"`,
		"nats://a?partitions=3":       `"partitions" has no meaning with nats://`,
		"amqp://a?partitions=3":       `"partitions" has no meaning with amqp://`,
		"amqps://a?addr=b:5671":       `"addr" has no meaning with amqps://`,
		"kafka://user:secret@a:9092":  "knows no SASL",
	} {
		err := Check(text)
		if got := fmt.Sprint(err); (err == nil) != (want == "") || !strings.Contains(got, want) && want != "" {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}
