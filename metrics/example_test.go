package metrics_test

import (
	"context"
	"log"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/client"
	"github.com/seri-queue/seri/metrics"
	"github.com/seri-queue/seri/worker"
)

// A worker of one's own that shows its figures, and those of all queues, to Prometheus.
func Example() {
	greet := seri.NewTask[string, seri.None]("greet")
	rdb := redis.NewClient(&redis.Options{Addr: "localhost:6379", MaxRetries: -1})
	defer rdb.Close()
	w, err := worker.New(rdb, []seri.Handler{
		greet.HandledBy(func(context.Context, string) (seri.None, error) { return seri.None{}, nil }),
	}, worker.Config{})
	if err != nil {
		log.Fatal(err)
	}

	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics.Handler(w, client.New(rdb, client.Config{})))

	// Or, in a program that has figures of its own:
	prometheus.MustRegister(metrics.Collector(w))
	// Output:
}
