package gateway_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/seri-queue/seri/internal/events"
	"github.com/seri-queue/seri/internal/gateway"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/internal/token"
	"github.com/seri-queue/seri/internal/wire"
)

// talker is a client of a WebSocket of commands.
type talker struct {
	t    *testing.T
	conn *websocket.Conn
}

func (s *site) talk(header http.Header, protocols ...string) *talker {
	s.t.Helper()
	dialer := websocket.Dialer{Subprotocols: append([]string{"seri.v1"}, protocols...)}
	conn, _, err := dialer.DialContext(s.t.Context(), "ws"+strings.TrimPrefix(s.url, "http")+"/v1/ws", header)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	if conn.Subprotocol() != "seri.v1" {
		s.t.Errorf("the subprotocol is %q", conn.Subprotocol())
	}
	conn.SetReadDeadline(time.Now().Add(patience))
	return &talker{s.t, conn}
}

func (k *talker) say(format string, args ...any) {
	k.t.Helper()
	if err := k.conn.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, format, args...)); err != nil {
		k.t.Fatal(err)
	}
}

func (k *talker) next() (wire.CloudEvent, error) {
	var ce wire.CloudEvent
	_, frame, err := k.conn.ReadMessage()
	if err != nil {
		return ce, err
	}
	if err := checkFrame(frame); err != nil { // whatever the test is about, the contract holds
		k.t.Error(err)
	}
	return ce, json.Unmarshal(frame, &ce)
}

// hear reads frames, each in short, and compares them.
func (k *talker) hear(want ...string) (last wire.CloudEvent) {
	k.t.Helper()
	for _, w := range want {
		ce, err := k.next()
		if err != nil {
			k.t.Fatalf("waiting for %s: %v", w, err)
		}
		got := strings.TrimPrefix(ce.Type, "dev.seri.")
		switch ce.Type {
		case wire.TypeError:
			var e wire.Refused
			_ = json.Unmarshal(ce.Data, &e)
			got = fmt.Sprintf("error %d %s", e.Status, ce.Subscription)
		case wire.TypeSnapshot:
			got += " " + ce.Subscription
		case wire.TypeSubscribed, wire.TypeUnsubscribed:
			var s wire.Subscribed
			_ = json.Unmarshal(ce.Data, &s)
			got += " " + strings.Join(s.Subscriptions, ",")
			if s.Resumed {
				got += " resumed"
			}
		default:
			if ce.Sequence != "" {
				got += " " + ce.Subject + ce.Sequence
			}
		}
		if got != w {
			k.t.Errorf("got %s (%s), want %s", got, ce.Data, w)
		}
		last = ce
	}
	return last
}

// hearEnd reads until the connection is closed and returns the code and reason.
func (k *talker) hearEnd() (code int, reason string) {
	k.t.Helper()
	for {
		_, err := k.next()
		if closed, ok := errors.AsType[*websocket.CloseError](err); ok {
			return closed.Code, closed.Text
		}
		if err != nil {
			k.t.Fatal(err)
		}
	}
}

func TestOneWebSocketWatchesManyThings(t *testing.T) {
	t.Parallel()
	s := newSite(t, gateway.Config{}, events.Config{})
	k := s.talk(nil)

	k.say(`{"op":"subscribe","subscriptions":[{"id":"A","task":"a"},{"id":"Q","queue":"q"}]}`)
	k.hear("subscribed A,Q", "snapshot A", "snapshot Q")
	s.emit("a", 2)
	s.emit("b", 1)
	k.hear("task.progress a2", "task.progress b1")
	k.say(`{"op":"unsubscribe","ids":["Q","never"]}`)
	k.hear("unsubscribed Q,never")
	s.emit("b", 2)
	s.emit("a", 3)
	last := k.hear("task.progress a3")
	k.conn.Close()
	s.emit("a", 4)

	k = s.talk(nil)
	k.say(`{"op":"subscribe","after":%q,"subscriptions":[{"id":"A","task":"a"}]}`, last.Cursor)
	k.hear("subscribed A resumed", "task.progress a4")
	k.say(`{"op":"subscribe","subscriptions":[{"id":"again","task":"a"}]}`)
	k.hear("subscribed again", "snapshot again")
	k.say(`{"op":"ping"}`)
	if alive := k.hear("alive"); alive.Cursor == "" {
		t.Error("a sign of life has no cursor")
	}
}

