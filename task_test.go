package seri_test

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/seri-queue/seri"
)

// shelf is a queue that keeps what it is given, and knows how the tasks will end.
type shelf struct {
	messages []seri.Message
	refuse   error
	end      seri.Info
}

func (s *shelf) Enqueue(_ context.Context, m seri.Message) error {
	s.messages = append(s.messages, m)
	return s.refuse
}

func (s *shelf) Wait(context.Context, string, string) (seri.Info, error) { return s.end, s.refuse }

type point struct {
	X int `json:"x"`
	Y int `json:"y"`
}

func TestATaskHasItsTermsThenTheCalls(t *testing.T) {
	t.Parallel()
	task := seri.NewTask[point, int]("geo:norm", seri.Queue("geo"), seri.MaxRetries(3), seri.Header("a", "task"), seri.Header("b", "task"))
	if task.Name() != "geo:norm" {
		t.Errorf("named %q", task.Name())
	}
	q := &shelf{}

	ticket, err := task.Enqueue(t.Context(), q, point{3, 4}, seri.MaxRetries(7), seri.Header("b", "call"))
	if err != nil {
		t.Fatal(err)
	}

	m := q.messages[0]
	if m.Type != "geo:norm" || m.Queue != "geo" || m.MaxRetries != 7 || string(m.Payload) != `{"x":3,"y":4}` {
		t.Errorf("enqueued %+v", m)
	}
	if m.Timeout != seri.DefaultTimeout || m.Retention != seri.DefaultRetention || !m.ETA.IsZero() || !m.Expires.IsZero() || m.UniqueFor != 0 || m.Owner != "" {
		t.Errorf("the defaults are not kept: %+v", m)
	}
	if want := map[string]string{"a": "task", "b": "call"}; !reflect.DeepEqual(m.Headers, want) {
		t.Errorf("headers %v, want %v", m.Headers, want)
	}
	if ticket.ID != m.ID || ticket.Queue != m.Queue || len(m.ID) != 26 {
		t.Errorf("ticket %+v of message %q", ticket, m.ID)
	}
	if again, err := task.Message(point{}); err != nil || again.ID == m.ID || again.Headers["b"] != "task" {
		t.Errorf("one call has left traces in the next: %+v, %v", again, err)
	}
}

func TestEnqueueSaysWhatWasRefused(t *testing.T) {
	t.Parallel()
	task := seri.NewTask[any, int]("test:any")
	if _, err := task.Enqueue(t.Context(), &shelf{refuse: seri.ErrDuplicate}, 1); !errors.Is(err, seri.ErrDuplicate) || !strings.HasPrefix(err.Error(), "enqueue test:any: ") {
		t.Errorf("refused by the queue: %v", err)
	}
	q := &shelf{}
	if _, err := task.Enqueue(t.Context(), q, func() {}); err == nil || !strings.Contains(err.Error(), "encode arguments") {
		t.Errorf("arguments that are no JSON: %v", err)
	}
	if _, err := task.Enqueue(t.Context(), q, 1, seri.Retry(seri.Fixed(0))); err == nil || !strings.Contains(err.Error(), "belongs to NewTask") {
		t.Errorf("a policy in the call: %v", err)
	}
	if _, err := task.Enqueue(t.Context(), q, 1, seri.Queue("")); err == nil || !strings.Contains(err.Error(), "queue is empty") {
		t.Errorf("no queue: %v", err)
	}
	if len(q.messages) != 0 {
		t.Errorf("%d faulty messages were enqueued", len(q.messages))
	}
}

func TestNewTaskPanicsOnFaultyTerms(t *testing.T) {
	t.Parallel()
	cases := map[string]func(){
		"without a name":          func() { seri.NewTask[int, int]("") },
		"with a negative timeout": func() { seri.NewTask[int, int]("a", seri.Timeout(-1)) },
		"with a brace":            func() { seri.NewTask[int, int]("a", seri.Queue("{q}")) },
		"with a negative retry":   func() { seri.NewTask[int, int]("a", seri.MaxRetries(-1)) },
	}
	for sentence, declare := range cases {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			defer func() {
				if text, _ := recover().(string); !strings.HasPrefix(text, "seri: NewTask: ") {
					t.Errorf("it said %q", text)
				}
			}()
			declare()
		})
	}
}

func TestAHandlerSpeaksJSON(t *testing.T) {
	t.Parallel()
	task := seri.NewTask[point, any]("geo:norm", seri.Retry(seri.Fixed(time.Minute)), seri.MaxRetries(2))
	boom := errors.New("boom")
	cases := map[string]struct {
		payload   string
		do        func(point) (any, error)
		result    string
		err       string
		permanent bool
	}{
		"in and out":            {`{"x":3,"y":4}`, func(p point) (any, error) { return p.X*p.X + p.Y*p.Y, nil }, `25`, "", false},
		"errors pass":           {`{}`, func(point) (any, error) { return 1, boom }, ``, "boom", false},
		"wrong arguments":       {`{"x":"three"}`, nil, ``, "decode arguments of geo:norm", true},
		"no arguments at all":   {``, nil, ``, "decode arguments of geo:norm", true},
		"a result that is none": {`{}`, func(point) (any, error) { return func() {}, nil }, ``, "encode result of geo:norm", true},
	}
	for sentence, c := range cases {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			h := task.HandledBy(func(_ context.Context, p point) (any, error) { return c.do(p) })

			result, err := h.Run(t.Context(), []byte(c.payload))

			if string(result) != c.result || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) || seri.IsPermanent(err) != c.permanent {
				t.Errorf("result %s, error %v, permanent %v; want %s, %q, %v", result, err, seri.IsPermanent(err), c.result, c.err, c.permanent)
			}
		})
	}
	h := task.HandledBy(nil)
	if h.Type != "geo:norm" || h.Args != reflect.TypeFor[point]() || h.Retry == nil || h.Retry(1, nil) != time.Minute || h.Terms.MaxRetries != 2 {
		t.Errorf("the handler is %+v", h)
	}
}

