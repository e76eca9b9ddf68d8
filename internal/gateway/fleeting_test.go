package gateway_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/events"
	"github.com/seri-queue/seri/internal/gateway"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/internal/wire"
)

func TestClientThatAskedForAtMostOnceAndDoesNotReadIsToldWhatItHasMissed(t *testing.T) {
	t.Parallel()
	for transport, open := range map[string]func(s *site) func() (wire.CloudEvent, error){
		"SSE": func(s *site) func() (wire.CloudEvent, error) {
			return s.mustOpen("SSE", "queue=q&qos=at_most_once").Next
		},
		"WebSocket": func(s *site) func() (wire.CloudEvent, error) {
			return s.mustOpen("WebSocket", "queue=q&qos=at_most_once").Next
		},
		"commands": func(s *site) func() (wire.CloudEvent, error) {
			k := s.talk(nil)
			k.say(`{"op":"subscribe","qos":"at_most_once","subscriptions":[{"id":"Q","queue":"q"}]}`)
			k.hear("subscribed Q")
			return func() (ce wire.CloudEvent, err error) {
				err = k.conn.ReadJSON(&ce)
				return ce, err
			}
		},
	} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, gateway.Config{WriteTimeout: 50 * time.Millisecond}, events.Config{Buffer: 200_000})
			next, fast := open(s), s.mustOpen("WebSocket", "queue=q")
			if ce, err := next(); err != nil || ce.Type != wire.TypeSnapshot {
				t.Fatalf("it begins with %+v, %v", ce, err)
			}
			read(t, fast, 1)

			const batch, batches = 50, 400 // more than the network and the buffer take
			seq := 1
			for range batches {
				seqs := make([]int, batch)
				for i := range seqs {
					seq++
					seqs[i] = seq
				}
				s.emitAs("queued", "a", seqs...)
				read(t, fast, batch)
			}

			missed := 0
			for seen := 1; seen < seq; {
				ce, err := next()
				if err != nil {
					t.Fatalf("after %d events: %v", seen, err)
				}
				if ce.Type == wire.TypeDropped {
					if err := checkFrame(mustEncode(t, ce)); err != nil {
						t.Error(err)
					}
					var dropped wire.Dropped
					if err := json.Unmarshal(ce.Data, &dropped); err != nil {
						t.Fatal(err)
					}
					missed, seen = missed+dropped.Count, seen+dropped.Count
					continue
				}
				if seen++; ce.Sequence != fmt.Sprint(seen) {
					t.Fatalf("got event %s, want %d", ce.Sequence, seen)
				}
			}
			if missed == 0 {
				t.Error("it has missed nothing")
			}
		})
	}
}

// lent is a ResponseWriter that is the handler's until it returns. In HTTP/2, who uses one later meets a nil pointer.
type lent struct {
	http.ResponseWriter
	returned chan struct{} // closed when the handler has
	late     chan<- bool   // is told of a write that has less time than usual, whether the handler had returned meanwhile
}

func (w *lent) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *lent) SetWriteDeadline(at time.Time) error {
	if time.Until(at) > time.Second {
		return http.NewResponseController(w.ResponseWriter).SetWriteDeadline(at)
	}
	select {
	case <-w.returned:
		w.late <- true
	case <-time.After(100 * time.Millisecond): // the time that a handler may take to return too early
		w.late <- false
	}
	return nil
}

func TestAnswerIsNotUsedOnceItsHandlerHasReturned(t *testing.T) {
	t.Parallel()
	late, returned := make(chan bool, 100), make(chan struct{}, 1)
	s := newSiteAs(t, redistest.New(t), gateway.Config{}, events.Config{}, nature{serve: func(_ redis.UniversalClient, g *gateway.Gateway) *http.Server {
		return &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mine := &lent{w, make(chan struct{}), late}
			g.SSE().ServeHTTP(mine, r)
			close(mine.returned)
			returned <- struct{}{}
		})}
	}})

	for range 20 { // it need not have had to hurry
		stream := s.mustOpen("SSE", "queue=q&qos=at_most_once")
		read(t, stream, 1)
		stream.Close()
		<-returned
		select {
		case used := <-late:
			if used {
				t.Error("the time for a write was set after the handler had returned")
			}
			return
		case <-time.After(time.Second):
		}
	}
	t.Error("it has never hurried")
}

func mustEncode(t *testing.T, ce wire.CloudEvent) []byte {
	t.Helper()
	text, err := json.Marshal(ce)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
