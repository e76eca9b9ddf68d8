package gateway_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/events"
	"github.com/seri-queue/seri/internal/gateway"
	"github.com/seri-queue/seri/internal/gateway/gatewaytest"
	"github.com/seri-queue/seri/internal/keys"
)

func TestStreamIsASnapshotAndWhatFollows(t *testing.T) {
	each(t, func(t *testing.T, transport string) {
		s := newSite(t, gateway.Config{}, events.Config{})
		for _, query := range []string{"", "task=a", "owner=user%3A1", "queue=q", "type=t", "task=a&queue=q&owner=user:1&type=t"} {
			stream := s.mustOpen(transport, query)
			snapshot, _ := read(t, stream, 1)
			s.emit("a", 2, 3)
			s.emit("a", 4)
			frames, cursor := read(t, stream, 2)
			read(t, stream, 1) // the hub is past it, so the next subscription does not see it
			stream.Close()
			rest, _ := read(t, s.mustOpen(transport, strings.Trim(query+"&after="+url.QueryEscape(cursor), "&")), 1)

			expect(t, append(append(snapshot, frames...), rest...), "snapshot", "task.progress2", "task.progress3", "task.progress4")
		}
	})
}

func TestBadRequestsAreRefusedBeforeTheStream(t *testing.T) {
	each(t, func(t *testing.T, transport string) {
		s := newSite(t, gateway.Config{}, events.Config{})
		for name, c := range map[string]struct {
			query  string
			status int
			detail string
		}{
			"a parameter that is not known": {"tasks=a", 422, "not known"},
			"a parameter given twice":       {"task=a&task=b", 422, "2 times"},
			"an empty parameter":            {"task=", 422, "empty"},
			"a huge parameter":              {"task=" + strings.Repeat("x", 600), 422, "600 bytes"},
			"two faults":                    {"tasks=a&task=", 422, `"location":"query.tasks"`},
			"the place of a fault":          {"owner=", 422, `{"message":"is empty","location":"query.owner"}`},
			"more faults than are told":     {"a&b&c&d&e&f&g&h&i&j&k", 422, `"location":"query.h"}]}`},
			"a malformed query":             {"task=%zz", 422, "malformed"},
			"a parameter that is no text":   {"task=%ff", 422, "is not UTF-8"},
			"a malformed cursor":            {"after=yesterday", 422, "cursor"},
			"a cursor of an unnamed queue":  {"after=1-0:0", 422, "which"},
			"a task that is not there":      {"task=nobody", 404, "nobody"},
			"a Redis that does not answer":  {"task=broken", 503, "at the moment"},
		} {
			_, err := s.open(transport, c.query)

			refused, ok := errors.AsType[*gatewaytest.StatusError](err)
			if !ok {
				t.Errorf("%s: got %v", name, err)
				continue
			}
			if refused.Status != c.status || !strings.Contains(refused.Body, c.detail) ||
				refused.Header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("%s: got %v, %v", name, refused, refused.Header)
			}
			if refused.Status == 503 && refused.Header.Get("Retry-After") == "" {
				t.Errorf("%s: no Retry-After", name)
			}
		}
	})
}

func TestHeaderLastEventIDWinsOverTheQuery(t *testing.T) {
	t.Parallel()
	s := newSite(t, gateway.Config{}, events.Config{})
	stream := s.mustOpen("SSE", "queue=q")
	s.emit("a", 2, 3)
	read(t, stream, 1)
	_, second := read(t, stream, 1)

	resumed, err := gatewaytest.SSE(t.Context(), s.url+"/v1/events?queue=q&after=0-0:0", http.Header{"Last-Event-Id": {second}})
	if err != nil {
		t.Fatal(err)
	}
	defer resumed.Close()

	frames, _ := read(t, resumed, 1)
	expect(t, frames, "task.progress3")
}

