package api

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/client"
	"github.com/seri-queue/seri/internal/consumers"
	"github.com/seri-queue/seri/internal/events"
	"github.com/seri-queue/seri/internal/redistest"
)

func TestConsumersAcknowledgeByHTTP(t *testing.T) {
	t.Parallel()
	redistest.EachWithEmbedded(t, func(t *testing.T, rdb redis.UniversalClient) {
		registry, name := consumers.New(rdb), redistest.Queue(t)
		server := newServer(t, Config{Tasks: client.New(rdb, client.Config{}), Consumers: registry})
		c, err := registry.Attach(t.Context(), name, map[string]events.Filter{"": {Queue: "mail"}})
		if err != nil {
			t.Fatal(err)
		}
		token := fmt.Sprintf(`"token":%d`, c.Token)
		for _, c := range []struct {
			method, path, body string
			status             int
			says               string
		}{
			{"GET", "/" + name, "", 200, `"cursor":""`},
			{"POST", "/" + name + "/ack", `{"cursor":"5-0:1",` + token + `}`, 200, `"cursor":"mail@5-0:1"`},
			{"POST", "/" + name + "/ack", `{"cursor":"4-0:0",` + token + `}`, 200, `"cursor":"mail@5-0:1"`},
			{"POST", "/" + name + "/ack", `{"cursor":"soon",` + token + `}`, 422, "body.cursor"},
			{"POST", "/" + name + "/ack", `{` + token + `}`, 422, "body.cursor"},
			{"POST", "/" + name + "/ack", `{"cursor":"5-0:1"}`, 422, "body.token"},
			{"POST", "/" + name + "/ack", `{"cursor":"5-0:1","token":"1"}`, 422, "must be a whole number"},
			{"POST", "/" + name + "/ack", `{"cursor":"9-0:1","token":1}`, 409, "/problems/taken"},
			{"POST", "/" + name + "/ack", `{"cursor":"5-0:1","id":"x",` + token + `}`, 422, "body.id"},
			{"POST", "/" + name + "/ack", `{`, 400, "malformed"},
			{"GET", "/" + name, "", 200, "acknowledged_at"},
			{"POST", "/nobody/ack", `{"cursor":"5-0:1","token":1}`, 404, "no such consumer"},
			{"DELETE", "/" + name, "", http.StatusNoContent, ""},
			{"DELETE", "/" + name, "", 404, "no such consumer"},
			{"GET", "/" + name, "", 404, "no such consumer"},
		} {
			w := do(server, c.method, "/v1/consumers"+c.path, c.body)

			if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) {
				t.Errorf("%s %s %s answers %d %s, want %d with %s", c.method, c.path, c.body, w.Code, w.Body, c.status, c.says)
			}
		}
	})
}
