package relay

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seri-queue/seri/internal/events"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/pause"
	"github.com/seri-queue/seri/internal/redistest"
)

// recordsOf returns n records of a queue.
func recordsOf(queue string, n int) []events.Record {
	records := make([]events.Record, n)
	for i := range records {
		records[i] = events.Record{
			ID: fmt.Sprintf("%s-%d", queue, i+1), Queue: queue, Key: fmt.Sprintf("t%d", i+1), Type: "dev.seri.task.enqueued", Of: 1,
			Time: time.Now(), Body: []byte(`{"text":"` + strings.Repeat("x", 500) + `"}`),
		}
	}
	return records
}

// publish hands records over as a relay does, again and again.
func publish(t *testing.T, b Broker, records []events.Record) (failures int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		err := b.Publish(ctx, records)
		if err == nil {
			return failures
		}
		failures++
		if ctx.Err() != nil {
			t.Fatal(err)
		}
		pause.For(ctx, 10*time.Millisecond)
	}
}

// lossy dials connections of which one, once that is wanted, loses what is written and breaks.
type lossy struct {
	mu     sync.Mutex
	writes int // until one is lost; 0: none will be
	lost   net.Conn
}

func (l *lossy) Dial(network, addr string) (net.Conn, error) {
	conn, err := net.Dial(network, addr)
	return &lossyConn{conn, l}, err
}

func (l *lossy) lose(after int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writes = after
}

func (l *lossy) hasLost() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost != nil
}

type lossyConn struct {
	net.Conn
	of *lossy
}

func (c *lossyConn) Write(p []byte) (int, error) {
	c.of.mu.Lock()
	if c.of.lost == c { // nobody has noticed yet
		c.of.mu.Unlock()
		return len(p), nil
	}
	if c.of.writes > 0 && len(p) > 1000 { // of messages, not of pings
		if c.of.writes--; c.of.writes == 0 {
			c.of.lost = c
			c.of.mu.Unlock()
			c.Conn.Close()
			return len(p), nil
		}
	}
	c.of.mu.Unlock()
	return c.Conn.Write(p)
}

func TestNATSKeepsTheOrderWhenAConnectionBreaksInABatch(t *testing.T) {
	t.Parallel()
	s := brokers["nats"](t)
	direct := s.relay(t) // made the stream
	at, err := parse("nats://" + natsServer.get(t).addr + "?stream=" + direct.(*natsBroker).target.stream)
	if err != nil {
		t.Fatal(err)
	}
	var network lossy
	b, err := openNATS(t.Context(), at, nats.SetCustomDialer(&network))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	q := redistest.Queue(t)
	publish(t, b, recordsOf(q+"-first", 1))
	records := recordsOf(q, 6000) // some of which are sent after the loss was noticed: no more than 4096 are under way

	network.lose(3)
	publish(t, b, records)

	if !network.hasLost() {
		t.Fatal("nothing was lost on the way")
	}
	var got, want []string
	for _, r := range relayed(t, direct, is(q, "t6000")) {
		if r.Queue == q {
			got = append(got, r.Key)
		}
	}
	for _, r := range records {
		want = append(want, r.Key)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %d records, in another order than that of the %d that were published", len(got), len(want))
	}
}

// What is stuck can be ended, whatever it is that is stuck.
func TestPublishEndsWithItsContext(t *testing.T) {
	eachBroker(t, func(t *testing.T, open func(t *testing.T) site) {
		s := open(t)
		b := s.gateway(t)
		q := redistest.Queue(t)
		publish(t, b, recordsOf(q, 1))
		s.cut()

		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		begun := time.Now()
		err := b.Publish(ctx, recordsOf(q, 2))
		if took := time.Since(begun); err == nil || took > 20*time.Second {
			t.Errorf("%v after %v", err, took)
		}

		s.heal()
		publish(t, b, recordsOf(q, 3))
		relayed(t, b, is(q, "t3"))
	})
}

func rabbit(t *testing.T) (*rabbitBroker, string) {
	t.Helper()
	b := brokers["rabbitmq"](t).relay(t).(*rabbitBroker)
	return b, redistest.Queue(t)
}

