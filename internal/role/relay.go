package role

import (
	"cmp"
	"context"
	"io"
	"log/slog"
	"net/http"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/api"
	"github.com/seri-queue/seri/internal/meter"
	"github.com/seri-queue/seri/internal/relay"
	"github.com/seri-queue/seri/internal/run"
)

// runRelay copies events into the broker that the settings name, until ctx ends.
func (a *API) runRelay(ctx context.Context, out io.Writer, rdb redis.UniversalClient, logger *slog.Logger, sources ...meter.Source) error {
	opening, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	broker, err := relay.Open(opening, a.Events)
	if err != nil {
		return err
	}
	defer broker.Close()
	copier := relay.New(rdb, broker, relay.Config{Partitions: a.Partitions.table(), Logger: logger})
	if err := copier.Permitted(ctx); err != nil {
		return err
	}
	a.HTTPAddr = cmp.Or(a.HTTPAddr, ":8080")
	listener, err := a.listen(ctx)
	if err != nil {
		return err
	}
	telling, err := a.Admin.tell(ctx, "relay", out, logger, append(sources, copier)...)
	if err != nil {
		listener.Close()
		return err
	}
	logger.InfoContext(ctx, "relay started", "addr", listener.Addr().String(), "to", broker.Name())
	defer logger.InfoContext(ctx, "relay stopped")
	defer tellStop(ctx, logger)()
	return run.Stack(ctx, append(telling,
		serveUntilTheEnd("probes", listener, probes(rdb)),
		run.Part{Name: "relay", Run: copier.Run},
	)...)
}

// probes answers what a load balancer, or the command "health", asks.
func probes(rdb redis.UniversalClient) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(api.HealthHeader, "1")
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"status":"alive"}` + "\n"))
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := rdb.Ping(r.Context()).Err(); err != nil {
			http.Error(w, "the store cannot be reached", http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"status":"ready"}` + "\n"))
	})
	return mux
}