func TestWhatAClientGetsWrongIsSaidToIt(t *testing.T) {
	t.Parallel()
	s := newSite(t, gateway.Config{Subscriptions: 3}, events.Config{})
	k := s.talk(nil)
	k.say(`{"op":"subscribe","subscriptions":[{"id":"A","task":"a"}]}`)
	k.hear("subscribed A", "snapshot A")

	for message, want := range map[string][]string{
		`{`:                        {"error 400 "},
		`[]`:                       {"error 400 "},
		`"subscribe"`:              {"error 400 "},
		`null`:                     {"error 400 "},
		`{"op":"subscribe"}`:       {"error 400 "},
		`{"op":"unsubscribe"}`:     {"error 400 "},
		`{"op":"authorize"}`:       {"error 400 "},
		`{"op":"revoke"}`:          {"error 400 "},
		`{"op":"ping","extra":1}`:  {"error 400 "},
		`{"op":"ping"}{}`:          {"error 400 "},
		"\x00":                     {"error 400 "},
		strings.Repeat("[", 20000): {"error 400 "},
		`{"op":"subscribe","subscriptions":[{"task":"a"}]}`:                                                                                {"error 422 "},
		`{"op":"subscribe","subscriptions":[{"id":"A","task":"b"}]}`:                                                                       {"error 409 A"},
		`{"op":"subscribe","subscriptions":[{"id":"N","task":"nobody"}]}`:                                                                  {"error 404 N"},
		`{"op":"subscribe","subscriptions":[{"id":"L","task":"` + strings.Repeat("x", 600) + `"}]}`:                                        {"error 422 L"},
		`{"op":"subscribe","after":"-","subscriptions":[{"id":"B","task":"a"}]}`:                                                           {"error 409 "},
		`{"op":"subscribe","subscriptions":[{"id":"1","task":"nobody"},{"id":"2","task":"nobody"},{"id":"3"},{"id":"4","task":"nobody"}]}`: {"error 429 3", "error 429 4", "error 404 1", "error 404 2"},
		`{"op":"authorize","token":"` + strings.Repeat("x", 9000) + `"}`:                                                                   {"error 401 "},
	} {
		k.say("%s", message)
		k.hear(want...)
	}
	s.emit("a", 2)
	k.hear("task.progress a2")
}

func TestClientMaySpeakInFragmentsAndPing(t *testing.T) {
	t.Parallel()
	s := newSite(t, gateway.Config{}, events.Config{})
	dialer := websocket.Dialer{Subprotocols: []string{"seri.v1"}, WriteBufferSize: 16} // what is longer goes in fragments
	conn, _, err := dialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(s.url, "http")+"/v1/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(patience))
	ponged := ""
	conn.SetPongHandler(func(data string) error { ponged = data; return nil })
	k := &talker{t, conn}

	if err := conn.WriteControl(websocket.PingMessage, []byte("are you there?"), time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	k.say(`{"op":"subscribe","subscriptions":[{"id":"A","task":"a","queue":"q"},{"id":"everything of the queue","queue":"q"}]}`)
	k.hear("subscribed A,everything of the queue", "snapshot A", "snapshot everything of the queue")
	if err := conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(4321, "enough"), time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}

	if code, _ := k.hearEnd(); code != 4321 {
		t.Errorf("the close frame was answered with %d", code)
	}
	if ponged != "are you there?" {
		t.Errorf("the ping was answered with %q", ponged)
	}
}

func TestFloodOfPingsIsTurnedAway(t *testing.T) {
	t.Parallel()
	s := newSite(t, gateway.Config{Messages: 20}, events.Config{})
	k := s.talk(nil)
	k.say(`{"op":"subscribe","subscriptions":[{"id":"A","task":"a"}]}`)
	for range 30 {
		if err := k.conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(patience)); err != nil {
			break // it has been closed already
		}
	}

	if code, reason := k.hearEnd(); code != websocket.ClosePolicyViolation || !strings.Contains(reason, "rate") {
		t.Errorf("got %d %s", code, reason)
	}
}

