package relay

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seri-queue/seri/internal/events"
)

// natsBroker relays into a stream of NATS JetStream: a subject for each queue.
type natsBroker struct {
	target
	servers string
	options []nats.Option // of every connection
	conn    *nats.Conn    // for all but publishing
	stream  jetstream.Stream

	mu  sync.Mutex
	out *natsLink // for publishing; nil: there is none, or no longer
}

// natsLink is a connection that breaks for good: one that connects again would send what comes after what was lost on the way,
// before that is repeated.
type natsLink struct {
	conn   *nats.Conn
	js     jetstream.JetStream
	broken chan struct{} // is closed then
}

// confirmed is how long NATS may take to confirm one message.
const confirmed = 10 * time.Second

func openNATS(ctx context.Context, t target, more ...nats.Option) (Broker, error) {
	servers := []string{t.url.String()}
	for _, addr := range t.more {
		other := *t.url
		other.Host = addr
		servers = append(servers, other.String())
	}
	b := &natsBroker{target: t, servers: strings.Join(servers, ","), options: append([]nats.Option{nats.Name("seri")}, more...)}
	conn, err := nats.Connect(b.servers, slices.Concat(b.options, []nats.Option{nats.MaxReconnects(-1), nats.ReconnectWait(250 * time.Millisecond)})...)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", t.name(), err)
	}
	b.conn = conn
	js, err := jetstream.New(conn)
	if err == nil {
		b.stream, err = js.Stream(ctx, t.stream)
	}
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		b.stream, err = js.CreateStream(ctx, jetstream.StreamConfig{
			Name: t.stream, Subjects: []string{b.all()}, MaxAge: t.keep, Replicas: t.copies, Duplicates: min(t.keep, 10*time.Minute),
			Description: "events of Seri, one CloudEvent a message",
		})
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("stream %q of %s: %w", t.stream, t.address(), err)
	}
	return b, nil
}

// Name implements Broker.
func (b *natsBroker) Name() string { return b.name() }

// Close implements Broker.
func (b *natsBroker) Close() {
	b.conn.Close()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.out != nil {
		b.out.conn.Close()
	}
}

// all is every subject of the stream.
func (b *natsBroker) all() string { return b.target.stream + ".>" }

// subject is that of one queue. What has a meaning in subjects is percent-encoded.
func (b *natsBroker) subject(queue string) string {
	return b.target.stream + "." + strings.ReplaceAll(url.QueryEscape(queue), ".", "%2E")
}

// link returns the connection for publishing.
func (b *natsBroker) link() (*natsLink, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.out != nil && !b.out.conn.IsClosed() {
		return b.out, nil
	}
	l := &natsLink{broken: make(chan struct{})}
	var err error
	l.conn, err = nats.Connect(b.servers, slices.Concat(b.options, []nats.Option{
		nats.NoReconnect(), nats.ClosedHandler(func(*nats.Conn) { close(l.broken) }),
	})...)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", b.name(), err)
	}
	l.js, err = jetstream.New(l.conn, jetstream.WithPublishAsyncMaxPending(4096), jetstream.WithPublishAsyncTimeout(confirmed))
	if err != nil {
		l.conn.Close()
		return nil, err
	}
	b.out = l
	return l, nil
}

// Publish implements Broker. After an error nothing more is sent on that connection; the server drops what it has twice, and so
// keeps the order in which everything was sent first.
func (b *natsBroker) Publish(ctx context.Context, records []events.Record) error {
	l, err := b.link()
	if err != nil {
		return err
	}
	if err := b.publish(ctx, l, records); err != nil {
		l.conn.Close()
		return err
	}
	return nil
}

func (b *natsBroker) publish(ctx context.Context, l *natsLink, records []events.Record) error {
	futures := make([]jetstream.PubAckFuture, len(records))
	for i := range records {
		m := nats.NewMsg(b.subject(records[i].Queue))
		for _, h := range headers(&records[i]) {
			m.Header[h[0]] = []string{h[1]}
		}
		m.Header.Set(nats.MsgIdHdr, records[i].ID)
		m.Data = records[i].Body
		var err error
		if futures[i], err = l.js.PublishMsgAsync(m, jetstream.WithStallWait(confirmed), jetstream.WithRetryAttempts(0)); err != nil {
			return err
		}
	}
	for _, f := range futures {
		select {
		case <-f.Ok():
		case err := <-f.Err():
			return err
		case <-l.broken:
			return nats.ErrConnectionClosed
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// Read implements [events.Source].
func (b *natsBroker) Read(ctx context.Context, queue string, from time.Time, caught func(), each func(events.Record) error) error {
	subject := b.all()
	if queue != "" {
		subject = b.subject(queue)
	}
	last, err := b.stream.GetLastMsgForSubject(ctx, subject)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		last = &jetstream.RawStreamMsg{}
	case err != nil:
		return fmt.Errorf("look for the last event: %w", err)
	}
	consumer, err := b.stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{subject}, DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &from,
	})
	if err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	messages, err := consumer.Messages()
	if err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	defer messages.Stop()
	defer context.AfterFunc(ctx, messages.Stop)()
	behind := last.Sequence > 0 && !last.Time.Before(from)
	if !behind {
		caught()
	}
	for {
		m, err := messages.Next()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			return fmt.Errorf("read events: %w", err)
		}
		about, err := m.Metadata()
		if err != nil {
			return fmt.Errorf("read events: %w", err)
		}
		header := m.Headers()
		r, err := read(func(name string) string { return header.Get(name) }, m.Data())
		if err == nil { // others are not ours
			r.Time = about.Timestamp
			if err := each(r); err != nil {
				return err
			}
		}
		if behind && (about.Sequence.Stream >= last.Sequence || about.NumPending == 0) { // the last one may be deleted meanwhile
			behind = false
			caught()
		}
	}
}
