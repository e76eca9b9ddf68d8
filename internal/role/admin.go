package role

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/emf"
	"github.com/seri-queue/seri/internal/meter"
	"github.com/seri-queue/seri/internal/redisurl"
	"github.com/seri-queue/seri/internal/run"
	"github.com/seri-queue/seri/metrics"
)

// Admin are the settings of how a role tells its figures.
//
// Metrics have a port of their own: that of the api is the world's, and that of the health check is for the machine itself.
type Admin struct {
	AdminAddr  string `env:"SERI_ADMIN_ADDR" placeholder:"HOST:PORT" help:"Where to serve GET /metrics for Prometheus, without a key: not for the world. By default nowhere."`
	MetricsEMF Switch `name:"metrics-emf" env:"SERI_METRICS_EMF" help:"Write the same figures to the standard output once a minute, as lines of which CloudWatch makes metrics."`
}

func (a *Admin) check(f *faults) {
	f.add("metrics-emf", a.MetricsEMF.wrong)
	if a.AdminAddr == "" {
		return
	}
	if _, _, err := net.SplitHostPort(a.AdminAddr); err != nil {
		f.add("admin-addr", fmt.Sprintf("is %q, must be host:port such as 127.0.0.1:9090 or :9090", a.AdminAddr))
	}
}

// tell returns the parts that tell the figures of sources, to be put below those whose figures they are.
func (a *Admin) tell(ctx context.Context, role string, out io.Writer, logger *slog.Logger, sources ...meter.Source) ([]run.Part, error) {
	sources = append(sources, meter.SourceFunc(func(_ context.Context, report meter.Report) {
		report.Value(meter.Build, 1, Version(), role)
	}))
	var parts []run.Part
	if a.MetricsEMF.On {
		parts = append(parts, run.Part{Name: "metrics for CloudWatch", Run: emf.New(out, role, sources...).Run})
	}
	if a.AdminAddr != "" {
		listener, err := listen(ctx, a.AdminAddr, "admin-addr")
		if err != nil {
			return nil, err
		}
		mux := http.NewServeMux()
		mux.Handle("GET /metrics", metrics.Handler(sources...))
		parts = append(parts, serveUntilTheEnd("admin", listener, mux))
		logger.InfoContext(ctx, "metrics are served", "addr", listener.Addr().String())
	}
	return parts, nil
}

// serveUntilTheEnd is a part that answers on the listener until it is asked to end, and then hangs up.
func serveUntilTheEnd(name string, listener net.Listener, handler http.Handler) run.Part {
	server := &http.Server{Handler: handler, ReadTimeout: 5 * time.Second, WriteTimeout: 15 * time.Second, MaxHeaderBytes: 8 << 10}
	return run.Part{Name: name, Run: func(ctx context.Context) error {
		defer context.AfterFunc(ctx, func() { server.Close() })()
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	}}
}

// meterRedis counts the round trips of rdb. What blocks has connections of its own, and is not counted.
func meterRedis(rdb redis.UniversalClient) *meter.Redis {
	m := new(meter.Redis)
	rdb.AddHook(m)
	return m
}

// memoryOf tells how full the fullest node of Redis is.
func memoryOf(rdb redis.UniversalClient) meter.Source {
	return meter.SourceFunc(func(ctx context.Context, report meter.Report) {
		memories, err := redisurl.Memories(ctx, rdb)
		if err != nil {
			return
		}
		fullest, limited := 0.0, false
		for _, m := range memories {
			if m.Limit > 0 {
				fullest, limited = max(fullest, m.Percent()/100), true
			}
		}
		if limited {
			report.Value(meter.MemoryUsed, fullest)
		}
	})
}
