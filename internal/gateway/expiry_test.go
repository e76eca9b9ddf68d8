package gateway_test

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/events"
	"github.com/seri-queue/seri/internal/gateway"
	"github.com/seri-queue/seri/internal/token"
)

func TestTokenThatEndsTakesNothingFromAKey(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	s, k := newGuardedSiteAs(t, gateway.Config{}, events.Config{}, nature{
		now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) },
		serve: func(_ redis.UniversalClient, g *gateway.Gateway) *http.Server {
			return &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				g.WebSocket().ServeHTTP(w, r.WithContext(gateway.Trusted(r.Context(), "key")))
			})}
		},
	})
	client := s.talk(nil)
	client.say(`{"op":"subscribe","subscriptions":[{"id":"A","task":"a"}]}`)
	client.hear("subscribed A", "snapshot A")
	client.say(`{"op":"authorize","token":%q}`, k.mint(ofA, 10*time.Minute)) // which allows less of the same
	client.say(`{"op":"authorize","token":%q}`, k.mint(token.Pass{Scope: token.Scope{Queues: []string{"q"}}}, time.Minute))
	client.hear("authorized", "authorized")

	ahead.Store(int64(5 * time.Minute)) // the second is over
	client.say(`{"op":"ping"}`)

	client.hear("alive")
	s.emit("a", 2)
	client.hear("task.progress a2")
}
