package relay

import (
	"bytes"
	"context"
	"net"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/seri-queue/seri/internal/events"
	"github.com/seri-queue/seri/internal/pause"
	"github.com/seri-queue/seri/internal/redistest"
)

// soon is in which time something ends that waits for nobody; RabbitMQ ends a connection that is silent after ten seconds.
const soon = 7 * time.Second

// shortage dials connections that RabbitMQ treats as it does when it is short of memory or of disk: it reads nothing more from
// those on which something was published, and goes on to send, heartbeats included.
type shortage struct {
	mu    sync.Mutex
	short bool
	conns []*shortConn
}

type shortConn struct {
	net.Conn
	of        *shortage
	published bool
	held      []byte // that the server has not read
}

func (s *shortage) reach(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &shortConn{Conn: conn, of: s}
	s.conns = append(s.conns, c)
	return c, nil
}

// begin has RabbitMQ be short; on links something counts as published.
func (s *shortage) begin(links ...*rabbitLink) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.short = true
	for _, l := range links {
		l.network.(*shortConn).published = true
	}
}

func (s *shortage) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.short = false
	for _, c := range s.conns {
		_, _ = c.Conn.Write(c.held) // that has been given up, or the server learns of it now
		c.held = nil
	}
}

func (c *shortConn) Write(p []byte) (int, error) {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	c.published = c.published || bytes.Contains(p, []byte{0, 60, 0, 40, 0, 0}) // basic.publish
	if c.of.short && c.published {
		c.held = append(c.held, p...)
		return len(p), nil
	}
	return c.Conn.Write(p)
}

// short returns a broker that reaches its server over connections of a shortage.
func short(t *testing.T, direct *rabbitBroker) (*rabbitBroker, *shortage) {
	t.Helper()
	var s shortage
	b, err := openRabbit(t.Context(), direct.target, func(b *rabbitBroker) { b.reach = s.reach })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b.(*rabbitBroker), &s
}

// A server that reads nothing more sends nevertheless, and what it sends, heartbeats too, keeps the connection alive.
func TestAConnectionThatRabbitMQDoesNotReadIsGivenUp(t *testing.T) {
	t.Parallel()
	direct, q := rabbit(t)
	b, s := short(t, direct)
	var messages <-chan amqp.Delivery
	l, err := b.dial(t.Context(), func(l *rabbitLink) (err error) {
		if err = l.channel.Qos(unconfirmed, 0, false); err == nil {
			messages, err = l.channel.Consume(b.stream, "", false, false, false, false, nil)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var busy sync.WaitGroup
	defer busy.Wait()
	defer cancel()
	busy.Go(func() {
		for ctx.Err() == nil {
			_ = direct.Publish(ctx, recordsOf(q, 1))
			pause.For(ctx, 50*time.Millisecond)
		}
	})
	<-messages
	s.begin(l)

	begun := time.Now()
	l.end()

	if took := time.Since(begun); took > soon {
		t.Errorf("closing took %v", took)
	}
}

// Who reads is not held up by what keeps RabbitMQ from taking messages, his mark among them.
func TestReadingGoesOnWhileRabbitMQTakesNothing(t *testing.T) {
	t.Parallel()
	direct, q := rabbit(t)
	const batches, batch = 12, unconfirmed / 4 // so many, one after the other, that acknowledgements have to arrive
	for range batches {
		publish(t, direct, recordsOf(q, batch))
	}
	b, s := short(t, direct)
	s.begin()

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	all, caught, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	read := 0
	go func() {
		ended <- b.Read(ctx, "", time.Now().Add(-time.Hour), func() { close(caught) }, func(events.Record) error {
			if read++; read == batches*batch {
				close(all)
			}
			return nil
		})
	}()
	for _, c := range []struct {
		what string
		come <-chan struct{}
		then func()
	}{{"the records", all, s.end}, {"the end", caught, cancel}} {
		select {
		case <-c.come:
			c.then()
		case err := <-ended:
			t.Fatalf("reading has ended before %s came: %v", c.what, err)
		}
	}
	<-ended
}

// A server may take connections and say nothing, or nothing more.
func TestConnectingToRabbitMQEndsWithItsContext(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	at, err := parse("amqp://guest:guest@" + listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b := &rabbitBroker{target: at, reach: new(net.Dialer).DialContext}
	for name, call := range map[string]func(ctx context.Context) error{
		"Publish": func(ctx context.Context) error { return b.Publish(ctx, recordsOf(redistest.Queue(t), 1)) },
		"Read": func(ctx context.Context) error {
			return b.Read(ctx, "", time.Now(), func() {}, func(events.Record) error { return nil })
		},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		begun := time.Now()
		err := call(ctx)
		cancel()
		if took := time.Since(begun); err == nil || took > soon {
			t.Errorf("%s: %v after %v", name, err, took)
		}
	}
}
