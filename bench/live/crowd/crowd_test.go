//go:build linux

package crowd

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/wire"
)

const secret = "k:Zm9yIHRlc3RzIG9ubHksIG9mIDMyIGJ5dGVzIGFuZCBtb3JlLi4u"

// host is a server of WebSockets that does what a test says.
type host struct {
	*httptest.Server
	guests chan *websocket.Conn
}

func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{guests: make(chan *websocket.Conn, 16)}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		upgrader := websocket.Upgrader{Subprotocols: []string{"seri.v1"}}
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		h.guests <- conn
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *host) addr() string { return strings.TrimPrefix(h.URL, "http://") }

// conversation is a crowd in this process.
type conversation struct {
	t       *testing.T
	orders  *json.Encoder
	answers *bufio.Scanner
}

func begin(t *testing.T) *conversation {
	t.Helper()
	inRead, inWrite := io.Pipe()
	outRead, outWrite := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- Run(inRead, outWrite) }()
	t.Cleanup(func() {
		inWrite.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return &conversation{t, json.NewEncoder(inWrite), bufio.NewScanner(outRead)}
}

func (c *conversation) order(o order) {
	c.t.Helper()
	if err := c.orders.Encode(o); err != nil {
		c.t.Fatal(err)
	}
}

func (c *conversation) report() Report {
	c.t.Helper()
	var a answer
	if !c.answers.Scan() {
		c.t.Fatal("no answer")
	}
	if err := json.Unmarshal(c.answers.Bytes(), &a); err != nil || a.Report == nil {
		c.t.Fatalf("%s, %v", c.answers.Bytes(), err)
	}
	return *a.Report
}

// until asks until a report is as it should be.
func (c *conversation) until(right func(Report) bool) Report {
	c.t.Helper()
	for until := time.Now().Add(20 * time.Second); ; {
		c.order(order{})
		r := c.report()
		if right(r) || time.Now().After(until) {
			return r
		}
	}
}

func say(t *testing.T, conn *websocket.Conn, messages ...string) {
	t.Helper()
	for _, m := range messages {
		if err := conn.WriteMessage(websocket.TextMessage, []byte(m)); err != nil {
			t.Fatal(err)
		}
	}
}

func hear(t *testing.T, conn *websocket.Conn) string {
	t.Helper()
	_, message, err := conn.ReadMessage()
	if err != nil {
		t.Fatal(err)
	}
	return string(message)
}

// event is an event as the gateway writes it.
func event(t *testing.T, task string, seq uint64, kind seri.EventKind) string {
	t.Helper()
	e := seri.Event{Kind: kind, Task: task, Type: "t", Queue: Queue, Seq: seq, Time: time.Now()}
	if kind == seri.EventProgress {
		e.Data.Progress = &seri.ProgressInfo{Total: 10, Message: string(Stamp(nil, time.Now().Add(-time.Second)))}
	}
	position := fmt.Sprintf("1795404418446-%d:0", seq)
	text, err := wire.AppendCloudEvent(nil, &e, position)
	if err != nil {
		t.Fatal(err)
	}
	return string(wire.WithCursor(text, Queue+"@"+position))
}

const snapshotOfOwn = `{"type":"dev.seri.snapshot","subscription":"own","data":{"tasks":[{"id":"live-000007","seq":1}]},"cursor":"live@1-1:0"}`

// enter has one member come in, and returns the host's end.
func (c *conversation) enter(h *host) *websocket.Conn {
	c.t.Helper()
	c.order(order{Open: &Entry{Addr: h.addr(), Source: "127.0.0.1", First: 7, Count: 1, Burst: 1, Secret: secret}})
	guest := <-h.guests
	if got, want := hear(c.t, guest), `{"op":"subscribe","subscriptions":[{"id":"own","queue":"live","task":"live-000007"}]}`; got != want {
		c.t.Fatalf("got  %s\nwant %s", got, want)
	}
	say(c.t, guest, `{"type":"dev.seri.subscribed","data":{}}`, snapshotOfOwn)
	if r := c.report(); r.Watching != 1 || r.Refused != 0 {
		c.t.Fatalf("%+v", r)
	}
	return guest
}

func TestACrowdCountsWhatComes(t *testing.T) {
	t.Parallel()
	h, c := newHost(t), begin(t)
	guest := c.enter(h)

	own := Task(7)
	say(t, guest,
		event(t, own, 2, seri.EventProgress), event(t, own, 3, seri.EventProgress),
		event(t, own, 3, seri.EventProgress),     // again
		event(t, own, 6, seri.EventProgress),     // 4 and 5 are missing
		event(t, Task(8), 2, seri.EventProgress), // somebody else's
		event(t, own, 7, seri.EventSucceeded),
	)
	r := c.until(func(r Report) bool { return r.Frames == 6 })

	if r.Frames != 6 || r.Doubled != 1 || r.Lost != 2 || r.Misdirected != 1 || r.Ended != 1 || r.EndedTwice != 0 || r.Gaps != 0 {
		t.Errorf("%+v", r)
	}
	if n, longest := r.Delays.Count(), r.Delays.Max(); n != 5 || longest < time.Second || longest > 20*time.Second {
		t.Errorf("%d delays, the longest %v", n, longest)
	}
}

func TestACrowdAnswersPings(t *testing.T) {
	t.Parallel()
	h, c := newHost(t), begin(t)
	guest := c.enter(h)
	answered := make(chan string, 1)
	guest.SetPongHandler(func(text string) error {
		answered <- text
		return nil
	})

	if err := guest.WriteControl(websocket.PingMessage, []byte("are you there?"), time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	go guest.ReadMessage()

	if text := <-answered; text != "are you there?" {
		t.Errorf("answered %q", text)
	}
}

func TestWhoIsCutComesBackAfterHisCursor(t *testing.T) {
	t.Parallel()
	h, other, c := newHost(t), newHost(t), begin(t)
	guest := c.enter(h)
	c.order(order{ComeBackTo: other.addr()})
	c.report()
	say(t, guest, event(t, Task(7), 2, seri.EventProgress))
	c.until(func(r Report) bool { return r.Frames == 1 })

	guest.NetConn().Close()

	guest = <-other.guests
	if got, want := hear(t, guest), `{"op":"subscribe","after":"live@1795404418446-2:0","subscriptions":[{"id":"own","queue":"live","task":"live-000007"}]}`; got != want {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
	say(t, guest, `{"type":"dev.seri.subscribed","data":{"resumed":true}}`, event(t, Task(7), 3, seri.EventSucceeded))
	r := c.until(func(r Report) bool { return r.Frames == 2 && r.Watching == 1 })
	if r.Cut != 1 || r.Resumed != 1 || r.Ended != 1 || r.Lost != 0 || r.Doubled != 0 || r.LastResumed.IsZero() {
		t.Errorf("%+v", r)
	}
}

func TestWhoIsRefusedIsTold(t *testing.T) {
	t.Parallel()
	c := begin(t)
	full := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	defer full.Close()

	c.order(order{Open: &Entry{Addr: strings.TrimPrefix(full.URL, "http://"), Source: "127.0.0.1", Count: 3, Burst: 2, Secret: secret}})
	r := c.report()

	if r.Refused != 3 || r.Away != 3 || r.Watching != 0 || !strings.Contains(r.Fault, "503") || r.Faults() == nil {
		t.Errorf("%+v", r)
	}
}
