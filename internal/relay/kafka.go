package relay

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seri-queue/seri/internal/events"
)

// kafkaBroker relays into a topic of Kafka. A queue is in one partition, so that its order is kept; the key of a record is the
// ID of its task.
type kafkaBroker struct {
	target
	client  *kgo.Client
	options []kgo.Opt // of every client
	parts   int32
}

func openKafka(ctx context.Context, t target, more ...kgo.Opt) (Broker, error) {
	b := &kafkaBroker{target: t, options: append([]kgo.Opt{kgo.SeedBrokers(append([]string{t.url.Host}, t.more...)...), kgo.ClientID("seri")}, more...)}
	var err error
	b.client, err = kgo.NewClient(append(b.options,
		kgo.DefaultProduceTopic(t.stream), kgo.RecordPartitioner(kgo.ManualPartitioner()), // idempotent, acknowledged by all: its defaults
		kgo.AllowIdempotentProduceCancellation(), kgo.RecordDeliveryTimeout(unanswered), // rather doubles than a call that never returns
	)...)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", t.name(), err)
	}
	if b.parts, err = b.prepare(ctx); err != nil {
		b.client.Close()
		return nil, fmt.Errorf("topic %q of %s: %w", t.stream, t.address(), err)
	}
	return b, nil
}

// prepare makes the topic, if need be, and returns how many partitions it has.
func (b *kafkaBroker) prepare(ctx context.Context) (int32, error) {
	admin := kadm.NewClient(b.client)
	keep := strconv.FormatInt(b.keep.Milliseconds(), 10)
	_, err := admin.CreateTopic(ctx, int32(b.target.parts), int16(b.copies), map[string]*string{"retention.ms": &keep}, b.stream)
	if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		return 0, err
	}
	topics, err := admin.ListTopics(ctx, b.stream)
	if err != nil {
		return 0, err
	}
	topic := topics[b.stream]
	if topic.Err != nil {
		return 0, topic.Err
	}
	return int32(len(topic.Partitions)), nil
}

// Name implements Broker.
func (b *kafkaBroker) Name() string { return b.name() }

// Close implements Broker.
func (b *kafkaBroker) Close() { b.client.Close() }

// partition is that of a queue.
func (b *kafkaBroker) partition(queue string) int32 {
	h := fnv.New32a()
	h.Write([]byte(queue))
	return int32(h.Sum32() % uint32(b.parts))
}

// Publish implements Broker.
func (b *kafkaBroker) Publish(ctx context.Context, records []events.Record) error {
	sent := make([]*kgo.Record, len(records))
	for i := range records {
		r := &records[i]
		sent[i] = &kgo.Record{Key: []byte(r.Key), Value: r.Body, Partition: b.partition(r.Queue), Timestamp: r.Time}
		for _, h := range headers(r) {
			sent[i].Headers = append(sent[i].Headers, kgo.RecordHeader{Key: h[0], Value: []byte(h[1])})
		}
	}
	return b.client.ProduceSync(ctx, sent...).FirstErr()
}

// Read implements [events.Source].
func (b *kafkaBroker) Read(ctx context.Context, queue string, from time.Time, caught func(), each func(events.Record) error) error {
	admin := kadm.NewClient(b.client)
	begin, err := admin.ListOffsetsAfterMilli(ctx, from.UnixMilli(), b.stream)
	if err == nil {
		err = begin.Error()
	}
	if err != nil {
		return fmt.Errorf("find the events from %v on: %w", from, err)
	}
	end, err := admin.ListEndOffsets(ctx, b.stream)
	if err == nil {
		err = end.Error()
	}
	if err != nil {
		return fmt.Errorf("find the end of the events: %w", err)
	}
	offsets, behind := make(map[int32]kgo.Offset), make(map[int32]int64)
	for p := range b.parts {
		if queue != "" && p != b.partition(queue) {
			continue
		}
		first, _ := begin.Lookup(b.stream, p)
		last, _ := end.Lookup(b.stream, p)
		offsets[p] = kgo.NewOffset().At(first.Offset)
		if first.Offset < last.Offset {
			behind[p] = last.Offset
		}
	}
	consumer, err := kgo.NewClient(append(b.options, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{b.stream: offsets}), kgo.FetchMaxWait(500*time.Millisecond))...)
	if err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	defer consumer.Close()
	if len(behind) == 0 {
		caught()
	}
	for {
		fetched := consumer.PollFetches(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := fetched.Err(); err != nil {
			return fmt.Errorf("read events: %w", err)
		}
		waiting := len(behind) > 0
		for records := fetched.RecordIter(); !records.Done(); {
			record := records.Next()
			r, err := read(func(name string) string { return header(record, name) }, record.Value)
			if err == nil { // others are not ours
				r.Time = record.Timestamp
				if err := each(r); err != nil {
					return err
				}
			}
			if last, there := behind[record.Partition]; there && record.Offset >= last-1 {
				delete(behind, record.Partition)
			}
			if waiting && len(behind) == 0 {
				waiting = false
				caught()
			}
		}
	}
}

func header(r *kgo.Record, name string) string {
	for _, h := range r.Headers {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}
