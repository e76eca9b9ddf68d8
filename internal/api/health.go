package api

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// ErrDraining is what [Config.Ready] returns once the process has been told to stop: /readyz then says so, and a load
// balancer sends new requests elsewhere while those under way are answered.
var ErrDraining = errors.New("the server is draining")

// readyTimeout is shorter than the timeout of common probes, so that they get an answer and not silence.
const readyTimeout = 2 * time.Second

// HealthHeader is in every answer to /healthz of a process of Seri's, so that whoever asks can tell it from that of any
// other program that has come by the port.
const HealthHeader = "Seri-Health"

// healthz answers whether the process is alive. It asks nobody: a restart does not repair Redis.
func (s *server) healthz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set(HealthHeader, "1")
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(`{"status":"alive"}` + "\n"))
}

// readyz answers whether requests should be sent here.
func (s *server) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
	defer cancel()
	err := s.config.Ready(ctx)
	switch {
	case err == nil:
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"status":"ready"}` + "\n"))
	case errors.Is(err, ErrDraining):
		kindNotReady.problem(ErrDraining.Error()).write(w)
	default: // anybody may ask, so addresses and the like go to the log only
		s.config.Logger.WarnContext(ctx, "server is not ready", "error", err)
		kindNotReady.problem("the store cannot be reached").withHeader("Retry-After", "1").write(w)
	}
}