func TestMalformedCursorIsRefusedAndTheConnectionLives(t *testing.T) {
	t.Parallel()
	k := newSite(t, gateway.Config{}, events.Config{}).talk(nil)

	k.say(`{"op":"subscribe","after":"yesterday","subscriptions":[{"id":"A","task":"a"}]}`)
	k.hear("error 422 ")
	k.say(`{"op":"subscribe","subscriptions":[{"id":"A","task":"a"}]}`)

	k.hear("subscribed A", "snapshot A")
}

func TestClientThatAsksForNothingOrTooOftenIsClosed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cfg    gateway.Config
		says   int
		reason string
	}{
		"for nothing": {gateway.Config{Patience: 50 * time.Millisecond}, 0, "reason=idle"},
		"too often":   {gateway.Config{Messages: 20}, 11, "reason=rate&reconnect_ms=60000"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newSite(t, c.cfg, events.Config{}).talk(nil)
			for range c.says {
				k.say(`{"op":"ping"}`)
			}

			if code, reason := k.hearEnd(); code != websocket.ClosePolicyViolation || reason != c.reason {
				t.Errorf("closed with %d %s", code, reason)
			}
		})
	}
}

func TestSilentDialogueSaysThatItLives(t *testing.T) {
	t.Parallel()
	s := newSite(t, gateway.Config{Ping: 50 * time.Millisecond}, events.Config{})
	k := s.talk(nil)
	k.say(`{"op":"subscribe","subscriptions":[{"id":"A","task":"a"}]}`)
	k.hear("subscribed A", "snapshot A")

	k.hear("alive", "alive")
}

// tokens makes tokens for a site.
type tokens struct {
	t    *testing.T
	ring *token.Ring
}

func (k tokens) mint(p token.Pass, ttl time.Duration) string {
	k.t.Helper()
	// Made in the past, so that it can last less than tokens may.
	text, _, err := k.ring.Mint(p, ttl+time.Minute, time.Now().Add(-time.Minute))
	if err != nil {
		k.t.Fatal(err)
	}
	return text
}

func newGuardedSite(t *testing.T, cfg gateway.Config) (*site, tokens) {
	return newGuardedSiteAs(t, cfg, events.Config{}, nature{})
}

func newGuardedSiteAs(t *testing.T, cfg gateway.Config, hubCfg events.Config, is nature) (*site, tokens) {
	t.Helper()
	ring, err := token.Parse("k:" + strings.Repeat("Zm9yIHRl", 8))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Tokens = ring
	return newSiteAs(t, redistest.New(t), cfg, hubCfg, is), tokens{t, ring}
}

var ofA = token.Pass{Scope: token.Scope{Tasks: []string{"a"}}}

