package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/consumers"
	"github.com/seri-queue/seri/internal/events"
	"github.com/seri-queue/seri/internal/gateway"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/internal/redisurl"
	"github.com/seri-queue/seri/internal/token"
	"github.com/seri-queue/seri/internal/wire"
)

const asBilling = `{"op":"subscribe","consumer":"billing","qos":"exactly_once","subscriptions":[{"id":"Q","queue":"q"}]}`

func (k *talker) acknowledge(cursor string) {
	k.t.Helper()
	k.say(`{"op":"ack","cursor":%q}`, cursor)
	ce := k.hear("acknowledged")
	var a wire.Acknowledged
	if err := json.Unmarshal(ce.Data, &a); err != nil || a.Consumer != "billing" || a.Cursor == "" {
		k.t.Errorf("the acknowledgement says %s, %v", ce.Data, err)
	}
}

func TestConsumersAcknowledgeOverAWebSocket(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t)
	s := newSiteOn(t, rdb, gateway.Config{Consumers: consumers.New(rdb)}, events.Config{})
	k := s.talk(nil)
	k.say(asBilling)
	begun := k.hear("subscribed Q")
	k.hear("snapshot Q")
	s.emit("a", 2, 3)
	two := k.hear("task.progress a2")
	k.hear("task.progress a3")
	k.acknowledge(two.Cursor)
	k.conn.Close() // without acknowledging the third
	s.emit("a", 4)

	elsewhere := newSiteOn(t, rdb, gateway.Config{Consumers: consumers.New(rdb)}, events.Config{})
	k = elsewhere.talk(nil)
	k.say(asBilling)
	again := k.hear("subscribed Q resumed")
	k.hear("task.progress a3")
	four := k.hear("task.progress a4")
	k.acknowledge(four.Cursor)
	k.acknowledge(two.Cursor) // which is behind, and changes nothing
	k.conn.Close()
	k = elsewhere.talk(nil)
	k.say(asBilling)
	k.hear("subscribed Q resumed")
	s.emit("a", 5)
	k.hear("task.progress a5")

	var before, after wire.Subscribed
	if json.Unmarshal(begun.Data, &before) != nil || json.Unmarshal(again.Data, &after) != nil || before.Consumer != "billing" || after.Token <= before.Token || before.Token == 0 {
		t.Errorf("it began with %s, and again with %s", begun.Data, again.Data)
	}
}

// A name may be read by either transport, one after the other, and what is acknowledged by one is not repeated by the other.
func TestConsumersChangeBetweenTransports(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t)
	registry := consumers.New(rdb)
	s := newSiteOn(t, rdb, gateway.Config{Consumers: registry}, events.Config{})
	stream := s.mustOpen("SSE", "consumer=billing&queue=q")
	read(t, stream, 1)
	s.emit("a", 2, 3)
	_, two := read(t, stream, 1)
	mustAcknowledge(t, registry, stream, two)

	k := s.talk(nil)
	k.say(asBilling)
	k.hear("subscribed Q resumed")
	three := k.hear("task.progress a3")
	k.acknowledge(three.Cursor)
	s.emit("a", 4)
	k.hear("task.progress a4")
	got, _ := read(t, s.mustOpen("SSE", "consumer=billing&queue=q"), 1)

	expect(t, got, "task.progress4")
}

// mortal is a consumer whose connection is cut at one point of an event's way, who then connects to the other gateway, and
// so on. It leaves out what it has dealt with, by the id.
type mortal struct {
	t        *testing.T
	sites    []*site
	dealt    map[string]bool // ids, written with what is done about them
	answered map[string]bool // ids whose acknowledgement was answered
	done     []string
}

// live connects and deals with events until its connection is cut: before it reads the answer to its subscribe
// ("subscribed"), having read an event ("read"), dealt with it, sent its acknowledgement, read the answer to that. It is true
// if it has come to the event of that number. (A subscribe that was cut may be carried out late, and take the name over.)
func (m *mortal) live(run int, cut string, upTo uint64) (finished bool) {
	m.t.Helper()
	k := m.sites[run%len(m.sites)].talk(nil)
	defer k.conn.NetConn().Close() // without a farewell
	k.say(asBilling)
	if cut == "subscribed" {
		return false
	}
	var acknowledged []wire.CloudEvent // without an answer yet
	for {
		ce, err := k.next()
		if _, closed := errors.AsType[*websocket.CloseError](err); closed {
			return false
		}
		if err != nil {
			m.t.Fatal(err)
		}
		switch ce.Type {
		case wire.TypeAcknowledged:
			var e wire.TaskEvent
			if err := json.Unmarshal(acknowledged[0].Data, &e); err != nil {
				m.t.Fatal(err)
			}
			m.answered[acknowledged[0].ID] = true
			if acknowledged = acknowledged[1:]; cut == "answered" || e.Seq == upTo {
				return e.Seq == upTo
			}
		case "dev.seri.task.progress":
			if m.answered[ce.ID] {
				m.t.Errorf("%s is delivered again after its acknowledgement was answered", ce.ID)
			}
			if cut == "read" {
				return false
			}
			m.deal(ce)
			if cut == "dealt with" {
				return false
			}
			k.say(`{"op":"ack","cursor":%q}`, ce.Cursor)
			if acknowledged = append(acknowledged, ce); cut == "acknowledged" {
				return false
			}
		}
	}
}

