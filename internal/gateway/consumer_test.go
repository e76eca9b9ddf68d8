package gateway_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seri-queue/seri/internal/consumers"
	"github.com/seri-queue/seri/internal/events"
	"github.com/seri-queue/seri/internal/gateway"
	"github.com/seri-queue/seri/internal/gateway/gatewaytest"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/internal/token"
)

// acknowledge is what a consumer does who has read a stream up to a cursor.
func acknowledge(t *testing.T, r *consumers.Registry, stream *gatewaytest.Stream, cursor string) error {
	t.Helper()
	token, err := strconv.ParseUint(stream.Header.Get(gateway.ConsumerHeader), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.Acknowledge(t.Context(), "billing", token, cursor)
	return err
}

func mustAcknowledge(t *testing.T, r *consumers.Registry, stream *gatewaytest.Stream, cursor string) {
	t.Helper()
	if err := acknowledge(t, r, stream, cursor); err != nil {
		t.Fatal(err)
	}
}

// A consumer dies at any point, or its gateway: it gets again what it has not acknowledged, and nothing of what it has.
func TestConsumersGetEventsUntilTheyAcknowledgeThem(t *testing.T) {
	t.Parallel()
	for name, query := range map[string]string{"a queue": "consumer=billing&queue=q", "everything": "consumer=billing", "a task": "consumer=billing&task=a&qos=exactly_once"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rdb := redistest.New(t)
			registry := consumers.New(rdb)
			s := newSiteOn(t, rdb, gateway.Config{Consumers: registry}, events.Config{})

			first := s.mustOpen("SSE", query)
			begun, _ := read(t, first, 1)
			first.Close() // before it has seen any event
			s.emit("a", 2, 3)
			second := s.mustOpen("SSE", query)
			two, cursor := read(t, second, 1)
			mustAcknowledge(t, registry, second, cursor)
			three, last := read(t, second, 1)
			s.stop() // without its acknowledging the third
			s.emit("a", 4)
			s = newSiteOn(t, rdb, gateway.Config{Consumers: consumers.New(rdb)}, events.Config{})
			third := s.mustOpen("SSE", query)
			again, _ := read(t, third, 1)
			mustAcknowledge(t, registry, third, last)
			four, _ := read(t, third, 1)

			expect(t, append(append(append(append(begun, two...), three...), again...), four...),
				"snapshot", "task.progress2", "task.progress3", "task.progress3", "task.progress4")
		})
	}
}

func TestOneReadsForAConsumer(t *testing.T) {
	t.Parallel()
	registry := consumers.New(redistest.New(t))
	s := newSite(t, gateway.Config{Consumers: registry, Acknowledgement: 150 * time.Millisecond}, events.Config{})
	first := s.mustOpen("SSE", "consumer=billing")
	_, cursor := read(t, first, 1)

	second := s.mustOpen("SSE", "consumer=billing")

	if err := acknowledge(t, registry, first, cursor); !errors.Is(err, consumers.ErrTaken) {
		t.Errorf("the first acknowledges: %v", err)
	}
	if _, err := first.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("the first goes on: %v", err)
	}
	s.emit("a", 2)
	if got, _ := read(t, second, 1); got[0] != "task.progress2" {
		t.Errorf("the second gets %v", got)
	}
}

func TestDeletedConsumersReadNoLonger(t *testing.T) {
	t.Parallel()
	registry := consumers.New(redistest.New(t))
	s := newSite(t, gateway.Config{Consumers: registry, Acknowledgement: 150 * time.Millisecond}, events.Config{})
	stream := s.mustOpen("SSE", "consumer=billing")
	read(t, stream, 1)
	if err := registry.Remove(t.Context(), "billing"); err != nil {
		t.Fatal(err)
	}

	if _, err := stream.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("it goes on: %v", err)
	}
}

