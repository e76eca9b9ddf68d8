package relay

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/seri-queue/seri/internal/events"
)

// rabbitBroker relays into a stream of RabbitMQ, by AMQP 0.9.1.
type rabbitBroker struct {
	target
	config amqp.Config

	mu      sync.Mutex
	conn    *amqp.Connection // for publishing; nil: there is none, or no longer
	channel *amqp.Channel
	lost    <-chan bool // of the channel: see returned
}

const (
	// unconfirmed bounds what a consumer has been sent and has not taken, which streams ask for.
	unconfirmed = 1000
	// markAgain is after how long a reader that has not come to the end writes another mark, which wakes a server that has
	// forgotten him.
	markAgain = 10 * time.Second
	// farewell bounds the wait for a server that is told that a connection ends.
	farewell = time.Second
)

func openRabbit(_ context.Context, t target, more ...func(*amqp.Config)) (Broker, error) {
	b := &rabbitBroker{target: t, config: amqp.Config{
		Heartbeat: 5 * time.Second, Locale: "en_US", Properties: amqp.Table{"connection_name": "seri"}, Dial: amqp.DefaultDial(10 * time.Second),
	}}
	for _, change := range more {
		change(&b.config)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, err := b.publisher(); err != nil {
		return nil, err
	}
	return b, nil
}

// Name implements Broker.
func (b *rabbitBroker) Name() string { return b.name() }

// Close implements Broker.
func (b *rabbitBroker) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hangUp()
}

// hangUp lets go of the publisher's connection. The lock is held.
func (b *rabbitBroker) hangUp() {
	if b.conn != nil {
		end(b.conn)
	}
	b.conn, b.channel, b.lost = nil, nil, nil
}

// end gives a connection up, whether or not the server still answers.
func end(conn *amqp.Connection) { _ = conn.CloseDeadline(time.Now().Add(farewell)) }

// returned watches for messages that a channel could not deliver, which are confirmed nevertheless: their stream is gone. What
// it returns says whether there were any by now. A message comes back before it is confirmed.
func returned(channel *amqp.Channel) <-chan bool {
	back, told := channel.NotifyReturn(make(chan amqp.Return)), make(chan bool)
	go func() { // ends with the channel
		defer close(told)
		lost := false
		for {
			select {
			case _, open := <-back:
				if !open {
					return
				}
				lost = true
			case told <- lost:
			}
		}
	}()
	return told
}

// dial opens a connection with one channel.
func (b *rabbitBroker) dial() (*amqp.Connection, *amqp.Channel, error) {
	conn, err := amqp.DialConfig(b.url.String(), b.config)
	if err != nil {
		return nil, nil, fmt.Errorf("connect to %s: %w", b.name(), err)
	}
	channel, err := conn.Channel()
	if err != nil {
		end(conn)
		return nil, nil, fmt.Errorf("connect to %s: %w", b.name(), err)
	}
	return conn, channel, nil
}

// publisher returns a channel that confirms, and makes the stream when it opens one. The lock is held.
func (b *rabbitBroker) publisher() (*amqp.Channel, error) {
	if b.channel != nil && !b.channel.IsClosed() {
		return b.channel, nil
	}
	b.hangUp()
	conn, channel, err := b.dial()
	if err != nil {
		return nil, err
	}
	seconds := fmt.Sprintf("%ds", int64(b.keep.Seconds()))
	_, err = channel.QueueDeclare(b.stream, true, false, false, false, amqp.Table{
		"x-queue-type": "stream", "x-max-age": seconds, "x-initial-cluster-size": int32(b.copies),
	})
	if refused, ok := errors.AsType[*amqp.Error](err); ok && refused.Code == amqp.PreconditionFailed { // it is there, made by somebody else
		if channel, err = conn.Channel(); err == nil {
			_, err = channel.QueueDeclarePassive(b.stream, true, false, false, false, nil)
		}
	}
	if err == nil {
		err = channel.Confirm(false)
	}
	if err != nil {
		end(conn)
		return nil, fmt.Errorf("stream %q of %s: %w", b.stream, b.address(), err)
	}
	b.conn, b.channel, b.lost = conn, channel, returned(channel)
	return channel, nil
}

