package relay

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seri-queue/seri/internal/events"
)

// natsBroker relays into a stream of NATS JetStream: a subject for each queue.
type natsBroker struct {
	target
	conn   *nats.Conn
	js     jetstream.JetStream
	stream jetstream.Stream
}

func openNATS(ctx context.Context, t target) (Broker, error) {
	servers := []string{t.url.String()}
	for _, addr := range t.more {
		other := *t.url
		other.Host = addr
		servers = append(servers, other.String())
	}
	conn, err := nats.Connect(strings.Join(servers, ","), nats.Name("seri"), nats.MaxReconnects(-1), nats.ReconnectWait(250*time.Millisecond))
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", t.name(), err)
	}
	b := &natsBroker{target: t, conn: conn}
	if b.js, err = jetstream.New(conn, jetstream.WithPublishAsyncMaxPending(4096)); err == nil {
		b.stream, err = b.js.Stream(ctx, t.stream)
	}
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		b.stream, err = b.js.CreateStream(ctx, jetstream.StreamConfig{
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
func (b *natsBroker) Close() { b.conn.Close() }

// all is every subject of the stream.
func (b *natsBroker) all() string { return b.target.stream + ".>" }

// subject is that of one queue. What has a meaning in subjects is percent-encoded.
func (b *natsBroker) subject(queue string) string {
	return b.target.stream + "." + strings.ReplaceAll(url.QueryEscape(queue), ".", "%2E")
}

// Publish implements Broker.
func (b *natsBroker) Publish(ctx context.Context, records []events.Record) error {
	futures := make([]jetstream.PubAckFuture, len(records))
	for i := range records {
		m := nats.NewMsg(b.subject(records[i].Queue))
		for _, h := range headers(&records[i]) {
			m.Header[h[0]] = []string{h[1]}
		}
		m.Header.Set(nats.MsgIdHdr, records[i].ID)
		m.Data = records[i].Body
		var err error
		if futures[i], err = b.js.PublishMsgAsync(m); err != nil {
			return err
		}
	}
	for _, f := range futures {
		select {
		case <-f.Ok():
		case err := <-f.Err():
			return err
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
		if behind && about.Sequence.Stream >= last.Sequence {
			behind = false
			caught()
		}
	}
}