func TestTokenComesByAnyWayButTheURL(t *testing.T) {
	t.Parallel()
	s, k := newGuardedSite(t, gateway.Config{})
	text := k.mint(ofA, time.Minute)
	other := "x"
	if text[len(text)-2] == 'x' {
		other = "y"
	}
	ws := "ws" + strings.TrimPrefix(s.url, "http") + "/v1/ws?task=a"

	for name, c := range map[string]struct {
		url    string
		header http.Header
		status int
	}{
		"SSE by header":                            {s.url + "/v1/events?task=a", http.Header{"Authorization": {"Bearer " + text}}, 200},
		"SSE by cookie":                            {s.url + "/v1/events?task=a", http.Header{"Cookie": {"seri_token=" + text}}, 200},
		"SSE by a cookie of the host only":         {s.url + "/v1/events?task=a", http.Header{"Cookie": {"__Host-seri_token=" + text}}, 200},
		"SSE by cookie, from a foreign page":       {s.url + "/v1/events?task=a", http.Header{"Cookie": {"seri_token=" + text}, "Origin": {"https://evil.example"}}, 403},
		"SSE without, offering a subprotocol":      {s.url + "/v1/events?task=a", http.Header{"Sec-Websocket-Protocol": {"seri.v1"}}, 401},
		"SSE without":                              {s.url + "/v1/events?task=a", nil, 401},
		"SSE by the URL":                           {s.url + "/v1/events?task=a&token=" + text, nil, 401},
		"SSE, wrong in one character":              {s.url + "/v1/events?task=a", http.Header{"Authorization": {"Bearer " + text[:len(text)-2] + other + text[len(text)-1:]}}, 401},
		"SSE of another task":                      {s.url + "/v1/events?task=b", http.Header{"Authorization": {"Bearer " + text}}, 403},
		"SSE of a task that does not exist":        {s.url + "/v1/events?task=nobody", http.Header{"Authorization": {"Bearer " + text}}, 403},
		"SSE of nothing in particular":             {s.url + "/v1/events", http.Header{"Authorization": {"Bearer " + text}}, 200}, // is of the one task
		"SSE of a queue":                           {s.url + "/v1/events?queue=q", http.Header{"Authorization": {"Bearer " + text}}, 200},
		"WebSocket by header":                      {ws, http.Header{"Authorization": {"Bearer " + text}}, 101},
		"WebSocket by subprotocol":                 {ws, http.Header{"Sec-Websocket-Protocol": {"cloudevents.json, seri.token." + text}}, 101},
		"WebSocket by cookie":                      {ws, http.Header{"Cookie": {"seri_token=" + text}}, 101},
		"WebSocket by cookie, from a foreign page": {ws, http.Header{"Cookie": {"seri_token=" + text}, "Origin": {"https://evil.example"}}, 403},
		"WebSocket without":                        {ws, nil, 401},
		"WebSocket by the URL":                     {ws + "&token=" + text, nil, 401},
		"WebSocket of another task":                {strings.Replace(ws, "task=a", "task=b", 1), http.Header{"Authorization": {"Bearer " + text}}, 403},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, strings.Replace(c.url, "ws:", "http:", 1), nil)
			if err != nil {
				t.Fatal(err)
			}
			if c.header != nil {
				req.Header = c.header.Clone()
			}
			if strings.HasPrefix(c.url, "ws:") {
				req.Header.Set("Connection", "Upgrade")
				req.Header.Set("Upgrade", "websocket")
				req.Header.Set("Sec-Websocket-Version", "13")
				req.Header.Set("Sec-Websocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
			}
			resp, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != c.status {
				t.Errorf("got %s", resp.Status)
			}
			if strings.Contains(resp.Header.Get("Sec-Websocket-Protocol"), "token") {
				t.Error("the token is repeated")
			}
		})
	}
}

func TestScopeHoldsForEachSubscription(t *testing.T) {
	t.Parallel()
	s, k := newGuardedSite(t, gateway.Config{})
	for name, c := range map[string]struct {
		scope token.Scope
		asked string
		want  string
	}{
		"the task":                  {token.Scope{Tasks: []string{"a"}}, `"task":"a"`, "subscribed X"},
		"another task":              {token.Scope{Tasks: []string{"a"}}, `"task":"b"`, "error 403 X"},
		"everything, by one task":   {token.Scope{Tasks: []string{"a"}}, `"type":"t"`, "subscribed X"},
		"everything, by two tasks":  {token.Scope{Tasks: []string{"a", "b"}}, `"type":"t"`, "error 403 X"},
		"the owner":                 {token.Scope{Owner: "user:1"}, `"owner":"user:1"`, "subscribed X"},
		"another owner":             {token.Scope{Owner: "user:1"}, `"owner":"user:2"`, "error 403 X"},
		"a longer owner":            {token.Scope{Owner: "user:1"}, `"owner":"user:10"`, "error 403 X"},
		"a queue, of an owner":      {token.Scope{Owner: "user:1"}, `"queue":"q"`, "subscribed X"},
		"the queue":                 {token.Scope{Queues: []string{"q", "r"}}, `"queue":"q"`, "subscribed X"},
		"a queue that is not named": {token.Scope{Queues: []string{"q", "r"}}, `"queue":"s"`, "error 403 X"},
		"all queues":                {token.Scope{Queues: []string{"q", "r"}}, `"owner":"user:1"`, "error 403 X"},
		"the task elsewhere":        {token.Scope{Tasks: []string{"a"}, Queues: []string{"r"}}, `"task":"a","queue":"q"`, "error 403 X"},
		"case":                      {token.Scope{Tasks: []string{"a"}}, `"task":"A"`, "error 403 X"},
	} {
		t.Run(name, func(t *testing.T) {
			client := s.talk(nil)
			client.t = t
			client.say(`{"op":"subscribe","token":%q,"subscriptions":[{"id":"X",%s}]}`, k.mint(token.Pass{Scope: c.scope}, time.Minute), c.asked)
			client.hear(c.want)
		})
	}
}

