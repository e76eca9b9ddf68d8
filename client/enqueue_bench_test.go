package client_test

import (
	"testing"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/client"
	"github.com/seri-queue/seri/internal/redistest"
)

// BenchmarkEnqueue is one producer: what dividing its queue costs, and that not dividing it costs nothing.
func BenchmarkEnqueue(b *testing.B) {
	queue := redistest.Queue(b)
	for name, config := range map[string]client.Config{
		"undivided": {}, "divided": {Partitions: map[string]int{queue: 8}},
	} {
		b.Run(name, func(b *testing.B) {
			c := client.New(redistest.New(b), config)
			b.ReportAllocs()
			for b.Loop() {
				m, err := seri.NewMessage("bench:task", []byte(`{"user_id":42}`), seri.Queue(queue))
				if err != nil {
					b.Fatal(err)
				}
				if err := c.Enqueue(b.Context(), m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
