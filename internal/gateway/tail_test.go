package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/events"
	"github.com/seri-queue/seri/internal/gateway"
	"github.com/seri-queue/seri/internal/wire"
)

// paper is a log that the test writes, and the tail of it.
type paper struct {
	mu    sync.Mutex
	log   wire.TaskLog
	whole bool
	err   error
}

func newPaper() *paper { return &paper{whole: true} }

func (p *paper) write(messages ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range messages {
		p.log.Lines = append(p.log.Lines, wire.LogLine{Time: time.Now(), Level: "INFO", Message: m, Attempt: 1})
	}
}

func (p *paper) Next(ctx context.Context) (wire.TaskLog, bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if ctx.Err() != nil { // a follower that has been stopped takes nothing that is written afterwards
		return wire.TaskLog{}, false, ctx.Err()
	}
	if p.err != nil {
		err := p.err
		p.err = nil
		return wire.TaskLog{}, false, err
	}
	log, whole := p.log, p.whole
	p.log, p.whole = wire.TaskLog{}, false
	return log, whole, nil
}

// logs opens papers by the ID of their task.
func logs(papers map[string]*paper) func(context.Context, string, string) (gateway.LogTail, error) {
	return func(_ context.Context, queue, task string) (gateway.LogTail, error) {
		if p := papers[task]; p != nil && (queue == "" || queue == "q") {
			return p, nil
		}
		if task == "broken" {
			return nil, errors.New("the connection was refused")
		}
		return nil, seri.ErrNotFound
	}
}

// hearLines reads frames until so many lines have come, and returns what they say; "*" begins those that are all.
func (k *talker) hearLines(id string, want ...string) {
	k.t.Helper()
	var got []string
	for len(got) < len(want) {
		ce, err := k.next()
		if err != nil {
			k.t.Fatalf("%v, after %q", err, got)
		}
		if ce.Type != wire.TypeLog || ce.Subscription != id {
			k.t.Fatalf("got %s of %q: %s", ce.Type, ce.Subscription, ce.Data)
		}
		var lines wire.LogLines
		if err := json.Unmarshal(ce.Data, &lines); err != nil {
			k.t.Fatal(err)
		}
		if lines.Whole {
			got = append(got, "*")
		}
		for _, l := range lines.Lines {
			got = append(got, l.Message)
		}
	}
	if !slices.Equal(got, want) {
		k.t.Errorf("got %q, want %q", got, want)
	}
}

func TestALogIsFollowedOverTheSameWebSocket(t *testing.T) {
	t.Parallel()
	p := newPaper()
	p.write("one", "two")
	s := newSite(t, gateway.Config{Logs: logs(map[string]*paper{"a": p})}, events.Config{})
	k := s.talk(nil)

	k.say(`{"op":"subscribe","subscriptions":[{"id":"L","task":"a","queue":"q","log":true}]}`)
	k.hear("subscribed L")
	k.hearLines("L", "*", "one", "two")
	p.write("three")
	k.hearLines("L", "three")

	// With events beside it, and after Redis was away for a moment.
	k.say(`{"op":"subscribe","subscriptions":[{"id":"A","task":"a"}]}`)
	k.hear("subscribed A", "snapshot A")
	p.mu.Lock()
	p.err = errors.New("away")
	p.mu.Unlock()
	p.write("four")
	k.hearLines("L", "four")
	s.emit("a", 2)
	k.hear("task.progress a2")

	k.say(`{"op":"unsubscribe","ids":["L"]}`)
	k.hear("unsubscribed L")
	p.write("five")
	s.emit("a", 3)
	k.hear("task.progress a3")
	k.say(`{"op":"subscribe","subscriptions":[{"id":"L","task":"a","log":true}]}`) // begins anew; the paper does not
	k.hear("subscribed L")
	k.hearLines("L", "five")
}

func TestALogAloneKeepsAConnectionOpen(t *testing.T) {
	t.Parallel()
	p := newPaper()
	s := newSite(t, gateway.Config{Logs: logs(map[string]*paper{"a": p}), Patience: 2 * time.Second, Ping: 1100 * time.Millisecond}, events.Config{})
	k := s.talk(nil)
	k.say(`{"op":"subscribe","subscriptions":[{"id":"L","task":"a","log":true}]}`)
	k.hear("subscribed L")
	k.hearLines("L", "*")
	k.hear("alive", "alive") // silent for longer than its patience
	k.say(`{"op":"unsubscribe","ids":["L"]}`)
	k.hear("unsubscribed L")
	if code, reason := k.hearEnd(); code != 1008 || reason != "reason=idle" {
		t.Errorf("closed with %d %s", code, reason)
	}
}