func TestAStreamOfRabbitMQThatWasDeletedIsMadeAnew(t *testing.T) {
	t.Parallel()
	b, q := rabbit(t)
	publish(t, b, recordsOf(q, 1))
	conn, err := amqp.Dial(b.url.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	channel, err := conn.Channel()
	if err == nil {
		_, err = channel.QueueDelete(b.stream, false, false, false)
	}
	if err != nil {
		t.Fatal(err)
	}

	if failures := publish(t, b, recordsOf(q, 2)); failures == 0 {
		t.Error("what no stream has taken counts as confirmed")
	}
	relayed(t, b, is(q, "t2"))
}

func TestIDsMayBeLong(t *testing.T) {
	eachBroker(t, func(t *testing.T, open func(t *testing.T) site) {
		b, q := open(t).relay(t), redistest.Queue(t)
		records := recordsOf(q, 1)
		records[0].ID = strings.Repeat("i", 400)
		publish(t, b, records)
		all := relayed(t, b, is(q, "t1"))
		if got := all[len(all)-1].ID; got != records[0].ID {
			t.Errorf("got ID %q", got)
		}
	})
}

// silent is a broker that takes the first batch and does not confirm it.
type silent struct {
	counting
	once sync.Once
}

func (s *silent) Publish(ctx context.Context, records []events.Record) (err error) {
	s.once.Do(func() {
		<-ctx.Done()
		err = context.Cause(ctx)
	})
	return errors.Join(err, s.counting.Publish(ctx, records))
}

func TestABatchThatIsNotConfirmedIsRepeated(t *testing.T) {
	t.Parallel()
	rdb, q := redistest.New(t), redistest.Queue(t)
	var b silent
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	r := New(rdb, &b, Config{Lease: time.Second, Logger: slog.New(slog.DiscardHandler), unanswered: 100 * time.Millisecond})
	go func() {
		defer close(ended)
		_ = r.Run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-ended })
	enqueue(t, rdb, q, 1, 1)
	b.await(t, 2)
}

// logged counts warnings.
type logged struct {
	slog.Handler
	mu       sync.Mutex
	warnings []string
}

func (l *logged) Enabled(context.Context, slog.Level) bool { return true }
func (l *logged) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *logged) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.Level >= slog.LevelWarn {
		l.warnings = append(l.warnings, r.Message)
	}
	return nil
}

func (l *logged) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.warnings)
}

// until waits for something to be so.
func until(t *testing.T, what string, so func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for !so() {
		if !pause.For(ctx, 5*time.Millisecond) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

func TestAFaultThatStaysIsLoggedOnce(t *testing.T) {
	t.Parallel()
	rdb := redistest.Exclusive(t).Client()
	if err := rdb.HSet(t.Context(), keys.LockGuard(Lock), "token", "1", "value", "not JSON").Err(); err != nil {
		t.Fatal(err)
	}
	token := func() uint64 {
		n, _ := rdb.Get(t.Context(), keys.LockFence(Lock)).Uint64()
		return n
	}
	var log logged
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = New(rdb, &counting{}, Config{Lease: time.Second, Logger: slog.New(&log)}).Run(ctx)
	}()
	leads, last := 0, uint64(0)
	until(t, "the lead was taken five times", func() bool {
		if now := token(); now != last {
			leads, last = leads+1, now
		}
		return leads == 5
	})
	cancel()
	<-ended
	if got := log.all(); len(got) != 1 {
		t.Errorf("logged %q", got)
	}
}

func TestARelayThatCannotLookForQueuesKeepsTheLead(t *testing.T) {
	t.Parallel()
	rdb, q := redistest.Exclusive(t).Client(), redistest.Queue(t)
	var log logged
	var b counting
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = New(rdb, &b, Config{Lease: time.Second, Logger: slog.New(&log)}).Run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-ended })
	enqueue(t, rdb, q, 1, 1)
	b.await(t, 1)
	before := rdb.Get(t.Context(), keys.LockFence(Lock)).Val()

	if err := rdb.Do(t.Context(), "ACL", "SETUSER", "default", "-smembers").Err(); err != nil {
		t.Fatal(err)
	}
	until(t, "the fault is logged", func() bool { return len(log.all()) > 0 })
	enqueue(t, rdb, q, 2, 2)
	b.await(t, 2)

	if after := rdb.Get(t.Context(), keys.LockFence(Lock)).Val(); after != before {
		t.Errorf("the lead was given up: %q", log.all())
	}
}

