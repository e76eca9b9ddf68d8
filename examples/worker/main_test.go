package main

import (
	"context"
	"testing"

	"github.com/seri-queue/seri/client"
	"github.com/seri-queue/seri/examples/email"
	"github.com/seri-queue/seri/internal/redistest"
)

func TestWorkerRunsTheTask(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t)
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- run(ctx, redistest.URL(rdb)) }()

	ticket, err := email.Welcome.Enqueue(t.Context(), client.New(rdb, client.Config{}), email.WelcomeArgs{UserID: 7})
	if err != nil {
		t.Fatal(err)
	}
	receipt, err := ticket.Wait(t.Context())
	if err != nil || receipt.MessageID != "printed-"+ticket.ID {
		t.Errorf("got %+v, %v", receipt, err)
	}

	stop()
	if err := <-stopped; err != nil {
		t.Errorf("worker ended with %v", err)
	}
}

func TestAURLThatIsNoneIsAnError(t *testing.T) {
	t.Parallel()

	err := run(t.Context(), "localhost")

	if err == nil {
		t.Error("got no error")
	}
}
