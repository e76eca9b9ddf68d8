package engine

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/store"
)

// serversFunc is a store that knows servers.
type serversFunc func(ctx context.Context) ([]store.Server, error)

func (f serversFunc) Servers(ctx context.Context) ([]store.Server, error) { return f(ctx) }

func TestAForeignServerIsWarnedOfOnceAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, begun := &journal{}, time.Now()
		l := lookout{serversFunc(func(context.Context) ([]store.Server, error) {
			if time.Since(begun) >= 3*time.Minute {
				return nil, nil // both have stopped
			}
			return []store.Server{
				{Name: "a:1:x", Queues: []keys.Queue{"default", "mail", "other"}},
				{Name: "b:2:y", Queues: []keys.Queue{"mail"}},
				{Name: "c:3:z", Queues: []keys.Queue{"other"}},
				{Name: "d:4:w", Queues: []keys.Queue{"mail"}, Fenced: true},
			}, nil
		}), []keys.Queue{"default", "mail"}, log.logger()}

		during(t, l.run, func(context.Context) { time.Sleep(10*time.Minute - time.Second) })

		var told []string
		for line := range strings.Lines(log.text.String()) {
			_, rest, _ := strings.Cut(line, "it consumes\" ")
			told = append(told, strings.TrimSpace(rest))
		}
		once := []string{`server=a:1:x queues="[default mail]"`, `server=b:2:y queues=[mail]`}
		if want := slices.Repeat(once, 3); !slices.Equal(told, want) {
			t.Errorf("the log tells\n%q, want\n%q", told, want)
		}
	})
}

func TestALookThatFailsIsTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, looks := &journal{}, 0
		l := lookout{serversFunc(func(context.Context) ([]store.Server, error) {
			if looks++; looks == 1 {
				return nil, errors.New("no Redis")
			}
			return []store.Server{{Name: "a:1:x", Queues: []keys.Queue{"mail"}}}, nil
		}), []keys.Queue{"mail"}, log.logger()}

		during(t, l.run, func(context.Context) { time.Sleep(lookEvery + time.Second) })

		if !log.has(`error="no Redis"`) || !log.has("server=a:1:x") {
			t.Errorf("the log tells\n%s", log.text.String())
		}
	})
}