func TestWhatARelayMayNotDoIsFoundAtTheStart(t *testing.T) {
	t.Parallel()
	server := redistest.Exclusive(t)
	rules := []any{"ACL", "SETUSER", "relay", "reset", "on", ">pw", "+@all", "%R~asynq:queues", "~seri:v1:{*}:events", "~seri:v1:lock:{relay}", "~seri:v1:lock:{relay}:*"}
	for _, c := range []struct {
		without any
		want    string // in the error; empty: there is none
	}{{"+@all", ""}, {"-hset", "HSET"}, {"-xinfo", "XINFO"}, {"-xread", "XREAD"}, {"-smembers", "SMEMBERS"}, {"-hmget", "HMGET"}, {"-blpop", "BLPOP"}} {
		if err := server.Client().Do(t.Context(), append(slices.Clone(rules), c.without)...).Err(); err != nil {
			t.Fatal(err)
		}
		rdb := redis.NewClient(&redis.Options{Addr: server.Addr(), Username: "relay", Password: "pw"})
		err := New(rdb, &counting{}, Config{}).Permitted(t.Context())
		rdb.Close()
		if (err == nil) != (c.want == "") || !strings.Contains(fmt.Sprint(err), c.want) && c.want != "" {
			t.Errorf("%s: got %v, want %q", c.without, err, c.want)
		}
	}
}

// stalling dials connections of which nothing more is read, once that is wanted, after so many bytes, until it is released.
type stalling struct {
	mu       sync.Mutex
	left     int // bytes, while it is armed
	armed    bool
	reached  chan struct{} // is closed when nothing more is read
	released chan struct{}
}

func (s *stalling) Dial(network, addr string) (net.Conn, error) {
	conn, err := net.Dial(network, addr)
	return &stallingConn{conn, s}, err
}

func (s *stalling) arm(bytes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left, s.armed = bytes, true
}

// pass counts what was read; it waits if that was too much.
func (s *stalling) pass(n int) {
	s.mu.Lock()
	before := s.left
	s.left -= n
	stalled := s.armed && s.left < 0
	if stalled && before >= 0 {
		close(s.reached)
	}
	s.mu.Unlock()
	if stalled {
		<-s.released
	}
}

type stallingConn struct {
	net.Conn
	of *stalling
}

func (c *stallingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.of.pass(n)
	return n, err
}

// A network or a broker that is silent for a while has not said that nothing more is there.
func TestSilenceIsNotTakenForTheEnd(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(ctx context.Context, direct Broker, network *stalling) (Broker, error){
		"nats": func(ctx context.Context, direct Broker, network *stalling) (Broker, error) {
			return openNATS(ctx, direct.(*natsBroker).target, nats.SetCustomDialer(network))
		},
		"rabbitmq": func(ctx context.Context, direct Broker, network *stalling) (Broker, error) {
			return openRabbit(ctx, direct.(*rabbitBroker).target, func(b *rabbitBroker) {
				b.reach = func(_ context.Context, kind, addr string) (net.Conn, error) { return network.Dial(kind, addr) }
			})
		},
		"kafka": func(ctx context.Context, direct Broker, network *stalling) (Broker, error) {
			dial := func(_ context.Context, kind, addr string) (net.Conn, error) { return network.Dial(kind, addr) }
			return openKafka(ctx, direct.(*kafkaBroker).target, kgo.Dialer(dial))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			direct, q := brokers[name](t).relay(t), redistest.Queue(t)
			const sent = 2000
			records := recordsOf(q, sent)
			for i := range records { // a megabyte that cannot be compressed
				noise := make([]byte, 375)
				rand.Read(noise)
				records[i].Body = fmt.Appendf(nil, `{"text":%q}`, base64.StdEncoding.EncodeToString(noise))
			}
			publish(t, direct, records)
			network := &stalling{reached: make(chan struct{}), released: make(chan struct{})}
			b, err := open(t.Context(), direct, network)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(b.Close)
			network.arm(200_000)

			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			read, caught, ended := 0, make(chan int, 1), make(chan error, 1)
			go func() {
				ended <- b.Read(ctx, "", time.Now().Add(-time.Hour), func() { caught <- read }, func(events.Record) error { read++; return nil })
			}()
			await := func() {
				select {
				case n := <-caught:
					if n != sent {
						t.Errorf("after %d of %d records it says that it has had all", n, sent)
					}
				case err := <-ended:
					t.Fatal(err)
				}
			}
			select {
			case <-network.reached:
			case err := <-ended:
				t.Fatal(err)
			}
			select {
			case n := <-caught:
				t.Errorf("while the network is silent it says that it has had all, of which there are %d", n)
				close(network.released)
			case <-time.After(1500 * time.Millisecond): // longer than what was once taken for the end
				close(network.released)
				await()
			}
			cancel()
			<-ended
		})
	}
}