// deal does something about an event, once.
func (m *mortal) deal(ce wire.CloudEvent) {
	m.t.Helper()
	var e wire.TaskEvent
	if err := json.Unmarshal(ce.Data, &e); err != nil {
		m.t.Fatal(err)
	}
	if !m.dealt[ce.ID] {
		m.dealt[ce.ID] = true
		m.done = append(m.done, fmt.Sprint(e.Task, e.Seq))
	}
}

func TestConsumersThatAreCutAnywhereDealWithEachEventOnce(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t)
	m := &mortal{t: t, dealt: make(map[string]bool), answered: make(map[string]bool)}
	for range 2 {
		m.sites = append(m.sites, newSiteOn(t, rdb, gateway.Config{Consumers: consumers.New(rdb)}, events.Config{}))
	}
	k := m.sites[0].talk(nil)
	k.say(asBilling)
	k.hear("subscribed Q", "snapshot Q")
	k.conn.Close()
	var want []string
	cuts := []string{"subscribed", "read", "dealt with", "acknowledged", "answered"}
	for run := range 4*len(cuts) + 1 { // each at each gateway
		m.sites[0].emit("a", run+2)
		want = append(want, fmt.Sprint("a", run+2))

		m.live(run, cuts[run%len(cuts)], 0)
	}
	for lives := 0; !m.live(lives, "never", uint64(len(want)+1)); lives++ {
		if lives == 10 {
			t.Fatalf("it has come to %v", m.done)
		}
	}

	expect(t, m.done, want...)
}

func TestOneReadsForAConsumerOverWebSockets(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t)
	s := newSiteOn(t, rdb, gateway.Config{Consumers: consumers.New(rdb), Acknowledgement: 150 * time.Millisecond}, events.Config{})
	idle, eager := s.talk(nil), s.talk(nil)
	idle.say(asBilling)
	last := idle.hear("subscribed Q", "snapshot Q")

	eager.say(asBilling)
	eager.hear("subscribed Q resumed")
	idle.hear("error 409 ")
	code, reason := idle.hearEnd()

	if code != websocket.ClosePolicyViolation || reason != "reason=taken" {
		t.Errorf("the first is closed with %d %q", code, reason)
	}
	s.talk(nil).say(asBilling) // and the second asks before it is told
	for taken := false; !taken; {
		eager.say(`{"op":"ack","cursor":%q}`, last.Cursor)
		ce, err := eager.next()
		if err != nil {
			t.Fatal(err)
		}
		taken = ce.Type == wire.TypeError
	}
	if code, reason := eager.hearEnd(); code != websocket.ClosePolicyViolation || reason != "reason=taken" {
		t.Errorf("the second is closed with %d %q", code, reason)
	}
}

func TestConsumerThatAcknowledgesNothingOverAWebSocketIsCut(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t)
	s := newSiteOn(t, rdb, gateway.Config{Consumers: consumers.New(rdb), Acknowledgement: 150 * time.Millisecond}, events.Config{})
	k := s.talk(nil)
	k.say(asBilling)
	k.hear("subscribed Q", "snapshot Q")
	s.emit("a", 2)
	k.hear("task.progress a2", "error 408 ")

	code, reason := k.hearEnd()

	if code != websocket.ClosePolicyViolation || reason != "reason=unacknowledged" {
		t.Errorf("it is closed with %d %q", code, reason)
	}
	k = s.talk(nil)
	k.say(asBilling)
	k.hear("subscribed Q resumed", "task.progress a2")
}

// Or the stream would be trimmed past it, though it has missed nothing.
func TestSilentConsumersOverWebSocketsMoveOn(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t)
	registry := consumers.New(rdb)
	s := newSiteOn(t, rdb, gateway.Config{Consumers: registry, Acknowledgement: 30 * time.Millisecond, Ping: time.Second}, events.Config{})
	k := s.talk(nil)
	k.say(`{"op":"subscribe","consumer":"billing","subscriptions":[{"id":"N","queue":"q","owner":"nobody"}]}`)
	k.hear("subscribed N", "snapshot N")
	begun, err := registry.Find(t.Context(), "billing")
	if err != nil {
		t.Fatal(err)
	}
	was, _ := begun.Resumable()
	s.emit("a", 2)

	for moved := false; !moved; {
		if _, err := k.next(); err != nil { // signs of life, which end the test if they end
			t.Fatal(err)
		}
		c, err := registry.Find(t.Context(), "billing")
		if err != nil {
			t.Fatal(err)
		}
		at, _ := c.Resumable()
		moved = !was.Covers(at)
	}
}

