package gateway

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/seri-queue/seri/internal/consumers"
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
	known, ok := g.consumerOf(w, r, granted)
	if !ok {
		return
	}
	var held *attachment
	var s *events.Subscription
	if known != nil {
		held, s, ok = g.read(w, r, granted, known)
	} else {
		s, ok = g.subscribe(w, r, granted, r.Header.Get("Last-Event-ID"))
	}
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
	if held != nil {
		var watching sync.WaitGroup
		watching.Go(func() { held.watch(ctx, cancel) })
		defer watching.Wait()
		defer cancel(nil)
	}

	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no") // nginx would hold events back
	if held != nil {
		header.Set(ConsumerHeader, strconv.FormatUint(held.Token, 10))
	}
	stream := &sseStream{w: w, control: http.NewResponseController(w), timeout: g.cfg.WriteTimeout, held: held, fleeting: isFleeting(r)}
	if stream.fleeting {
		stream.timeout = g.silence()
		defer stream.hurryAfter(ctx)()
	}
	err := stream.retry(ctx, g.spread()) // and the headers: the client knows at once that it is connected
	for err == nil {
		err = stream.next(ctx, s, g.cfg.KeepAlive)
	}
	if _, slow := errors.AsType[*events.SlowError](err); slow || r.Context().Err() != nil || errors.Is(err, token.ErrExpired) {
		return // EventSource comes back by itself, at the last cursor; one whose token has expired is then told so
	}
	if errors.Is(err, consumers.ErrTaken) || errors.Is(err, errUnacknowledged) {
		_ = stream.comment(ctx, err.Error()) // nobody is left to tell if this fails
		return
	}
	if retryErr := stream.retry(ctx, g.comeBack()); retryErr != nil || errors.Is(err, errStopping) || errors.Is(err, events.ErrStopped) {
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

	held     *attachment // whose frames are acknowledged; nil: they are not
	fleeting bool        // nothing is told by which a browser would resume, and who reads slowly is not cut, but loses events
}

// next writes what the subscription has next.
func (o *sseStream) next(ctx context.Context, s *events.Subscription, keepAlive time.Duration) error {
	frames, err := s.Next(ctx, keepAlive)
	if err != nil {
		return err
	}
	for _, f := range frames {
		if !o.fleeting {
			o.b = append(append(append(o.b, "id: "...), f.Cursor...), '\n')
		}
		o.b = append(append(append(o.b, "event: "...), f.Type...), '\n')
		o.b = append(append(append(o.b, "data: "...), f.JSON...), "\n\n"...)
	}
	switch {
	case o.held == nil:
	case len(frames) > 0:
		o.held.sent(frames[len(frames)-1].Cursor, time.Now()) // before it is: it may be acknowledged at once
	default:
		o.held.rest(s.Cursor())
	}
	switch {
	case len(frames) > 0:
	case o.fleeting:
		o.b = append(o.b, ": keep-alive\n\n"...)
	default:
		// A block without data is no event for the browser, but it takes note of the id: an old one may be of an entry
		// that is trimmed away by the time the browser comes back.
		o.b = append(append(append(o.b, ": keep-alive\nid: "...), s.Cursor()...), "\n\n"...)
	}
	return o.flush(ctx)
}

// comment tells a person who looks at the stream something.
func (o *sseStream) comment(ctx context.Context, text string) error {
	o.b = append(append(append(o.b, ": "...), text...), "\n\n"...)
	return o.flush(ctx)
}

// retry tells how long an EventSource is to wait before it reconnects.
func (o *sseStream) retry(ctx context.Context, after time.Duration) error {
	o.b = append(strconv.AppendInt(append(o.b, "retry: "...), after.Milliseconds(), 10), "\n\n"...)
	return o.flush(ctx)
}

// hurryAfter gives the client less time once ctx has ended: who does not read would hold up the gateway's stop for as long as he
// may be silent. done must be called before the handler returns, after which its ResponseWriter may not be used.
func (o *sseStream) hurryAfter(ctx context.Context) (done func()) {
	hurried := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(hurried)
		_ = o.within(lastWords) // then it does not hurry
	})
	return func() {
		if !stop() {
			<-hurried
		}
	}
}

// within bounds the time of the writes from now on, where the server can.
func (o *sseStream) within(timeout time.Duration) error {
	if err := o.control.SetWriteDeadline(time.Now().Add(timeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}

// flush sends what was gathered. A client that does not take it within the timeout is gone.
func (o *sseStream) flush(ctx context.Context) error {
	if err := o.within(o.timeout); err != nil {
		return err
	}
	if o.fleeting && ctx.Err() != nil { // maybe just now
		if err := o.within(min(o.timeout, lastWords)); err != nil {
			return err
		}
	}
	if _, err := o.w.Write(o.b); err != nil {
		return err
	}
	if o.b = o.b[:0]; cap(o.b) > maxSpare {
		o.b = nil
	}
	return o.control.Flush()
}
