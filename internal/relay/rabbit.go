package relay

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/seri-queue/seri/internal/events"
	"github.com/seri-queue/seri/internal/pause"
)

// rabbitBroker relays into a stream of RabbitMQ, by AMQP 0.9.1.
type rabbitBroker struct {
	target
	reach func(ctx context.Context, network, addr string) (net.Conn, error)

	mu   sync.Mutex
	out  *rabbitLink // for publishing; nil: there is none, or no longer
	lost <-chan bool // of its channel: see returned
}

// rabbitLink is a connection with one channel. Who publishes has one, who reads has another: while RabbitMQ is short of memory
// or of disk, it reads nothing more from a connection on which something was published, acknowledgements included.
type rabbitLink struct {
	conn    *amqp.Connection
	channel *amqp.Channel
	network net.Conn
}

// end gives the connection up, whether or not the server still answers. It does so itself after a while, because
// CloseDeadline's deadline is moved by every heartbeat that comes, and a server that reads nothing sends them nevertheless.
func (l *rabbitLink) end() {
	defer time.AfterFunc(farewell, func() { l.network.Close() }).Stop()
	_ = l.conn.CloseDeadline(time.Now().Add(farewell))
}

const (
	// unconfirmed bounds what a consumer has been sent and has not taken, which streams ask for.
	unconfirmed = 1000
	// markAgain is after how long a reader that has not come to the end writes another mark, which wakes a server that has
	// forgotten him.
	markAgain = 10 * time.Second
	// greeting bounds the wait for a server until it has answered at first.
	greeting = 10 * time.Second
	// farewell bounds the wait for a server that is told that a connection ends.
	farewell = time.Second
)

func openRabbit(ctx context.Context, t target, more ...func(*rabbitBroker)) (Broker, error) {
	b := &rabbitBroker{target: t, reach: (&net.Dialer{Timeout: greeting}).DialContext}
	for _, change := range more {
		change(b)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.connect(ctx); err != nil {
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
	if b.out != nil {
		b.out.end()
	}
	b.out, b.lost = nil, nil
}

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

// dial opens a connection with one channel, on which prepare makes what the caller needs. A server that does not answer holds
// it up until ctx ends.
func (b *rabbitBroker) dial(ctx context.Context, prepare func(l *rabbitLink) error) (*rabbitLink, error) {
	var l rabbitLink
	stop := func() bool { return true }
	config := amqp.Config{Heartbeat: 5 * time.Second, Locale: "en_US", Properties: amqp.Table{"connection_name": "seri"}}
	config.Dial = func(network, addr string) (net.Conn, error) {
		conn, err := b.reach(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		l.network, stop = conn, context.AfterFunc(ctx, func() { conn.Close() })
		return conn, conn.SetDeadline(time.Now().Add(greeting)) // is taken back when the server has answered
	}
	conn, err := amqp.DialConfig(b.url.String(), config)
	if err == nil {
		l.conn = conn
		if l.channel, err = conn.Channel(); err == nil {
			err = prepare(&l)
		}
	}
	stop()
	switch {
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case err == nil:
		return &l, nil
	}
	if l.conn != nil {
		l.end()
	}
	return nil, fmt.Errorf("connect to %s: %w", b.name(), err)
}

// connect opens the connection for publishing, if there is none, and makes the stream. The lock is held.
func (b *rabbitBroker) connect(ctx context.Context) error {
	if b.out != nil && !b.out.channel.IsClosed() {
		return nil
	}
	b.hangUp()
	l, err := b.dial(ctx, b.declare)
	if err != nil {
		return err
	}
	b.out, b.lost = l, returned(l.channel)
	return nil
}

// declare makes the stream, and a channel that confirms.
func (b *rabbitBroker) declare(l *rabbitLink) error {
	seconds := fmt.Sprintf("%ds", int64(b.keep.Seconds()))
	_, err := l.channel.QueueDeclare(b.stream, true, false, false, false, amqp.Table{
		"x-queue-type": "stream", "x-max-age": seconds, "x-initial-cluster-size": int32(b.copies),
	})
	if refused, ok := errors.AsType[*amqp.Error](err); ok && refused.Code == amqp.PreconditionFailed { // it is there, made by somebody else
		if l.channel, err = l.conn.Channel(); err == nil {
			_, err = l.channel.QueueDeclarePassive(b.stream, true, false, false, false, nil)
		}
	}
	if err == nil {
		err = l.channel.Confirm(false)
	}
	if err != nil {
		return fmt.Errorf("stream %q: %w", b.stream, err)
	}
	return nil
}

// Publish implements Broker.
func (b *rabbitBroker) Publish(ctx context.Context, records []events.Record) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if ctx.Err() != nil { // others took long
		return context.Cause(ctx)
	}
	if err := b.connect(ctx); err != nil {
		return err
	}
	channel := b.out.channel
	defer context.AfterFunc(ctx, b.out.end)() // a write to a network that takes nothing does not heed a context
	confirms := make([]*amqp.DeferredConfirmation, len(records))
	for i := range records {
		table := amqp.Table{}
		for _, h := range headers(&records[i]) {
			table[h[0]] = h[1]
		}
		var err error
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
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var messages <-chan amqp.Delivery
	l, err := b.dial(ctx, func(l *rabbitLink) (err error) {
		if err = l.channel.Qos(unconfirmed, 0, false); err == nil {
			messages, err = l.channel.Consume(b.stream, "", false, false, false, false, amqp.Table{"x-stream-offset": from})
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	defer l.end()
	defer context.AfterFunc(ctx, l.end)()
	last := rand.Text()
	behind, marked := context.WithCancel(ctx)
	var marking sync.WaitGroup
	defer marking.Wait()
	defer marked()
	marking.Go(func() { // what is there is read meanwhile: it may be long until RabbitMQ takes a mark
		if err := b.markUntil(behind, last); behind.Err() == nil {
			cancel(fmt.Errorf("find the end of the events: %w", err))
		}
	})
	for {
		var m amqp.Delivery
		var open bool
		select {
		case m, open = <-messages:
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
			marked()
			caught()
		}
	}
}

// markUntil writes a mark, and again after a while, until ctx ends or it fails.
func (b *rabbitBroker) markUntil(ctx context.Context, name string) error {
	l, err := b.dial(ctx, func(l *rabbitLink) error { return l.channel.Confirm(false) })
	if err != nil {
		return err
	}
	defer l.end()
	defer context.AfterFunc(ctx, l.end)()
	lost := returned(l.channel)
	for {
		if err := b.mark(ctx, l.channel, lost, name); err != nil {
			return err
		}
		if !pause.For(ctx, markAgain) {
			return context.Cause(ctx)
		}
	}
}

// mark writes a message that is no event into the stream. RabbitMQ does not say what the last message of a stream is: who has
// read the mark has read all that was there before it. A reader writes his when he has begun, so it comes to him whatever the
// clocks say.
func (b *rabbitBroker) mark(ctx context.Context, channel *amqp.Channel, lost <-chan bool, name string) error {
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
	return nil
}