func TestWhatAConsumerGetsWrongOverAWebSocketIsSaidToIt(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t)
	registry := consumers.New(rdb)
	s := newSiteOn(t, rdb, gateway.Config{Consumers: registry, Subscriptions: 3}, events.Config{})
	if _, err := registry.Attach(t.Context(), "other", map[string]events.Filter{"": {Task: "x"}}); err != nil {
		t.Fatal(err)
	}
	k := s.talk(nil)
	for _, c := range []struct{ say, hear, detail string }{
		{`{"op":"ack"}`, "error 400 ", "ack has no cursor"},
		{`{"op":"ack","cursor":"q@1-0:0"}`, "error 409 ", "reads for no consumer"},
		{`{"op":"subscribe","qos":"perhaps","subscriptions":[{"id":"Q"}]}`, "error 422 ", "qos must be"},
		{`{"op":"subscribe","qos":"exactly_once","subscriptions":[{"id":"Q"}]}`, "error 422 ", "consumer is missing"},
		{`{"op":"subscribe","qos":"at_most_once","consumer":"b","subscriptions":[{"id":"Q"}]}`, "error 422 ", "qos is at_most_once, but"},
		{`{"op":"subscribe","consumer":"{b}","subscriptions":[{"id":"Q"}]}`, "error 422 ", "consumer must have"},
		{`{"op":"subscribe","consumer":"b","after":"q@1-0:0","subscriptions":[{"id":"Q"}]}`, "error 422 ", "after cannot be given"},
		{`{"op":"subscribe","qos":"at_most_once","after":"q@1-0:0","subscriptions":[{"id":"Q"}]}`, "error 422 ", "does not resume"},
		{`{"op":"subscribe","consumer":"other","subscriptions":[{"id":"Q","queue":"q"}]}`, "error 422 ", "watches something else"},
		{`{"op":"subscribe","consumer":"fresh","subscriptions":[{"id":"Q","queue":"q"},{"id":"N","task":"none"}]}`, "error 404 N", "no such task"},
		{`{"op":"subscribe","consumer":"fresh2","subscriptions":[{"id":"Q","queue":"q"},{"id":"Q","task":"a"}]}`, "error 409 Q", "a subscription of this id"},
	} {
		k.say("%s", c.say)
		if ce := k.hear(c.hear); !strings.Contains(string(ce.Data), c.detail) {
			t.Errorf("%s is answered with %s, want %q", c.say, ce.Data, c.detail)
		}
	}
	k.say(asBilling)
	k.hear("subscribed Q", "snapshot Q")
	for _, c := range []struct{ say, hear, detail string }{
		{`{"op":"ack","cursor":"yesterday"}`, "error 422 ", "cursor is not usable"},
		{`{"op":"subscribe","subscriptions":[{"id":"A","task":"a"}]}`, "error 409 ", "for nothing else"},
		{`{"op":"unsubscribe","ids":["Q"]}`, "error 409 ", "does not change"},
		{`{"op":"unsubscribe","ids":["X"]}`, "unsubscribed X", ""},
	} {
		k.say("%s", c.say)
		if ce := k.hear(c.hear); !strings.Contains(string(ce.Data), c.detail) {
			t.Errorf("%s is answered with %s, want %q", c.say, ce.Data, c.detail)
		}
	}

	k = s.talk(nil)
	k.say(`{"op":"subscribe","subscriptions":[{"id":"A","task":"a"}]}`)
	k.hear("subscribed A", "snapshot A")
	k.say(asBilling)
	if ce := k.hear("error 409 "); !strings.Contains(string(ce.Data), "for the first subscribe") {
		t.Errorf("got %s", ce.Data)
	}
	k.say(`{"op":"subscribe","qos":"at_most_once","subscriptions":[{"id":"B","task":"a"}]}`)
	if ce := k.hear("error 409 "); !strings.Contains(string(ce.Data), "qos is that of") {
		t.Errorf("got %s", ce.Data)
	}
}

