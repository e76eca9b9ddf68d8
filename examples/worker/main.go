// Command worker runs a team's own tasks. Start as many as you like; REDIS_URL says where the queue is.
package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/client"
	"github.com/seri-queue/seri/examples/email"
	"github.com/seri-queue/seri/worker"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, cmp.Or(os.Getenv("REDIS_URL"), "redis://127.0.0.1:6379/0")); err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		os.Exit(1)
	}
}

// run works until ctx ends; then running tasks get the grace period, and what is unfinished is handed back.
func run(ctx context.Context, redisURL string) error {
	rdb, err := client.OpenRedis(redisURL)
	if err != nil {
		return err
	}
	defer rdb.Close()

	mailer := &email.Mailer{Provider: printer{}}
	w, err := worker.New(rdb, []seri.Handler{
		email.Welcome.HandledBy(mailer.SendWelcome), // a handler of the wrong type does not compile
	}, worker.Config{Slots: 20})
	if err != nil {
		return err
	}
	return w.Run(ctx)
}

// printer stands in for a mail provider.
type printer struct{}

func (printer) Send(ctx context.Context, key string, userID int64, text string) (string, error) {
	slog.InfoContext(ctx, "mail sent", "key", key, "user", userID, "text", text)
	return "printed-" + key, nil
}