func TestSSEHeadersForbidBuffering(t *testing.T) {
	t.Parallel()
	s := newSite(t, gateway.Config{}, events.Config{})
	stream := s.mustOpen("SSE", "")
	read(t, stream, 1)

	for name, want := range map[string]string{
		"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no",
	} {
		if got := stream.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

// A gateway that dies says nothing, so each EventSource must know another time beforehand.
func TestEachEventSourceIsToldAnotherTimeToComeBack(t *testing.T) {
	t.Parallel()
	const retry = 1500 * time.Millisecond
	s := newSite(t, gateway.Config{Retry: retry}, events.Config{})

	told := make(map[time.Duration]bool)
	for range 20 {
		stream := s.mustOpen("SSE", "")
		read(t, stream, 1)
		if stream.Retry < retry/2 || stream.Retry > retry*3/2 {
			t.Errorf("retry is %v", stream.Retry)
		}
		told[stream.Retry] = true
	}

	if len(told) < 10 {
		t.Errorf("twenty clients were told %v", told)
	}
}

func TestSilentSSEStreamIsKeptAliveAndItsCursorMovesOn(t *testing.T) {
	t.Parallel()
	s := newSite(t, gateway.Config{KeepAlive: 50 * time.Millisecond}, events.Config{})
	stream := s.mustOpen("SSE", "owner=nobody")
	_, first := read(t, stream, 1)
	s.emit("a", 2)

	resp, err := http.Get(s.url + "/v1/events?owner=nobody&after=" + url.QueryEscape(first))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b := make([]byte, 4096)
	seen := ""
	for !strings.Contains(seen, ": keep-alive\nid: q@1") {
		n, err := resp.Body.Read(b)
		if err != nil {
			t.Fatalf("%v after %q", err, seen)
		}
		seen += string(b[:n])
	}
	if strings.Contains(seen, "data:") {
		t.Errorf("got %q", seen)
	}
}

func TestPagesOfForeignOriginsMayNotConnect(t *testing.T) {
	t.Parallel()
	s := newSite(t, gateway.Config{Origins: []string{"https://app.example.com"}}, events.Config{})
	host := strings.TrimPrefix(s.url, "http://")
	for origin, allowed := range map[string]bool{
		"":                                 true, // not a browser
		s.url:                              true,
		"https://" + host:                  true, // the same host, TLS ended before it reached us
		"https://app.example.com":          true,
		"http://app.example.com":           false,
		"https://app.example.com:8443":     false,
		"https://app.example.com.evil":     false,
		"https://evil.app.example.com":     false,
		"https://evil.com":                 false,
		"null":                             false,
		"https://" + host + "@evil.com":    false,
		"https://evil.com/" + host:         false,
		"https://APP.example.com":          false,
		"https://app.example.com, " + host: false,
	} {
		header := http.Header{}
		if origin != "" {
			header.Set("Origin", origin)
		}

		stream, err := gatewaytest.WebSocket(t.Context(), s.url+"/v1/ws", header)

		refused, _ := errors.AsType[*gatewaytest.StatusError](err)
		switch {
		case allowed && err != nil:
			t.Errorf("%q: %v", origin, err)
		case !allowed && (refused == nil || refused.Status != http.StatusForbidden):
			t.Errorf("%q: got %v", origin, err)
		}
		if err == nil {
			stream.Close()
		}
	}
}

func TestSubprotocolIsPickedWhenOffered(t *testing.T) {
	t.Parallel()
	s := newSite(t, gateway.Config{}, events.Config{})
	for name, c := range map[string]struct {
		offered []string
		want    string
	}{
		"offered":     {[]string{"mqtt", "cloudevents.json"}, "cloudevents.json"},
		"not offered": {nil, ""},
	} {
		conn, _, err := (&websocket.Dialer{Subprotocols: c.offered}).Dial("ws"+strings.TrimPrefix(s.url, "http")+"/v1/ws", nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := conn.Subprotocol(); got != c.want {
			t.Errorf("%s: got %q", name, got)
		}
		conn.Close()
	}
}

func TestWebSocketIsPingedAndASilentClientDropped(t *testing.T) {
	t.Parallel()
	s := newSite(t, gateway.Config{Ping: 250 * time.Millisecond}, events.Config{})
	dial := func() *websocket.Conn {
		conn, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(s.url, "http")+"/v1/ws", nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	alive, silent := dial(), dial()
	pings := 0
	enough := errors.New("enough")
	alive.SetPingHandler(func(string) error {
		if pings++; pings == 4 { // more than the two and a half of silence that are allowed
			return enough
		}
		return alive.WriteControl(websocket.PongMessage, nil, time.Now().Add(time.Second))
	})
	silent.SetPingHandler(func(string) error { return nil })
	readAll := func(conn *websocket.Conn) error {
		conn.SetReadDeadline(time.Now().Add(patience))
		for {
			if _, _, err := conn.ReadMessage(); err != nil {
				return err
			}
		}
	}

	if err := readAll(alive); !errors.Is(err, enough) {
		t.Errorf("the client that answers was dropped after %d pings: %v", pings, err)
	}
	err := readAll(silent)
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		t.Error("the client that does not answer was kept")
	}
}

func TestClientThatSendsMessagesIsTurnedAway(t *testing.T) {
	t.Parallel()
	s := newSite(t, gateway.Config{}, events.Config{})
	send := func(bytes int) error {
		conn, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(s.url, "http")+"/v1/ws", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetReadDeadline(time.Now().Add(patience))
		err = conn.WriteMessage(websocket.TextMessage, make([]byte, bytes))
		for err == nil {
			_, _, err = conn.ReadMessage()
		}
		return err
	}

	if err := send(10); !websocket.IsCloseError(err, websocket.ClosePolicyViolation) {
		t.Errorf("a message: %v", err)
	}
	if err := send(10 << 20); errors.Is(err, os.ErrDeadlineExceeded) { // cut, in the middle of the message or after it
		t.Errorf("a huge message: %v", err)
	}
}

func TestStreamsEndWithTheGateway(t *testing.T) {
	each(t, func(t *testing.T, transport string) {
		s := newSite(t, gateway.Config{}, events.Config{})
		streams := make([]*gatewaytest.Stream, 20)
		for i := range streams {
			streams[i] = s.mustOpen(transport, "")
			read(t, streams[i], 1)
		}

		stopped := make(chan struct{})
		go func() { s.stop(); close(stopped) }()

		delays := make(map[time.Duration]bool)
		for _, stream := range streams {
			_, err := stream.Next()
			delay := stream.Retry
			if transport == "WebSocket" {
				closed, ok := errors.AsType[*websocket.CloseError](err)
				if !ok || closed.Code != websocket.CloseGoingAway {
					t.Fatalf("got %v", err)
				}
				reason, _ := url.ParseQuery(closed.Text)
				delay, _ = time.ParseDuration(reason.Get("reconnect_ms") + "ms")
				if reason.Get("reason") != "stopping" {
					t.Errorf("the reason is %q", closed.Text)
				}
			} else if !errors.Is(err, io.EOF) {
				t.Fatalf("got %v", err)
			}
			delays[delay] = true
		}
		<-stopped
		if len(delays) < 10 {
			t.Errorf("the delays are %v", delays)
		}
		if _, err := s.open(transport, ""); err == nil || !strings.Contains(err.Error(), "503") {
			t.Errorf("a stopped gateway answered %v", err)
		}
	})
}

func TestClientThatDoesNotReadDoesNotHoldUpTheStop(t *testing.T) {
	t.Parallel()
	s := newSite(t, gateway.Config{WriteTimeout: time.Minute}, events.Config{})
	dialer := narrow()
	slow, _, err := dialer.Dial("ws"+strings.TrimPrefix(s.url, "http")+"/v1/ws?queue=q", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	fast := s.mustOpen("SSE", "queue=q")
	read(t, fast, 1)
	const batch = 50
	for n := range 30 { // more than the network holds, less than the hub does
		seqs := make([]int, batch)
		for i := range seqs {
			seqs[i] = 2 + n*batch + i
		}
		s.emitAs("queued", "a", seqs...)
		read(t, fast, batch)
	}

	stopped := make(chan struct{})
	go func() { s.stop(); close(stopped) }()

	select {
	case <-stopped:
	case <-time.After(patience):
		t.Error("the gateway waits for a client that does not read")
	}
}

func TestClientThatDoesNotReadIsCutAndOthersAreNot(t *testing.T) {
	t.Parallel()
	s := newSite(t, gateway.Config{WriteTimeout: time.Minute}, events.Config{Buffer: 200_000})
	slow, fast := s.mustOpen("WebSocket", "queue=q"), s.mustOpen("SSE", "queue=q")
	read(t, fast, 1)

	// The network takes some megabytes for a client that does not read; then its buffer fills.
	const batch = 50
	seq := 1
	for range 400 {
		seqs := make([]int, batch)
		for i := range seqs {
			seq++
			seqs[i] = seq
		}
		s.emitAs("queued", "a", seqs...) // of which none is left out
		read(t, fast, batch)
	}

	var cursor string
	for {
		ce, err := slow.Next()
		if err == nil {
			cursor = ce.Cursor
			continue
		}
		closed, ok := errors.AsType[*websocket.CloseError](err)
		if !ok || closed.Code != websocket.CloseTryAgainLater {
			t.Fatalf("got %v", err)
		}
		reason, _ := url.ParseQuery(closed.Text)
		if reason.Get("reason") != "slow" || reason.Get("after") != cursor {
			t.Errorf("the reason is %q, the last cursor %q", closed.Text, cursor)
		}
		break
	}
}

// TestWebSocketsOpenWhileEventsCome is for the race detector: an event that comes while a peer begins must find all of it.
func TestWebSocketsOpenWhileEventsCome(t *testing.T) {
	t.Parallel()
	s := newSite(t, gateway.Config{}, events.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	var emitting sync.WaitGroup
	defer emitting.Wait()
	defer cancel()
	emitting.Go(func() {
		entry := &redis.XAddArgs{
			Stream: keys.Queue("q").Events(), MaxLen: 1000, Approx: true,
			Values: []string{"e", `[{"kind":"progress","task":"a","type":"t","seq":2,"at":1763800000123}]`},
		}
		for ctx.Err() == nil {
			if err := s.rdb.XAdd(ctx, entry).Err(); err != nil && ctx.Err() == nil {
				t.Error(err)
				return
			}
		}
	})
	for range 300 {
		conn, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(s.url, "http")+"/v1/ws?queue=q", nil)
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
}