// Or the stream would be trimmed past it, though it has missed nothing.
func TestConsumersOfWhatNeverComesMoveOn(t *testing.T) {
	t.Parallel()
	registry := consumers.New(redistest.New(t))
	s := newSite(t, gateway.Config{Consumers: registry, Acknowledgement: 30 * time.Millisecond, KeepAlive: 10 * time.Millisecond}, events.Config{})
	read(t, s.mustOpen("SSE", "consumer=billing&queue=q&owner=nobody"), 1)
	begun, err := registry.Find(t.Context(), "billing")
	if err != nil {
		t.Fatal(err)
	}
	s.emit("a", 2)

	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.After(patience); ; {
		c, err := registry.Find(t.Context(), "billing")
		if err != nil {
			t.Fatal(err)
		}
		at, _ := c.Resumable()
		if was, _ := begun.Resumable(); !was.Covers(at) {
			return
		}
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("it is still at %s", c.Cursor)
		}
	}
}

func TestHoldersOfTokensAreNoConsumers(t *testing.T) {
	t.Parallel()
	ring := token.Development()
	s := newSite(t, gateway.Config{Tokens: ring, Consumers: consumers.New(redistest.New(t))}, events.Config{})
	text, _, err := ring.Mint(token.Pass{Issuer: "key", Scope: token.Scope{Queues: []string{"q"}}}, time.Minute, time.Now())
	if err != nil {
		t.Fatal(err)
	}

	_, err = s.openWith("SSE", "consumer=billing&queue=q", http.Header{"Authorization": {"Bearer " + text}})

	if refused, ok := errorsAsStatus(err); !ok || refused.Status != http.StatusForbidden || !strings.Contains(refused.Body, gateway.KeyNeeded) {
		t.Errorf("got %v", err)
	}
}

func TestConsumerThatAcknowledgesNothingBeginsAnew(t *testing.T) {
	t.Parallel()
	s := newSite(t, gateway.Config{Consumers: consumers.New(redistest.New(t)), Acknowledgement: 150 * time.Millisecond}, events.Config{})
	stream := s.mustOpen("SSE", "consumer=billing&queue=q")
	s.emit("a", 2)
	read(t, stream, 2)

	if _, err := stream.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("it goes on: %v", err)
	}
	if got, _ := read(t, s.mustOpen("SSE", "consumer=billing&queue=q"), 1); got[0] != "task.progress2" {
		t.Errorf("then it gets %v", got)
	}
}

func TestGuaranteesThatContradictEachOtherAreRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t, gateway.Config{Consumers: consumers.New(redistest.New(t))}, events.Config{})
	s.mustOpen("SSE", "consumer=taken&queue=q").Close()
	for query, detail := range map[string]string{
		"qos=perhaps":                          "must be at_most_once",
		"qos=exactly_once":                     "needs a name",
		"consumer=a&qos=at_most_once":          "is at_most_once, but",
		"consumer=a&queue=q&after=1-0:0":       "cannot be given for a consumer",
		"queue=q&qos=at_most_once&after=1-0:0": "does not resume",
		"consumer=%7Ba%7D":                     "begin with a letter or a digit",
		"consumer=" + strings.Repeat("x", 129): "1 to 128 letters",
		"consumer=taken&queue=q&task=a":        "watches something else",
	} {
		_, err := s.open("SSE", query)

		refused, ok := errors.AsType[*gatewaytest.StatusError](err)
		if !ok || refused.Status != 422 || !strings.Contains(refused.Body, detail) {
			t.Errorf("%s: got %v, want 422 with %q", query, err, detail)
		}
	}
	if refused, ok := errorsAsStatus(errorOf(s.open("WebSocket", "consumer=a"))); !ok || refused.Status != 422 || !strings.Contains(refused.Body, "is for server-sent events") {
		t.Errorf("a WebSocket that can say nothing, for a consumer, was answered %v", refused)
	}
}

func errorOf(_ *gatewaytest.Stream, err error) error { return err }

func TestAtMostOnceIsNotResumedByItself(t *testing.T) {
	t.Parallel()
	s := newSite(t, gateway.Config{}, events.Config{})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/v1/events?queue=q&qos=at_most_once", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Last-Event-ID", "1-0:0") // of before the setting was changed
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	s.emit("a", 2)

	lines := bufio.NewScanner(response.Body)
	var got []string
	for len(got) < 2 && lines.Scan() {
		if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			got = append(got, name)
		}
		if strings.HasPrefix(lines.Text(), "id:") {
			t.Errorf("a browser would resume by %q", lines.Text())
		}
	}

	expect(t, got, "dev.seri.snapshot", "dev.seri.task.progress")
}
