package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/gorilla/websocket"

	"github.com/seri-queue/seri/internal/events"
	"github.com/seri-queue/seri/internal/token"
)

const (
	// eventProtocol is the CloudEvents protocol binding's name for JSON events, one to a message. The client says nothing.
	eventProtocol = "cloudevents.json"
	// commandProtocol is the same, with commands from the client, by which it says what it is about.
	commandProtocol = "seri.v1"
	// readLimit bounds a client's message, in bytes.
	readLimit = 32 << 10
	// sendBuffer is what the kernel may hold of what a client does not read, in bytes. With the usual megabytes a
	// stalled client goes unnoticed for ten thousands of events.
	sendBuffer = 32 << 10
	// reasonLimit is what a close frame has room for, in bytes.
	reasonLimit = 123
)

// WebSocket returns the handler of WebSockets.
func (g *Gateway) WebSocket() http.Handler { return http.HandlerFunc(g.serveWebSocket) }

func (g *Gateway) serveWebSocket(w http.ResponseWriter, r *http.Request) {
	if !websocket.IsWebSocketUpgrade(r) {
		w.Header().Set("Upgrade", "websocket")
		w.Header().Set("Connection", "Upgrade")
		g.cfg.Problem(w, r, http.StatusUpgradeRequired, "This is a WebSocket; for Server-Sent Events see /v1/events.", nil)
		return
	}
	if !g.allowsOrigin(r) { // the upgrader would ask too, but only after the subscription was made
		g.cfg.Problem(w, r, http.StatusForbidden, "Pages of this origin may not open a WebSocket here.", nil)
		return
	}
	commands := slices.Contains(websocket.Subprotocols(r), commandProtocol)
	running, granted, leave, ok := g.enter(w, r, commands)
	if !ok {
		return
	}
	var s *events.Subscription
	if !commands {
		if s, ok = g.subscribe(w, r, granted, ""); !ok {
			leave()
			return
		}
	} else if r.URL.RawQuery != "" {
		g.cfg.Problem(w, r, http.StatusUnprocessableEntity, "", faults{"query": "has parameters; over " + commandProtocol + " things are asked for by messages"})
		leave()
		return
	}
	conn, err := g.upgrader.Upgrade(w, r, nil)
	if err != nil { // the client has been told
		if s != nil {
			s.Close()
		}
		leave()
		return
	}
	// The handler returns and takes net/http's buffers with it; the connection is served by goroutines of its own.
	if s != nil {
		go func() {
			defer leave()
			defer s.Close()
			g.serveConn(running, conn,
				func(ctx context.Context) error { return g.writeConn(ctx, conn, s) },
				func(context.Context) error { return g.readConn(conn) })
		}()
		return
	}
	dialogue := newDialogue(g, conn, granted, pageOf(r))
	go func() {
		defer leave()
		defer dialogue.close()
		g.serveConn(running, conn, dialogue.write, dialogue.read)
	}()
}

// serveConn writes to a connection, and reads from it, until either ends, and closes the connection.
func (g *Gateway) serveConn(running context.Context, conn *websocket.Conn, write, read func(context.Context) error) {
	if tcp, ok := conn.NetConn().(*net.TCPConn); ok {
		tcp.SetWriteBuffer(sendBuffer) // a wish; without it a slow client is found out later
	}
	ctx, cancel := context.WithCancelCause(running)
	defer cancel(nil)
	done := make(chan struct{})
	go func() {
		defer close(done)
		cancel(read(ctx))
	}()
	err := write(ctx)
	cancel(err)
	code, reason := g.farewell(err)
	if code != 0 {
		deadline := time.Now().Add(time.Second)
		if conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), deadline) == nil {
			select { // who cuts the connection before the client has answered may lose what is on its way
			case <-done:
			case <-time.After(time.Until(deadline)):
			}
		}
	}
	conn.Close()
	<-done
}

// errGone is why a connection ends that the client has closed, or that has broken.
var errGone = errors.New("the client has gone")

// errUnexpected is why a connection ends whose client sent a message.
var errUnexpected = errors.New("the client sent a message; none is understood here")

// listen makes pongs be taken for signs of life, of which there must be one now and then. It returns what else is to be
// called at such a sign.
func (g *Gateway) listen(conn *websocket.Conn) (alive func() error, err error) {
	alive = func() error { return conn.SetReadDeadline(time.Now().Add(g.cfg.Ping * 5 / 2)) }
	conn.SetReadLimit(readLimit)
	conn.SetPongHandler(func(string) error { return alive() })
	if err := alive(); err != nil {
		return nil, fmt.Errorf("%w: %w", errGone, err)
	}
	return alive, nil
}

// readConn reads, which is what makes pongs and closes be noticed, until the connection ends.
func (g *Gateway) readConn(conn *websocket.Conn) error {
	if _, err := g.listen(conn); err != nil {
		return err
	}
	if _, _, err := conn.NextReader(); err != nil {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	return errUnexpected
}

// writeConn writes frames and pings until something ends.
func (g *Gateway) writeConn(ctx context.Context, conn *websocket.Conn, s *events.Subscription) error {
	ping := time.Now().Add(g.cfg.Ping)
	for {
		frames, err := s.Next(ctx, max(0, time.Until(ping)))
		if err != nil {
			return err
		}
		now := time.Now()
		if err := conn.SetWriteDeadline(now.Add(g.cfg.WriteTimeout)); err != nil {
			return fmt.Errorf("%w: %w", errGone, err)
		}
		for _, f := range frames {
			if err := conn.WriteMessage(websocket.TextMessage, f.JSON); err != nil {
				return fmt.Errorf("%w: %w", errGone, err)
			}
		}
		if now.Before(ping) {
			continue
		}
		if err := conn.WriteControl(websocket.PingMessage, nil, now.Add(g.cfg.WriteTimeout)); err != nil {
			return fmt.Errorf("%w: %w", errGone, err)
		}
		ping = now.Add(g.cfg.Ping)
	}
}

// farewell returns the code and reason to close with; 0: there is nobody to tell.
func (g *Gateway) farewell(err error) (code int, reason string) {
	slow, isSlow := errors.AsType[*events.SlowError](err)
	switch {
	case isSlow:
		reason := url.Values{"reason": {"slow"}, "after": {slow.Cursor}}.Encode()
		if len(reason) > reasonLimit {
			reason = "reason=slow"
		}
		return websocket.CloseTryAgainLater, reason
	case errors.Is(err, errStopping), errors.Is(err, events.ErrStopped):
		return websocket.CloseGoingAway, g.reconnect("stopping")
	case errors.Is(err, errUnexpected):
		return websocket.ClosePolicyViolation, "reason=unexpected"
	case errors.Is(err, token.ErrExpired):
		return websocket.ClosePolicyViolation, "reason=expired"
	case errors.Is(err, errIdle):
		return websocket.ClosePolicyViolation, "reason=idle"
	case errors.Is(err, errRate):
		return websocket.ClosePolicyViolation, "reason=rate&" + url.Values{"reconnect_ms": {fmt.Sprint(time.Minute.Milliseconds())}}.Encode()
	case errors.Is(err, errGone):
		return 0, ""
	default:
		g.cfg.Logger.Warn("ended a stream", "error", err)
		return websocket.CloseInternalServerErr, g.reconnect("unavailable")
	}
}

func (g *Gateway) reconnect(reason string) string {
	return url.Values{"reason": {reason}, "reconnect_ms": {fmt.Sprint(g.comeBack().Milliseconds())}}.Encode()
}