func TestWhoChangesFromLogToLogIsNotIdle(t *testing.T) {
	t.Parallel()
	papers := map[string]*paper{"a": newPaper(), "b": newPaper()}
	k := newSite(t, gateway.Config{Logs: logs(papers), Patience: 3 * time.Second, Ping: 1600 * time.Millisecond}, events.Config{}).talk(nil)
	k.say(`{"op":"subscribe","subscriptions":[{"id":"L","task":"a","log":true}]}`)
	k.hear("subscribed L")
	k.hearLines("L", "*")
	k.hear("alive", "alive") // connected for longer than its patience
	k.say(`{"op":"unsubscribe","ids":["L"]}`)
	k.hear("unsubscribed L")
	k.say(`{"op":"subscribe","subscriptions":[{"id":"L","task":"b","log":true}]}`)
	k.hear("subscribed L")
	k.hearLines("L", "*")
}

func TestALogInCloudWatchIsNotFollowed(t *testing.T) {
	t.Parallel()
	p := newPaper()
	p.log.Places = []wire.LogPlace{{Group: "/seri/worker", Stream: "seri/worker/158d"}}
	k := newSite(t, gateway.Config{Logs: logs(map[string]*paper{"a": p})}, events.Config{}).talk(nil)
	k.say(`{"op":"subscribe","subscriptions":[{"id":"L","task":"a","log":true}]}`)
	last := k.hear("subscribed L", "error 422 L")
	var e wire.Refused
	if err := json.Unmarshal(last.Data, &e); err != nil || !strings.Contains(e.Detail, "group /seri/worker, stream seri/worker/158d") || !strings.Contains(e.Detail, "/v1/tasks/{id}/logs") {
		t.Errorf("%s: %v", last.Data, err)
	}
	k.say(`{"op":"subscribe","subscriptions":[{"id":"L","task":"a","log":true}]}`) // the ID is free again
	k.hear("subscribed L")
}

func TestWhoMayNotFollowALogIsToldWhy(t *testing.T) {
	t.Parallel()
	papers := make(map[string]*paper)
	for id := range strings.SplitSeq("a b c d e f g h i", " ") {
		papers[id] = newPaper()
	}
	s, ring := newGuardedSite(t, gateway.Config{Logs: logs(papers)})
	k := s.talk(nil)
	k.say(`{"op":"subscribe","subscriptions":[{"id":"L","task":"a","log":true}]}`)
	k.hear("error 401 L")
	k.say(`{"op":"subscribe","token":%q,"subscriptions":[{"id":"L","task":"a","log":true}]}`, ring.mint(ofA, time.Minute))
	k.hear("error 403 L")

	k = newSite(t, gateway.Config{Logs: logs(papers)}, events.Config{}).talk(nil)
	for item, want := range map[string]string{
		`{"id":"L","log":true}`:                            "error 422 L",
		`{"id":"L","task":"a","owner":"x","log":true}`:     "error 422 L",
		`{"id":"L","task":"nobody","log":true}`:            "error 404 L",
		`{"id":"L","task":"a","queue":"other","log":true}`: "error 404 L",
		`{"id":"L","task":"broken","log":true}`:            "error 503 L",
		`{"id":"","task":"a","log":true}`:                  "error 422 ",
	} {
		k.say(`{"op":"subscribe","subscriptions":[%s]}`, item)
		k.hear(want)
	}
	var items []string
	for id := range strings.SplitSeq("a b c d e f g h i", " ") {
		items = append(items, `{"id":"`+id+`","task":"`+id+`","log":true}`)
	}
	k.say(`{"op":"subscribe","subscriptions":[%s]}`, strings.Join(items, ","))
	refused := 0
	for range 9 + 8 { // a subscription or an error for each, and the first lines
		ce, err := k.next()
		if err != nil {
			t.Fatal(err)
		}
		if ce.Type == wire.TypeError && ce.Subscription == "i" {
			refused++
		}
	}
	if refused != 1 {
		t.Errorf("%d were refused", refused)
	}

	k = newSite(t, gateway.Config{}, events.Config{}).talk(nil)
	k.say(`{"op":"subscribe","subscriptions":[{"id":"L","task":"a","log":true},{"id":"L","task":"a"}]}`)
	k.hear("error 422 L", "subscribed L", "snapshot L")
	k.say(`{"op":"subscribe","subscriptions":[{"id":"L","task":"a","log":true}]}`)
	k.hear("error 409 L")
}
