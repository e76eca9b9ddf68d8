package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/client"
	"github.com/seri-queue/seri/examples/email"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/seritest"
	"github.com/seri-queue/seri/worker"
)

func post(a *app, form string) *http.Response {
	request := httptest.NewRequest(http.MethodPost, "/signup", strings.NewReader(form))
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return answer(a, request)
}

func get(a *app, path string) *http.Response {
	return answer(a, httptest.NewRequest(http.MethodGet, path, nil))
}

func answer(a *app, request *http.Request) *http.Response {
	recorder := httptest.NewRecorder()
	a.routes().ServeHTTP(recorder, request)
	return recorder.Result()
}

func TestSignUpEnqueuesOneMail(t *testing.T) {
	t.Parallel()
	recorder := seritest.NewRecorder(t)
	a := &app{queue: recorder}

	first, second := post(a, "user_id=42"), post(a, "user_id=42")

	for _, response := range []*http.Response{first, second} {
		if response.StatusCode != http.StatusAccepted || response.Header.Get("Location") != "/signup/42" {
			t.Errorf("got %s, %v", response.Status, response.Header)
		}
	}
	sent := seritest.Args(t, recorder, email.Welcome)
	if len(sent) != 1 || sent[0].UserID != 42 || recorder.Messages()[0].Owner != "user:42" {
		t.Errorf("enqueued %v", recorder.Messages())
	}
}

func TestWhatCannotBeEnqueuedIsSaid(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		form   string
		refuse error
		status int
	}{
		"a user that is no number":      {"user_id=x", nil, http.StatusUnprocessableEntity},
		"a queue that is out of reach":  {"user_id=42", errors.New("connection refused"), http.StatusServiceUnavailable},
		"a form without the user's ID":  {"", nil, http.StatusUnprocessableEntity},
		"a number that nobody has":      {"user_id=0", nil, http.StatusUnprocessableEntity},
		"a number that is out of range": {"user_id=99999999999999999999", nil, http.StatusUnprocessableEntity},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			recorder := seritest.NewRecorder(t)
			recorder.Refuse(c.refuse)

			response := post(&app{queue: recorder}, c.form)

			if response.StatusCode != c.status {
				t.Errorf("got %s", response.Status)
			}
		})
	}
}

type provider struct{}

func (provider) Send(context.Context, string, int64, string) (string, error) { return "m1", nil }

func TestTheMailIsSentAndShown(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t)
	queue := client.New(rdb, client.Config{})
	a := &app{queue, queue}
	mailer := &email.Mailer{Provider: provider{}}
	w, err := worker.New(rdb, []seri.Handler{email.Welcome.HandledBy(mailer.SendWelcome)}, worker.Config{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- w.Run(ctx) }()

	if before := get(a, "/signup/42"); before.StatusCode != http.StatusNotFound {
		t.Errorf("before the sign-up: %s", before.Status)
	}
	link := post(a, "user_id=42").Header.Get("Location")
	info, err := queue.Wait(t.Context(), seri.DefaultQueue, welcomeID(42))
	if err != nil || info.State != seri.Succeeded {
		t.Errorf("got %+v, %v", info, err)
	}
	if after := get(a, link); after.StatusCode != http.StatusOK {
		t.Errorf("after the sign-up: %s", after.Status)
	}

	stop()
	if err := <-stopped; err != nil {
		t.Errorf("worker ended with %v", err)
	}
}
