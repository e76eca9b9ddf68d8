package api

import (
	"net/http"
	"testing"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/client"
)

func TestARequestKeepsTheTermsOfItsType(t *testing.T) {
	t.Parallel()
	mail := seri.NewTask[struct{}, seri.None]("mail.send", seri.Queue("mail"), seri.MaxRetries(3), seri.Timeout(time.Minute), seri.Retention(time.Hour))
	handler := mail.HandledBy(nil)
	cases := map[string]struct {
		body               string
		queue              string
		maxRetries         int
		timeout, retention time.Duration
	}{
		"where it says nothing":            {`{"type":"mail.send","payload":{}}`, "mail", 3, time.Minute, time.Hour},
		"but for what it says":             {`{"type":"mail.send","payload":{},"queue":"q","max_retries":0,"retention":0}`, "q", 0, time.Minute, 0},
		"which nobody knows: the defaults": {`{"type":"other","payload":{}}`, "default", 25, 30 * time.Minute, 24 * time.Hour},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var stored seri.Message
			tasks := &fakeTasks{types: []client.TypeInfo{client.TypeOf(&handler)}, enqueue: func(m seri.Message) error { stored = m; return nil }}
			server := newServer(t, Config{Tasks: tasks, AllowUnknownTypes: true})

			answer := do(server, "POST", "/v1/tasks", c.body)

			if answer.Code != http.StatusAccepted {
				t.Fatalf("answer is %d: %s", answer.Code, answer.Body)
			}
			if stored.Queue != c.queue || stored.MaxRetries != c.maxRetries || stored.Timeout != c.timeout || stored.Retention != c.retention {
				t.Errorf("stored %+v, want %+v", stored, c)
			}
		})
	}
}