func TestATicketWaits(t *testing.T) {
	t.Parallel()
	task := seri.NewTask[int, point]("test:point")
	cases := map[string]struct {
		end    seri.Info
		refuse error
		want   point
		check  func(error) bool
	}{
		"for the result":          {end: seri.Info{State: seri.Succeeded, Result: []byte(`{"x":1,"y":2}`)}, want: point{1, 2}, check: func(err error) bool { return err == nil }},
		"for no result":           {end: seri.Info{State: seri.Succeeded}, check: func(err error) bool { return err == nil }},
		"for one of another type": {end: seri.Info{State: seri.Succeeded, Result: []byte(`7`)}, check: func(err error) bool { return strings.Contains(err.Error(), "decode result") }},
		"in vain":                 {refuse: seri.ErrNotFound, check: func(err error) bool { return errors.Is(err, seri.ErrNotFound) }},
		"for a revoked task":      {end: seri.Info{State: seri.Revoked, Reason: seri.ReasonExpired}, check: func(err error) bool { return errors.Is(err, seri.ErrRevoked) }},
		"for a task that has failed": {end: seri.Info{State: seri.Failed, Reason: seri.ReasonExhausted, Error: "boom"}, check: func(err error) bool {
			failed, ok := errors.AsType[*seri.FailedError](err)
			return ok && failed.State == seri.Failed && failed.Reason == seri.ReasonExhausted && failed.Message == "boom" && !errors.Is(err, seri.ErrRevoked)
		}},
	}
	for sentence, c := range cases {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			q := &shelf{}
			ticket, err := task.Enqueue(t.Context(), q, 1)
			if err != nil {
				t.Fatal(err)
			}
			q.end, q.refuse = c.end, c.refuse
			got, err := ticket.Wait(t.Context())
			if got != c.want || !c.check(err) {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

func TestNewMessage(t *testing.T) {
	t.Parallel()
	eta := time.Now().Add(time.Hour)
	m, err := seri.NewMessage("a", []byte("x"), seri.ID("1"), seri.Queue("q"), seri.ETA(eta), seri.Expires(eta.Add(1)), seri.Retention(0),
		seri.UniqueFor(time.Minute), seri.Owner("user:42"), seri.Timeout(time.Second), seri.Deadline(eta), seri.Header("k", "v"))
	if err != nil {
		t.Fatal(err)
	}
	want := seri.Message{ID: "1", Type: "a", Queue: "q", Payload: []byte("x"), Headers: map[string]string{"k": "v"}, MaxRetries: seri.DefaultMaxRetries,
		Timeout: time.Second, Deadline: eta, ETA: eta, Expires: eta.Add(1), UniqueFor: time.Minute, Owner: "user:42"}
	if !reflect.DeepEqual(m, want) {
		t.Errorf("got %+v, want %+v", m, want)
	}
	if m, err := seri.NewMessage("a", nil, seri.Timeout(0)); err != nil || m.Timeout != seri.DefaultTimeout {
		t.Errorf("timeout 0 is %v, %v; want the default", m.Timeout, err)
	}
	before := time.Now()
	if m, err := seri.NewMessage("a", nil, seri.Delay(time.Hour)); err != nil || m.ETA.Before(before.Add(time.Hour)) || m.ETA.After(time.Now().Add(time.Hour)) {
		t.Errorf("a delay of an hour starts at %v, %v", m.ETA, err)
	}
	if _, err := json.Marshal(m); err != nil {
		t.Error(err)
	}
}

func TestValidateListsEveryFault(t *testing.T) {
	t.Parallel()
	now := time.Now()
	m := seri.Message{
		ID: " ", Type: "a\x00b", Queue: "{q}", Payload: make([]byte, seri.MaxPayloadBytes+1), Owner: strings.Repeat("x", seri.MaxNameBytes+1),
		Headers: map[string]string{"k": "\xff", "long": strings.Repeat("x", seri.MaxHeaderBytes)}, MaxRetries: -1, Timeout: -1, Retention: -1, UniqueFor: -1,
		ETA: now, Expires: now,
	}
	err := m.Validate()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, fault := range []string{
		"id is empty", `type "a\x00b" contains a control character`, `queue "{q}" contains a brace`, "owner has 257 bytes", "payload has 262145 bytes",
		`header "k" is not valid UTF-8`, "headers have 16390 bytes", "max_retries is -1", "timeout is -1ns", "retention is -1ns", "unique_for is -1ns", "is not after eta",
	} {
		if !strings.Contains(err.Error(), fault) {
			t.Errorf("no word about %q in:\n%v", fault, err)
		}
	}
	fine := seri.Message{ID: "1", Type: "a", Queue: "q", Payload: make([]byte, seri.MaxPayloadBytes)}
	if err := fine.Validate(); err != nil {
		t.Errorf("the largest payload: %v", err)
	}
}
