package gateway

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/gorilla/websocket"

	"github.com/seri-queue/seri/internal/consumers"
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
	// fragmentLimit bounds the fragments of one: empty ones add nothing to its length.
	fragmentLimit = 4096
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
		g.askForUpgrade(w, r, "This is a WebSocket; for Server-Sent Events see /v1/events.")
		return
	}
	if !g.allowsOrigin(r) { // the upgrader would ask too, but only after the subscription was made
		g.cfg.Problem(w, r, http.StatusForbidden, "Pages of this origin may not open a WebSocket here.", nil)
		return
	}
	commands := slices.Contains(websocket.Subprotocols(r), commandProtocol)
	granted, visit, ok := g.enter(w, r, commands)
	if !ok {
		return
	}
	p := &peer{g: g, visit: visit, plain: !commands}
	if !commands {
		if p.stream, ok = g.subscribe(w, r, granted, ""); !ok {
			visit.leave()
			return
		}
	} else if r.URL.RawQuery != "" {
		g.cfg.Problem(w, r, http.StatusUnprocessableEntity, "", faults{"query": "has parameters; over " + commandProtocol + " things are asked for by messages"})
		visit.leave()
		return
	}
	conn, err := g.upgrader.Upgrade(w, r, nil)
	if err != nil { // the client has been told
		if p.stream != nil {
			p.stream.Close()
		}
		visit.leave()
		return
	}
	// The handler returns and takes net/http's buffers with it, and the upgrader's connection: frames are read and written
	// without it.
	p.page = pageOf(r)
	p.fleeting = !commands && isFleeting(r)
	if granted.all || granted.holder != "" {
		p.hold([]grant{granted})
	}
	if err := p.start(conn.NetConn()); err != nil {
		g.cfg.Logger.ErrorContext(r.Context(), "could not serve a WebSocket", "error", err)
		if p.stream != nil {
			p.stream.Close()
		}
		conn.Close()
		visit.leave()
	}
}

// askForUpgrade answers what is no request for a WebSocket.
func (g *Gateway) askForUpgrade(w http.ResponseWriter, r *http.Request, detail string) {
	w.Header().Set("Upgrade", "websocket")
	w.Header().Set("Connection", "Upgrade")
	w.Header().Set("Sec-WebSocket-Version", "13")
	g.cfg.Problem(w, r, http.StatusUpgradeRequired, detail, nil)
}

// errGone is why a connection ends that the client has closed, or that has broken.
var errGone = errors.New("the client has gone")

// errUnexpected is why a connection ends whose client sent a message.
var errUnexpected = errors.New("the client sent a message; none is understood here")

// brokenReasons are what a close frame calls what is wrong with a client's frames, by its code.
var brokenReasons = map[int]string{
	websocket.CloseProtocolError: "protocol", websocket.CloseInvalidFramePayloadData: "encoding", websocket.CloseMessageTooBig: "size",
}

// farewell returns the code and reason to close with; 0: there is nobody to tell.
func (g *Gateway) farewell(err error) (code int, reason string) {
	slow, isSlow := errors.AsType[*events.SlowError](err)
	closed, isClosed := errors.AsType[*closedError](err)
	broken, isBroken := errors.AsType[*brokenError](err)
	switch {
	case isClosed:
		return closed.code, ""
	case isBroken:
		return broken.code, "reason=" + brokenReasons[broken.code] + "&detail=" + url.QueryEscape(broken.what)
	case isSlow:
		reason := "reason=slow&after=" + url.QueryEscape(slow.Cursor)
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
	case errors.Is(err, consumers.ErrTaken):
		return websocket.ClosePolicyViolation, "reason=taken"
	case errors.Is(err, errUnacknowledged):
		return websocket.ClosePolicyViolation, "reason=unacknowledged"
	case errors.Is(err, errIdle):
		return websocket.ClosePolicyViolation, "reason=idle"
	case errors.Is(err, errRate):
		return websocket.ClosePolicyViolation, fmt.Sprintf("reason=rate&reconnect_ms=%d", time.Minute.Milliseconds())
	case errors.Is(err, errGone):
		return 0, ""
	default:
		g.cfg.Logger.Warn("ended a stream", "error", err)
		return websocket.CloseInternalServerErr, g.reconnect("unavailable")
	}
}

func (g *Gateway) reconnect(reason string) string {
	return fmt.Sprintf("reason=%s&reconnect_ms=%d", reason, g.comeBack().Milliseconds())
}