func TestOwnerOfATokenSeesHisTasksOnly(t *testing.T) {
	t.Parallel()
	s, k := newGuardedSite(t, gateway.Config{})
	client := s.talk(http.Header{"Authorization": {"Bearer " + k.mint(token.Pass{Scope: token.Scope{Owner: "user:2"}}, time.Minute)}})
	client.say(`{"op":"subscribe","subscriptions":[{"id":"Q","queue":"q"}]}`)
	client.hear("subscribed Q", "snapshot Q")

	s.emit("a", 2) // user:1's
	client.say(`{"op":"ping"}`)

	client.hear("alive")
}

func TestTokenExpiresWhileItsHolderWatches(t *testing.T) {
	each(t, func(t *testing.T, transport string) {
		s, k := newGuardedSite(t, gateway.Config{})
		header := http.Header{"Authorization": {"Bearer " + k.mint(ofA, 2*time.Second)}}
		if transport == "SSE" {
			header.Set("Sec-Websocket-Protocol", "seri.v1") // which means nothing there
		}
		stream, err := s.openWith(transport, "task=a", header)
		if err != nil {
			t.Fatal(err)
		}
		read(t, stream, 1)

		_, err = stream.Next()

		closed, isClosed := errors.AsType[*websocket.CloseError](err)
		if transport == "WebSocket" && (!isClosed || closed.Code != websocket.ClosePolicyViolation || closed.Text != "reason=expired") {
			t.Errorf("got %v", err)
		}
		if _, err := s.openWith(transport, "task=a", header); err == nil || !strings.Contains(err.Error(), "401") {
			t.Errorf("the expired token was answered %v", err)
		}
	})
}

func TestSubscriptionsEndWithTheirTokenOrGoOnWithAnother(t *testing.T) {
	t.Parallel()
	s, k := newGuardedSite(t, gateway.Config{})
	client := s.talk(nil)
	client.say(`{"op":"subscribe","token":%q,"subscriptions":[{"id":"A","task":"a"}]}`, k.mint(ofA, 2*time.Second))
	client.hear("subscribed A", "snapshot A")
	client.say(`{"op":"authorize","token":%q}`, k.mint(token.Pass{Scope: token.Scope{Tasks: []string{"a"}}}, 3*time.Second))
	client.hear("authorized")
	client.say(`{"op":"subscribe","token":%q,"subscriptions":[{"id":"Q","queue":"q"}]}`, k.mint(token.Pass{Scope: token.Scope{Queues: []string{"q"}}}, time.Second))
	client.hear("subscribed Q", "snapshot Q")

	client.hear("error 401 Q") // its own token is over; A has a second one by the time that its first is over
	s.emit("b", 1)
	s.emit("a", 2)
	client.hear("task.progress a2", "error 401 A")

	if code, reason := client.hearEnd(); code != websocket.ClosePolicyViolation || reason != "reason=expired" {
		t.Errorf("closed with %d %s", code, reason)
	}
}

func TestTokenThatIsOverAllowsNothingMore(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	s, k := newGuardedSiteAs(t, gateway.Config{}, events.Config{}, nature{now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }})
	client := s.talk(nil)
	client.say(`{"op":"subscribe","token":%q,"subscriptions":[{"id":"A","task":"a"}]}`, k.mint(ofA, time.Minute))
	client.hear("subscribed A", "snapshot A")

	ahead.Store(int64(time.Hour))
	client.say(`{"op":"subscribe","subscriptions":[{"id":"again","task":"a"}]}`)

	client.hear("error 401 A")
	if code, reason := client.hearEnd(); code != websocket.ClosePolicyViolation || reason != "reason=expired" {
		t.Errorf("closed with %d %s", code, reason)
	}
}