// Publish implements Broker.
func (b *rabbitBroker) Publish(ctx context.Context, records []events.Record) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if ctx.Err() != nil { // others took long
		return context.Cause(ctx)
	}
	channel, err := b.publisher()
	if err != nil {
		return err
	}
	conn := b.conn
	defer context.AfterFunc(ctx, func() { end(conn) })() // a write to a network that takes nothing does not heed a context
	confirms := make([]*amqp.DeferredConfirmation, len(records))
	for i := range records {
		table := amqp.Table{}
		for _, h := range headers(&records[i]) {
			table[h[0]] = h[1]
		}
		confirms[i], err = channel.PublishWithDeferredConfirmWithContext(ctx, "", b.stream, true, false, amqp.Publishing{
			Headers: table, ContentType: contentType, DeliveryMode: amqp.Persistent, // no MessageId, which has 255 bytes at most
			Timestamp: time.Now(), Body: records[i].Body,
		})
		if err != nil { // if the channel is closed, the next call opens another
			return err
		}
	}
	for i, c := range confirms {
		taken, err := c.WaitContext(ctx)
		switch {
		case err != nil:
			b.hangUp() // what it still confirms is of no use
			return err
		case !taken:
			b.hangUp()
			return fmt.Errorf("RabbitMQ has refused event %s", records[i].ID)
		}
	}
	if lost, open := <-b.lost; lost || !open {
		b.hangUp() // the next call makes the stream anew
		return fmt.Errorf("RabbitMQ has no stream %q any more", b.stream)
	}
	return nil
}

// Read implements [events.Source].
func (b *rabbitBroker) Read(ctx context.Context, _ string, from time.Time, caught func(), each func(events.Record) error) error {
	conn, channel, err := b.dial()
	if err != nil {
		return err
	}
	defer end(conn)
	defer context.AfterFunc(ctx, func() { end(conn) })()
	if err := channel.Qos(unconfirmed, 0, false); err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	messages, err := channel.Consume(b.stream, "", false, false, false, false, amqp.Table{"x-stream-offset": from})
	if err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	last := rand.Text()
	if err := b.mark(ctx, conn, last); err != nil {
		return fmt.Errorf("find the end of the events: %w", err)
	}
	overdue := time.NewTicker(markAgain)
	defer overdue.Stop()
	for {
		var m amqp.Delivery
		var open bool
		select {
		case m, open = <-messages:
		case <-overdue.C:
			if err := b.mark(ctx, conn, last); err != nil {
				return fmt.Errorf("find the end of the events: %w", err)
			}
			continue
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !open:
			return errors.New("read events: the connection has ended")
		}
		r, err := read(func(name string) string { text, _ := m.Headers[name].(string); return text }, m.Body)
		if err == nil { // others are not ours
			r.Time = m.Timestamp
			if err := each(r); err != nil {
				return err
			}
		}
		if m.DeliveryTag%(unconfirmed/4) == 0 || len(messages) == 0 {
			if err := m.Ack(true); err != nil {
				return fmt.Errorf("read events: %w", err)
			}
		}
		if name, _ := m.Headers[headerMark].(string); name == last && last != "" {
			last = ""
			overdue.Stop()
			caught()
		}
	}
}

// mark writes a message that is no event into the stream. RabbitMQ does not say what the last message of a stream is: who has
// read the mark has read all that was there before it. A reader writes his when he has begun, so it comes to him whatever the
// clocks say.
func (b *rabbitBroker) mark(ctx context.Context, conn *amqp.Connection, name string) error {
	channel, err := conn.Channel()
	if err != nil {
		return err
	}
	if err := channel.Confirm(false); err != nil {
		return err
	}
	lost := returned(channel)
	confirm, err := channel.PublishWithDeferredConfirmWithContext(ctx, "", b.stream, true, false, amqp.Publishing{
		Headers: amqp.Table{headerMark: name}, DeliveryMode: amqp.Persistent, Timestamp: time.Now(),
	})
	if err != nil {
		return err
	}
	switch taken, err := confirm.WaitContext(ctx); {
	case err != nil:
		return err
	case !taken:
		return errors.New("RabbitMQ has refused a mark")
	}
	if gone, open := <-lost; gone || !open {
		return fmt.Errorf("RabbitMQ has no stream %q any more", b.stream)
	}
	return channel.Close()
}
