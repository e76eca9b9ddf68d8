// Package relay copies the event streams into another system, NATS JetStream, Kafka or RabbitMQ, and reads them back from there.
//
//	broker, err := relay.Open(ctx, "nats://127.0.0.1:4222")
//	…
//	err = relay.New(rdb, broker, relay.Config{}).Run(ctx)                     // one process copies
//	transport, err := events.FromSource(broker.Name(), broker, rdb)           // gateways read
//
// Every event is one message: a CloudEvent as gateways send it, with headers that say where in its queue's stream it stands.
//
//	seri-id      the CloudEvent's id, by which a consumer drops doubles; NATS does (Nats-Msg-Id)
//	seri-queue   the stream: the queue, or the partition of one that is divided
//	seri-entry   the stream's entry, seri-index and seri-of the event's place in it
//	seri-key     the task's id, or the schedule's; in Kafka the record's key, too
//	seri-type    the CloudEvent's type
//	seri-after   the entry before it, so that a consumer sees whether one is missing
//
// # Guarantees
//
//   - Every event that the stream still has is relayed, in the order of its queue. What the stream has lost is announced by a
//     dev.seri.gap or dev.seri.reset in its place.
//   - How far each queue was relayed is kept in Redis, and written when the broker has confirmed a batch. So a crash repeats the
//     last batch of each queue at most, under the same IDs.
//   - One relay works at a time, under a fenced lock; others wait to take over. One that was paused beyond its lease may repeat
//     a batch, and cannot move the position back.
//
// # What is not promised
//
//   - A broker that forgets what it has confirmed is not noticed.
//   - Where the broker confirms only a part of a batch, all of it is repeated. In RabbitMQ, and in NATS after its window for
//     doubles, consumers then see events again; gateways leave them out.
package relay