func TestTokenOfAnOriginIsForItsPages(t *testing.T) {
	t.Parallel()
	s, k := newGuardedSite(t, gateway.Config{Origins: []string{"https://app.example.com", "https://other.example.com"}})
	bound := token.Pass{Scope: ofA.Scope, Origin: "https://app.example.com"}
	own := token.Pass{Scope: ofA.Scope, Origin: s.url}
	for name, c := range map[string]struct {
		pass   token.Pass
		header http.Header
		want   string
	}{
		"its page":                               {bound, http.Header{"Origin": {"https://app.example.com"}}, "subscribed A"},
		"another page that is allowed here":      {bound, http.Header{"Origin": {"https://other.example.com"}}, "error 403 "},
		"no page":                                {bound, nil, "error 403 "},
		"a page that only says so":               {bound, http.Header{"Sec-Fetch-Site": {"same-origin"}}, "error 403 "},
		"our own page, whose origin is left out": {own, http.Header{"Sec-Fetch-Site": {"same-origin"}}, "subscribed A"},
		"not a page of ours":                     {own, http.Header{"Sec-Fetch-Site": {"cross-site"}}, "error 403 "},
	} {
		t.Run(name, func(t *testing.T) {
			client := s.talk(c.header)
			client.t = t
			client.say(`{"op":"subscribe","token":%q,"subscriptions":[{"id":"A","task":"a"}]}`, k.mint(c.pass, time.Minute))
			client.hear(c.want)
		})
	}
}

func TestHolderOfATokenSeesNoPayload(t *testing.T) {
	t.Parallel()
	s, k := newGuardedSite(t, gateway.Config{})
	client := s.talk(nil)
	client.say(`{"op":"subscribe","token":%q,"subscriptions":[{"id":"A","task":"a"}]}`, k.mint(ofA, time.Minute))

	shown := client.hear("subscribed A", "snapshot A")

	if strings.Contains(string(shown.Data), "payload") || !strings.Contains(string(shown.Data), `"id":"a"`) {
		t.Errorf("got %s", shown.Data)
	}
}

func TestHouseHasLimits(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cfg    gateway.Config
		status int
		other  func(token.Pass) token.Pass // whose connection is let in all the same
	}{
		"in all":    {gateway.Config{Connections: 2}, 503, nil},
		"per token": {gateway.Config{PerHolder: 2}, 429, func(p token.Pass) token.Pass { return p }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, k := newGuardedSite(t, c.cfg)
			header := http.Header{"Authorization": {"Bearer " + k.mint(ofA, time.Minute)}}
			first, err := s.openWith("SSE", "task=a", header)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.openWith("WebSocket", "task=a", header); err != nil {
				t.Fatal(err)
			}

			_, err = s.openWith("WebSocket", "task=a", header)

			refused, ok := errorsAsStatus(err)
			if !ok || refused.Status != c.status || refused.Header.Get("Retry-After") == "" {
				t.Fatalf("got %v", err)
			}
			if c.other != nil {
				if _, err := s.openWith("SSE", "task=a", http.Header{"Authorization": {"Bearer " + k.mint(ofA, time.Minute)}}); err != nil {
					t.Errorf("another token: %v", err)
				}
			}
			first.Close()
			for err = errors.New("not tried"); err != nil && t.Context().Err() == nil; { // the server notices in its own time
				_, err = s.openWith("SSE", "task=a", header)
			}
		})
	}
}

// TestClientsThatWereCutTogetherComeBackOneByOne is about ten thousand of them: no tenth of a second has more than a fifth.
func TestClientsThatWereCutTogetherComeBackOneByOne(t *testing.T) {
	t.Parallel()
	const clients = 10_000
	delays := gateway.ComeBacks(t, gateway.Config{}, clients)
	buckets := make(map[time.Duration]int)
	for _, d := range delays {
		buckets[d.Truncate(100*time.Millisecond)]++
	}
	most := 0
	for _, n := range buckets {
		most = max(most, n)
	}
	t.Logf("%d clients over %v to %v; the fullest 100 ms have %d", clients, slices.Min(delays), slices.Max(delays), most)
	if most > clients/5 {
		t.Errorf("%d clients of %d come back within 100 ms", most, clients)
	}
}

func TestReasonOfTheEndTellsWhenToComeBack(t *testing.T) {
	t.Parallel()
	s := newSite(t, gateway.Config{}, events.Config{})
	k := s.talk(nil)
	k.say(`{"op":"subscribe","subscriptions":[{"id":"A","task":"a"}]}`)
	k.hear("subscribed A", "snapshot A")

	go s.stop()

	code, text := k.hearEnd()
	reason, err := url.ParseQuery(text)
	if code != websocket.CloseGoingAway || err != nil || reason.Get("reason") != "stopping" || reason.Get("reconnect_ms") == "" {
		t.Errorf("closed with %d %s", code, text)
	}
}
