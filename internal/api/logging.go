package api

import (
	"bufio"
	"cmp"
	"context"
	"crypto/rand"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"runtime/debug"
	"time"

	"github.com/seri-queue/seri/internal/token"
)

// request is what the server notes about a request while it is handled, for the log and for error messages.
type request struct {
	id      string
	pattern string      // of the route that took it; empty: none yet
	keyID   string      // of the API key; empty: none
	pass    *token.Pass // of a browser's token; nil: none
}

type requestKey struct{}

// requestFrom returns the notes about the request that ctx belongs to; fresh ones outside of a request.
func requestFrom(ctx context.Context) *request {
	if r, ok := ctx.Value(requestKey{}).(*request); ok {
		return r
	}
	return &request{}
}

// passableID is a request ID that a client or a proxy may choose: nothing in it can break a log line.
var passableID = regexp.MustCompile(`^[A-Za-z0-9._:-]{1,64}$`)

// observe gives every request an ID, logs it when it has been answered, and turns a panic into a problem. The log holds
// the route's pattern in place of the path, and neither payloads nor keys.
func (s *server) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		notes := &request{id: r.Header.Get("X-Request-Id")}
		if !passableID.MatchString(notes.id) {
			notes.id = rand.Text()
		}
		w.Header().Set("X-Request-Id", notes.id)
		ctx, recorder := r.Context(), &recorder{ResponseWriter: w}
		var endSpan func(route string, status int)
		if s.config.Trace != nil {
			ctx, endSpan = s.config.Trace(r)
		}
		ctx = context.WithValue(ctx, requestKey{}, notes)

		defer func() {
			v := recover()
			if v != nil && v != http.ErrAbortHandler {
				s.config.Logger.ErrorContext(ctx, "handler panicked", "panic", v, "stack", string(debug.Stack()), "request_id", notes.id)
				if recorder.status == 0 {
					internal(ctx).write(recorder)
					v = nil
				} else {
					v = http.ErrAbortHandler // the answer is half written; the client must not take it for whole
				}
			}
			s.logRequest(ctx, r, notes, recorder, time.Since(start))
			if endSpan != nil {
				endSpan(notes.pattern, cmp.Or(recorder.status, http.StatusOK))
			}
			if v != nil {
				panic(v)
			}
		}()
		next.ServeHTTP(recorder, r.WithContext(ctx))
	})
}

func (s *server) logRequest(ctx context.Context, r *http.Request, notes *request, recorder *recorder, took time.Duration) {
	level := slog.LevelInfo
	if recorder.status >= http.StatusInternalServerError {
		level = slog.LevelError
	} else if notes.pattern == "/" || notes.pattern == "GET /healthz" || notes.pattern == "GET /readyz" {
		level = slog.LevelDebug // the page's files, and probes that come every few seconds
	}
	s.config.Logger.LogAttrs(ctx, level, "request answered",
		slog.String("method", r.Method),
		slog.String("route", notes.pattern),
		slog.Int("status", cmp.Or(recorder.status, http.StatusOK)),
		slog.Duration("duration", took),
		slog.String("key_id", notes.keyID),
		slog.String("request_id", notes.id),
	)
}

// recorder remembers the status of an answer. It passes on what live connections need of a ResponseWriter.
type recorder struct {
	http.ResponseWriter
	status int // 0: nothing is written yet
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && status >= http.StatusOK {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	r.status = cmp.Or(r.status, http.StatusOK)
	return r.ResponseWriter.Write(b)
}

// Unwrap serves [http.ResponseController].
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// Flush and Hijack are here for libraries that ask for them by type assertion.
func (r *recorder) Flush() {
	r.status = cmp.Or(r.status, http.StatusOK)
	_ = http.NewResponseController(r.ResponseWriter).Flush()
}

func (r *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(r.ResponseWriter).Hijack()
	if err == nil {
		r.status = http.StatusSwitchingProtocols
	}
	return conn, rw, err
}
