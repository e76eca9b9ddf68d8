// Package partition divides a queue that is too big for one node of a Redis Cluster into several, its partitions.
//
//	table, err := partition.New(map[string]int{"images": 8})
//	q := table.Place(&message) // images, images:1, … or images:7
//
// To Redis, and to stock programs, each partition is a queue: it has a hash tag of its own and so a slot of its own.
// Partition 0 keeps the queue's name, so that dividing a queue keeps what is in it.
//
// # Placement
//
// A task goes to partition CRC-32(key) mod n, with the CRC-32 of IEEE 802.3 that zlib, gzip and PNG use and that the
// standard library of most languages has. The key is, as UTF-8 bytes,
//
//   - the task's partition key, if it has one;
//   - otherwise, for a task with a uniqueness lock, its type, a zero byte and its payload: locks lie in the partition, so
//     equal tasks have to meet there;
//   - otherwise its ID, so that a second task with the ID meets the first one.
//
// # What is not promised
//
// The same ID may be used again in another partition, under another partition key. Nothing orders the partitions of a
// queue among each other.
package partition

import (
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
)

// Max is the most partitions that a queue may have.
const Max = 64

// Table says which queues are divided. It is immutable; nil divides none.
type Table struct {
	counts     map[string]int
	partitions map[string][]keys.Queue
	places     map[keys.Queue]Place // of every partition but the first, which is called as its queue is
}

// Place is a partition: the queue's name and the partition's number.
type Place struct {
	Queue     string
	Partition int
}

// New returns the table that divides each queue into the given number of partitions, 1 to [Max]; nil for none. The error
// lists every fault.
func New(counts map[string]int) (*Table, error) {
	if len(counts) == 0 {
		return nil, nil
	}
	t := &Table{counts: maps.Clone(counts), partitions: make(map[string][]keys.Queue), places: make(map[keys.Queue]Place)}
	var errs []error
	for _, queue := range t.Divided() {
		n := counts[queue]
		m := seri.Message{ID: "-", Type: "-", Queue: queue}
		if err := m.Validate(); err != nil {
			errs = append(errs, err)
		}
		if n < 1 || n > Max {
			errs = append(errs, fmt.Errorf("queue %q has %d partitions, must be 1 to %d", queue, n, Max))
			continue
		}
		for i := range n {
			q := keys.Queue(queue).Partition(i)
			t.partitions[queue] = append(t.partitions[queue], q)
			if _, taken := counts[string(q)]; taken && i > 0 {
				errs = append(errs, fmt.Errorf("queue %q is also a partition of %q: give one of them another name", q, queue))
			}
			if i > 0 {
				t.places[q] = Place{queue, i}
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return t, nil
}

// Divided returns the names of the queues that the table is about, sorted, those with one partition among them.
func (t *Table) Divided() []string {
	if t == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(t.counts))
}

// Count returns how many partitions a queue has; 0 if the table does not say.
func (t *Table) Count(queue string) int {
	if t == nil {
		return 0
	}
	return t.counts[queue]
}

// Of returns the partitions of a queue, in order: the queue alone if it is not divided.
func (t *Table) Of(queue string) []keys.Queue {
	if t != nil {
		if partitions := t.partitions[queue]; partitions != nil {
			return partitions
		}
	}
	return []keys.Queue{keys.Queue(queue)}
}

// Find returns whose partition q is: itself, if of none.
func (t *Table) Find(q keys.Queue) Place {
	if t != nil {
		if place, ok := t.places[q]; ok {
			return place
		}
	}
	return Place{Queue: string(q)}
}

// Place returns the partition that m belongs to.
func (t *Table) Place(m *seri.Message) keys.Queue {
	if t == nil {
		return keys.Queue(m.Queue)
	}
	partitions := t.partitions[m.Queue]
	if len(partitions) < 2 {
		return keys.Queue(m.Queue)
	}
	return partitions[sum(m)%uint32(len(partitions))]
}

// sum is what placement goes by.
func sum(m *seri.Message) uint32 {
	switch {
	case m.PartitionKey != "":
		return crc32.ChecksumIEEE([]byte(m.PartitionKey))
	case m.UniqueFor > 0:
		typ := crc32.ChecksumIEEE(append([]byte(m.Type), 0))
		return crc32.Update(typ, crc32.IEEETable, m.Payload)
	default:
		return crc32.ChecksumIEEE([]byte(m.ID))
	}
}
