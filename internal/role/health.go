package role

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/seri-queue/seri/internal/api"
	"github.com/seri-queue/seri/internal/run"
)

// hung is the age from which a main loop counts as hung. Loops turn every 10 s at the longest, plus the time of calls that
// Redis does not answer.
const hung = time.Minute

// Alive are the settings of how a role without a port can be asked whether it is alive.
//
// It is a port of the loopback interface and not a file, so that the root file system can be read-only without a volume,
// and nothing that a dead process has left can be mistaken for a sign of life.
type Alive struct {
	HealthAddr string `env:"SERI_HEALTH_ADDR" placeholder:"HOST:PORT" help:"Where the command \"health\" can ask whether the main loop turns; loopback only. By default nobody can."`
}

func (a *Alive) check(f *faults) {
	if a.HealthAddr != "" && (!isAddress(a.HealthAddr) || !isLoopback(a.HealthAddr)) {
		f.add("health-addr", fmt.Sprintf("is %q, must be an address of this machine for itself, such as 127.0.0.1:8079", a.HealthAddr))
	}
}

// isAddress tells whether a setting is a host and a port.
func isAddress(addr string) bool {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}

func (a *Alive) healthURL() (string, error) {
	if a.HealthAddr == "" {
		return "", errors.New("nobody can be asked; set SERI_HEALTH_ADDR, for the process and for this command")
	}
	var f faults
	if a.check(&f); f != nil {
		return "", f.err()
	}
	return "http://" + a.HealthAddr + "/healthz", nil
}

// watch returns a part that answers questions after the pulse, to be put below what it watches. Without an address it is
// a part that only waits.
func (a *Alive) watch(ctx context.Context, p *pulse) (run.Part, error) {
	if a.HealthAddr == "" {
		return run.Part{Name: "health", Run: func(ctx context.Context) error { <-ctx.Done(); return nil }}, nil
	}
	listener, err := listen(ctx, a.HealthAddr, "health-addr")
	if err != nil {
		return run.Part{}, err
	}
	return serveUntilTheEnd("health", listener, p), nil
}

// pulse knows when a main loop has turned last.
type pulse struct {
	born time.Time
	last atomic.Int64 // nanoseconds since born, by the monotonic clock
}

func newPulse() *pulse { return &pulse{born: time.Now()} }

// turn notes that the loop turns.
func (p *pulse) turn() { p.last.Store(int64(time.Since(p.born))) }

// ServeHTTP answers with 200 while the loop turns and with 503 once it hangs.
func (p *pulse) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/healthz" {
		http.NotFound(w, r)
		return
	}
	w.Header().Set(api.HealthHeader, "1")
	age := time.Since(p.born) - time.Duration(p.last.Load())
	if age >= hung {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintf(w, "hangs: its main loop turned %v ago, more than %v\n", age.Round(time.Second), hung)
		return
	}
	fmt.Fprintf(w, "alive: its main loop turned %v ago\n", age.Round(100*time.Millisecond))
}

// asked is a role that can be asked whether it is alive.
type asked interface {
	healthURL() (string, error)
}

// Health asks a role that runs on this machine whether it is alive. It exits with 0 or 1 and prints one line.
type Health struct {
	Alive
	HTTPAddr string `name:"http-addr" env:"SERI_HTTP_ADDR" placeholder:"HOST:PORT" help:"Where the api listens, which is asked if there is no other address. Default: 127.0.0.1:8080."`
}

func (h *Health) healthURL() (string, error) {
	if h.HealthAddr != "" {
		return h.Alive.healthURL()
	}
	return (&API{Serve: Serve{HTTPAddr: h.HTTPAddr}}).healthURL()
}

// Ask prints that the role is alive, or returns why not.
func (h *Health) Ask(ctx context.Context, out io.Writer) error { return askHealth(ctx, h, out) }

// askTimeout is shorter than the 5 s after which ECS by itself gives a check up.
const askTimeout = 3 * time.Second

func askHealth(ctx context.Context, r asked, out io.Writer) error {
	where, err := r.healthURL()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, where, nil)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // which asks no proxy
	response, err := client.Do(request)
	if err != nil {
		if failed, ok := errors.AsType[*url.Error](err); ok {
			err = failed.Err // which does not repeat the address
		}
		return fmt.Errorf("does not answer at %s: %w", where, err)
	}
	defer response.Body.Close()
	said, err := io.ReadAll(io.LimitReader(response.Body, 1<<10))
	if err != nil {
		return fmt.Errorf("does not answer at %s: %w", where, err)
	}
	if response.Header.Get(api.HealthHeader) == "" {
		return fmt.Errorf("what answers at %s, with %s, is not Seri: does it listen elsewhere, or is another program on its port?", where, response.Status)
	}
	line, _, _ := strings.Cut(string(said), "\n")
	if response.StatusCode != http.StatusOK {
		return errors.New(cmp.Or(line, response.Status))
	}
	_, err = fmt.Fprintln(out, line)
	return err
}
