// Package gatewaytest has a client for the gateway's streams, one for both transports. It does nothing by itself: it
// does not reconnect, and it hands out each frame as it came.
package gatewaytest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"github.com/seri-queue/seri/internal/wire"
)

// StatusError is an answer that is no stream.
type StatusError struct {
	Status int
	Header http.Header
	Body   string
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("the gateway answered %d: %s", e.Status, strings.TrimSpace(e.Body))
}

func statusError(resp *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	resp.Body.Close()
	return &StatusError{resp.StatusCode, resp.Header, string(body)}
}

// Stream is an open stream of frames.
type Stream struct {
	// Header is that of the answer that opened it.
	Header http.Header
	// Retry is the last delay that an SSE stream has asked for before a reconnection.
	Retry time.Duration
	// LastEventID is what a browser would send when it reconnects to an SSE stream.
	LastEventID string

	next  func() (wire.CloudEvent, error)
	close func() error
}

// Next waits for the next frame. [io.EOF] is the end of an SSE stream, a [*websocket.CloseError] that of a WebSocket.
func (s *Stream) Next() (wire.CloudEvent, error) { return s.next() }

// Close drops the connection without a farewell.
func (s *Stream) Close() error { return s.close() }

// SSE opens a stream at an http URL. header is sent along; nil: nothing to add.
func SSE(ctx context.Context, url string, header http.Header) (*Stream, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	maps.Copy(req.Header, header)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, statusError(resp)
	}
	s := &Stream{Header: resp.Header, close: resp.Body.Close}
	lines := bufio.NewReader(resp.Body)
	s.next = func() (wire.CloudEvent, error) { return s.readEvent(lines) }
	return s, nil
}

// readEvent reads lines until an event is complete, as the HTML standard says.
func (s *Stream) readEvent(lines *bufio.Reader) (wire.CloudEvent, error) {
	var name string
	var data []byte
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return wire.CloudEvent{}, err
		}
		field, value, _ := strings.Cut(strings.TrimSuffix(string(line), "\n"), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case field == "id":
			s.LastEventID = value
		case field == "event":
			name = value
		case field == "data":
			data = append(data, value...)
		case field == "retry":
			if s.Retry, err = time.ParseDuration(value + "ms"); err != nil {
				return wire.CloudEvent{}, err
			}
		case len(bytes.TrimSpace(line)) == 0 && len(data) > 0:
			ce, err := decode(data)
			if err == nil && (ce.Type != name || s.LastEventID != "" && ce.Cursor != s.LastEventID) {
				err = fmt.Errorf("event %q with id %q has data %s", name, s.LastEventID, data)
			}
			return ce, err
		}
	}
}

// WebSocket opens a stream at an http URL. header is sent along; nil: nothing to add.
func WebSocket(ctx context.Context, url string, header http.Header) (*Stream, error) {
	dialer := websocket.Dialer{Subprotocols: []string{"cloudevents.json"}}
	conn, resp, err := dialer.DialContext(ctx, "ws"+strings.TrimPrefix(url, "http"), header)
	if err != nil {
		if errors.Is(err, websocket.ErrBadHandshake) {
			return nil, statusError(resp)
		}
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	next := func() (wire.CloudEvent, error) {
		kind, data, err := conn.ReadMessage()
		if err != nil {
			return wire.CloudEvent{}, err
		}
		if kind != websocket.TextMessage {
			return wire.CloudEvent{}, fmt.Errorf("got a message of type %d", kind)
		}
		return decode(data)
	}
	return &Stream{Header: resp.Header, next: next, close: func() error { stop(); return conn.Close() }}, nil
}

func decode(data []byte) (wire.CloudEvent, error) {
	var ce wire.CloudEvent
	if err := json.Unmarshal(data, &ce); err != nil {
		return ce, fmt.Errorf("%s: %w", data, err)
	}
	return ce, nil
}
