package gateway

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/seri-queue/seri/internal/events"
	"github.com/seri-queue/seri/internal/token"
)

// SSE returns the handler of Server-Sent Events.
func (g *Gateway) SSE() http.Handler { return http.HandlerFunc(g.serveSSE) }

func (g *Gateway) serveSSE(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		g.cfg.Problem(w, r, http.StatusMethodNotAllowed, "Events are read by GET.", nil)
		return
	}
	granted, visit, ok := g.enter(w, r, false)
	if !ok {
		return
	}
	defer visit.leave()
	s, ok := g.subscribe(w, r, granted, r.Header.Get("Last-Event-ID"))
	if !ok {
		return
	}
	defer s.Close()

	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	defer context.AfterFunc(g.life, func() { cancel(context.Cause(g.life)) })()
	if !granted.all {
		expiring, stop := context.WithDeadlineCause(ctx, granted.pass.Expires, token.ErrExpired)
		defer stop()
		ctx = expiring
	}

	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no") // nginx would hold events back
	stream := &sseStream{w: w, control: http.NewResponseController(w), timeout: g.cfg.WriteTimeout}
	err := stream.retry(g.spread()) // and the headers: the client knows at once that it is connected
	for err == nil {
		err = stream.next(ctx, s, g.cfg.KeepAlive)
	}
	if _, slow := errors.AsType[*events.SlowError](err); slow || r.Context().Err() != nil || errors.Is(err, token.ErrExpired) {
		return // EventSource comes back by itself, at the last cursor; one whose token has expired is then told so
	}
	if retryErr := stream.retry(g.comeBack()); retryErr != nil || errors.Is(err, errStopping) || errors.Is(err, events.ErrStopped) {
		return
	}
	g.cfg.Logger.WarnContext(ctx, "ended a stream", "error", err)
}

// maxSpare bounds the bytes that an idle stream keeps for its next events.
const maxSpare = 8 << 10

// sseStream writes events in the format of the HTML standard.
type sseStream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
	b       []byte // gathered, not written yet
}

// next writes what the subscription has next.
func (o *sseStream) next(ctx context.Context, s *events.Subscription, keepAlive time.Duration) error {
	frames, err := s.Next(ctx, keepAlive)
	if err != nil {
		return err
	}
	for _, f := range frames {
		o.b = append(append(append(o.b, "id: "...), f.Cursor...), '\n')
		o.b = append(append(append(o.b, "event: "...), f.Type...), '\n')
		o.b = append(append(append(o.b, "data: "...), f.JSON...), "\n\n"...)
	}
	if len(frames) == 0 {
		// A block without data is no event for the browser, but it takes note of the id: an old one may be of an entry
		// that is trimmed away by the time the browser comes back.
		o.b = append(append(append(o.b, ": keep-alive\nid: "...), s.Cursor()...), "\n\n"...)
	}
	return o.flush()
}

// retry tells how long an EventSource is to wait before it reconnects.
func (o *sseStream) retry(after time.Duration) error {
	o.b = append(strconv.AppendInt(append(o.b, "retry: "...), after.Milliseconds(), 10), "\n\n"...)
	return o.flush()
}

// flush sends what was gathered. A client that does not take it within the timeout is gone.
func (o *sseStream) flush() error {
	if err := o.control.SetWriteDeadline(time.Now().Add(o.timeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := o.w.Write(o.b); err != nil {
		return err
	}
	if o.b = o.b[:0]; cap(o.b) > maxSpare {
		o.b = nil
	}
	return o.control.Flush()
}
