package store_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/internal/store"
)

// A script's price is a round trip and then so much a task: the batches show both.
var batchSizes = []int{1, 10, 100, 500}

// bench is a store with one queue, for a benchmark of its scripts on a real Redis.
type bench struct {
	*store.Store
	*testing.B
	q    keys.Queue
	size int // of a batch
}

// eachBatch runs a benchmark for every size of batch and reports tasks a second. One turn of the loop is one batch.
func eachBatch(b *testing.B, run func(s *bench)) {
	for _, size := range batchSizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s := &bench{store.New(redistest.New(b), store.Config{}), b, keys.Queue(redistest.Queue(b)), size}
			b.ReportAllocs()
			run(s)
			b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "tasks/s")
		})
	}
}

// messages returns a batch of new tasks with 100 bytes of payload.
func (s *bench) messages(options ...seri.Option) []seri.Message {
	s.Helper()
	payload := []byte(`"` + strings.Repeat("x", 98) + `"`)
	messages := make([]seri.Message, s.size)
	for i := range messages {
		var err error
		if messages[i], err = seri.NewMessage("bench:task", payload, append(options, seri.Queue(string(s.q)))...); err != nil {
			s.Fatal(err)
		}
	}
	return messages
}

func (s *bench) enqueue(messages []seri.Message) {
	s.Helper()
	answers, err := s.Enqueue(s.Context(), s.q, messages)
	s.must(answers, err)
}

func (s *bench) dequeue() []store.Lease {
	s.Helper()
	batch, err := s.Dequeue(s.Context(), s.q, store.Wanted{
		Tasks: s.size, Lease: time.Minute, Worker: "host:1:bench", Types: []string{"bench:task"},
	})
	if err != nil {
		s.Fatal(err)
	}
	if len(batch.Leases) != s.size {
		s.Fatalf("dequeued %d tasks, want %d", len(batch.Leases), s.size)
	}
	return batch.Leases
}

// leased enqueues and leases a batch while the clock stands.
func (s *bench) leased(options ...seri.Option) []*store.Lease {
	s.Helper()
	s.StopTimer()
	s.enqueue(s.messages(options...))
	leases := s.dequeue()
	pointers := make([]*store.Lease, len(leases))
	for i := range leases {
		pointers[i] = &leases[i]
	}
	s.StartTimer()
	return pointers
}

func (s *bench) complete(leases []*store.Lease, result []byte) {
	s.Helper()
	completions := make([]store.Completion, len(leases))
	for i, l := range leases {
		completions[i] = store.Completion{Lease: l, Result: result}
	}
	answers, err := s.Complete(s.Context(), s.q, completions)
	s.must(answers, err)
}

func (s *bench) must(answers []error, err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
	for _, answer := range answers {
		if answer != nil {
			s.Fatal(answer)
		}
	}
}

func BenchmarkEnqueue(b *testing.B) {
	eachBatch(b, func(s *bench) {
		for s.Loop() {
			s.StopTimer()
			messages := s.messages()
			s.StartTimer()
			s.enqueue(messages)
		}
	})
}

func BenchmarkDequeue(b *testing.B) {
	eachBatch(b, func(s *bench) {
		for s.Loop() {
			s.StopTimer()
			s.enqueue(s.messages(seri.Retention(0)))
			s.StartTimer()
			leases := s.dequeue()
			s.StopTimer() // the active list must not grow with the benchmark
			pointers := make([]*store.Lease, len(leases))
			for i := range leases {
				pointers[i] = &leases[i]
			}
			s.complete(pointers, nil)
			s.StartTimer()
		}
	})
}

func BenchmarkComplete(b *testing.B) {
	eachBatch(b, func(s *bench) {
		for s.Loop() {
			s.complete(s.leased(seri.Retention(0)), nil)
		}
	})
}