// Who reads under a name goes on reading when another is refused, and a name that nobody has is not spent.
func TestWhoIsRefusedTakesNoConsumersName(t *testing.T) {
	t.Parallel()
	for transport, ask := range map[string]func(s *site, name string){
		"WebSocket": func(s *site, name string) {
			k := s.talk(nil)
			k.say(`{"op":"subscribe","consumer":%q,"subscriptions":[{"id":"N","task":"none"}]}`, name)
			k.hear("error 404 N")
		},
		"SSE": func(s *site, name string) {
			_, err := s.open("SSE", "task=none&consumer="+name)
			if refused, ok := errorsAsStatus(err); !ok || refused.Status != http.StatusNotFound {
				s.t.Errorf("the answer is %v", err)
			}
		},
	} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			rdb := redistest.New(t)
			registry := consumers.New(rdb)
			s := newSiteOn(t, rdb, gateway.Config{Consumers: registry}, events.Config{})
			reader, err := registry.Attach(t.Context(), "billing", map[string]events.Filter{"": {Task: "none"}})
			if err != nil {
				t.Fatal(err)
			}

			ask(s, "billing")
			ask(s, "fresh")

			if _, err := registry.Keep(t.Context(), "billing", reader.Token); err != nil {
				t.Errorf("who reads for billing: %v", err)
			}
			if c, err := registry.Find(t.Context(), "fresh"); !errors.Is(err, seri.ErrNotFound) {
				t.Errorf("fresh is on record as %+v, %v", c, err)
			}
		})
	}
}

// rival is a snapshotter during whose first look another reads for a consumer and acknowledges.
type rival struct {
	snapshotter
	once sync.Once
	read func() error
}

func (r *rival) Snapshots(ctx context.Context, filters []events.Filter) (shown []events.Snapshot, err error) {
	r.once.Do(func() { err = r.read() })
	if err != nil {
		return nil, err
	}
	return r.snapshotter.Snapshots(ctx, filters)
}

// What another has acknowledged while a stream begins does not come again.
func TestAConsumerBeginsAfterWhatWasAcknowledgedMeanwhile(t *testing.T) {
	t.Parallel()
	for transport, begin := range map[string]func(s *site) []string{
		"WebSocket": func(s *site) []string {
			k := s.talk(nil)
			k.say(asBilling)
			k.hear("subscribed Q resumed", "task.progress a3")
			return []string{"task.progress3"}
		},
		"SSE": func(s *site) []string {
			got, _ := read(s.t, s.mustOpen("SSE", "consumer=billing&queue=q"), 1)
			return got
		},
	} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			rdb := redistest.New(t)
			registry := consumers.New(rdb)
			var s *site
			s = newSiteAs(t, rdb, gateway.Config{Consumers: registry}, events.Config{}, nature{shows: &rival{read: func() error {
				c, err := registry.Attach(t.Context(), "billing", map[string]events.Filter{"": {Queue: "q"}})
				if err != nil {
					return err
				}
				s.emit("a", 2)
				newest, err := rdb.XRevRangeN(t.Context(), keys.Queue("q").Events(), "+", "-", 1).Result()
				if err != nil {
					return err
				}
				_, err = registry.Acknowledge(t.Context(), "billing", c.Token, newest[0].ID+":0")
				s.emit("a", 3)
				return err
			}}})

			got := begin(s)

			expect(t, got, "task.progress3")
		})
	}
}

func TestAConsumerOverAWebSocketNeedsAKey(t *testing.T) {
	t.Parallel()
	ring := token.Development()
	rdb := redistest.New(t)
	s := newSiteOn(t, rdb, gateway.Config{Tokens: ring, Consumers: consumers.New(rdb)}, events.Config{})
	text, _, err := ring.Mint(token.Pass{Issuer: "key", Scope: token.Scope{Queues: []string{"q"}}}, time.Minute, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	with, without := s.talk(http.Header{"Authorization": {"Bearer " + text}}), s.talk(nil)

	with.say(asBilling)
	without.say(asBilling)

	if ce := with.hear("error 403 "); !strings.Contains(string(ce.Data), gateway.KeyNeeded) {
		t.Errorf("got %s", ce.Data)
	}
	without.hear("error 401 ")
}

// Who acknowledges each event by itself would otherwise be cut for saying too much.
func TestAcknowledgementsAreNoFlood(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t)
	s := newSiteOn(t, rdb, gateway.Config{Consumers: consumers.New(rdb), Messages: 10}, events.Config{})
	k := s.talk(nil)
	k.say(asBilling)
	last := k.hear("subscribed Q", "snapshot Q")

	for range 50 {
		k.acknowledge(last.Cursor)
	}
}

// It is told to repeat them.
func TestAcknowledgementsThatTheStoreDoesNotTakeAreNoFlood(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t)
	theirs, err := redisurl.Open(redistest.URL(rdb))
	if err != nil {
		t.Fatal(err)
	}
	s := newSiteOn(t, rdb, gateway.Config{Consumers: consumers.New(theirs), Messages: 10}, events.Config{})
	k := s.talk(nil)
	k.say(asBilling)
	last := k.hear("subscribed Q", "snapshot Q")
	if err := theirs.Close(); err != nil {
		t.Fatal(err)
	}

	for range 50 {
		k.say(`{"op":"ack","cursor":%q}`, last.Cursor)
		k.hear("error 503 ")
	}
}