// BenchmarkCompleteBesideLongTasks ends tasks in the order in which they were leased, all after a thousand that stay, and with
// a few batches leased meanwhile.
func BenchmarkCompleteBesideLongTasks(b *testing.B) {
	eachBatch(b, func(s *bench) {
		size := s.size
		s.size = 1000
		s.leased()
		s.size = size
		var running []*store.Lease
		for range 3 {
			running = append(running, s.leased(seri.Retention(0))...)
		}
		for s.Loop() {
			running = append(running, s.leased(seri.Retention(0))...)
			s.complete(running[:size], nil)
			running = running[size:]
		}
	})
}

// BenchmarkCompleteBesideOneLongTask ends tasks in the order in which they were leased, but for the oldest, which stays, and
// with ten thousand behind them.
func BenchmarkCompleteBesideOneLongTask(b *testing.B) {
	eachBatch(b, func(s *bench) {
		size := s.size
		s.size = 1
		s.leased()
		s.size = 1000
		var running []*store.Lease
		for range 10 {
			running = append(running, s.leased(seri.Retention(0))...)
		}
		s.size = size
		for s.Loop() {
			running = append(running, s.leased(seri.Retention(0))...)
			s.complete(running[:size], nil)
			running = running[size:]
		}
	})
}

func BenchmarkCompleteKeepingTheResult(b *testing.B) {
	result := []byte(`"` + strings.Repeat("r", 98) + `"`)
	eachBatch(b, func(s *bench) {
		for s.Loop() {
			s.complete(s.leased(seri.Retention(time.Hour)), result)
		}
	})
}

func BenchmarkExtend(b *testing.B) {
	eachBatch(b, func(s *bench) {
		leases := s.leased()
		for s.Loop() {
			answers, err := s.Extend(s.Context(), s.q, leases, time.Minute)
			s.must(answers, err)
		}
	})
}

func BenchmarkRetry(b *testing.B) {
	eachBatch(b, func(s *bench) {
		for s.Loop() {
			leases := s.leased()
			retries := make([]store.Retry, len(leases))
			for i, l := range leases {
				retries[i] = store.Retry{Lease: l, After: time.Hour, Error: "connection refused"}
			}
			answers, err := s.Retry(s.Context(), s.q, retries)
			s.must(answers, err)
		}
	})
}

func BenchmarkArchive(b *testing.B) {
	eachBatch(b, func(s *bench) {
		for s.Loop() {
			leases := s.leased()
			endings := make([]store.Ending, len(leases))
			for i, l := range leases {
				endings[i] = store.Ending{Lease: l, Reason: seri.ReasonPermanent, Error: "no such user"}
			}
			answers, err := s.Archive(s.Context(), s.q, endings)
			s.must(answers, err)
		}
	})
}

func BenchmarkRequeue(b *testing.B) {
	eachBatch(b, func(s *bench) {
		leases := s.leased()
		for s.Loop() {
			answers, err := s.Requeue(s.Context(), s.q, leases)
			s.must(answers, err)
			s.StopTimer()
			again := s.dequeue()
			for i := range again {
				leases[i] = &again[i]
			}
			s.StartTimer()
		}
	})
}

func BenchmarkForward(b *testing.B) {
	eachBatch(b, func(s *bench) {
		for s.Loop() {
			leases := s.leased(seri.Retention(0))
			s.StopTimer()
			retries := make([]store.Retry, len(leases))
			for i, l := range leases {
				retries[i] = store.Retry{Lease: l, Error: "again at once"} // due as soon as it is written
			}
			answers, err := s.Retry(s.Context(), s.q, retries)
			s.must(answers, err)
			s.StartTimer()

			forwarded, err := s.Forward(s.Context(), s.q, s.size)

			s.StopTimer()
			if err != nil || forwarded.Moved != s.size {
				s.Fatalf("forwarded %d of %d, error %v", forwarded.Moved, s.size, err)
			}
			again := s.dequeue()
			for i := range again {
				leases[i] = &again[i]
			}
			s.complete(leases, nil)
			s.StartTimer()
		}
	})
}
