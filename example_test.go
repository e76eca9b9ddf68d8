package seri_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/client"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/worker"
)

// What producers need stands in a package of its own: a name and two types.

// Welcome greets a new user. Repeating it is harmless: the provider drops a second mail with the same key.
var Welcome = seri.NewTask[WelcomeArgs, Receipt]("email:welcome", seri.MaxRetries(5), seri.Timeout(time.Minute))

type WelcomeArgs struct {
	UserID int64 `json:"user_id"`
}

type Receipt struct {
	MessageID string `json:"message_id"`
}

// Mailer is what only the worker needs.
type Mailer struct{}

func (*Mailer) SendWelcome(ctx context.Context, args WelcomeArgs) (Receipt, error) {
	seri.Progress(ctx, 1, 2, "connected")
	return Receipt{MessageID: fmt.Sprintf("mail-%d", args.UserID)}, nil
}

// A web app hands a task over, a worker runs it, and the web app waits for the result.
func Example() {
	rdb, closeRedis := redistest.ForExample()
	defer closeRedis()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	// In the web app:
	queue := client.New(rdb, client.Config{})
	ticket, err := Welcome.Enqueue(ctx, queue, WelcomeArgs{UserID: 42}, seri.Owner("user:42"))
	if err != nil {
		panic(err)
	}

	// In the worker, as a rule another process:
	mailer := &Mailer{}
	w, err := worker.New(rdb, []seri.Handler{Welcome.HandledBy(mailer.SendWelcome)}, worker.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic(err)
	}
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()

	// In the web app again:
	receipt, err := ticket.Wait(ctx)
	fmt.Println(receipt.MessageID, err)

	stop()
	fmt.Println(<-ended)
	// Output:
	// mail-42 <nil>
	// <nil>
}

// Handlers steer by their errors.
func ExamplePermanent() {
	charge := func(status int) error {
		err := fmt.Errorf("the bank answers %d", status)
		switch status {
		case 400:
			return seri.Permanent(err) // another attempt would only repeat it
		case 429:
			return seri.RetryAfter(err, time.Minute)
		}
		return err // tried again as the task's policy says
	}

	fmt.Println(seri.IsPermanent(charge(400)))
	fmt.Println(seri.RetryDelay(charge(429)))
	fmt.Println(charge(500))
	// Output:
	// true
	// 1m0s true
	// the bank answers 500
}

// The same ID twice is refused, so a request that is repeated does no harm.
func ExampleID() {
	rdb, closeRedis := redistest.ForExample()
	defer closeRedis()
	queue := client.New(rdb, client.Config{})

	for range 2 {
		_, err := Welcome.Enqueue(context.Background(), queue, WelcomeArgs{UserID: 42}, seri.ID("welcome:42"))
		fmt.Println(errors.Is(err, seri.ErrConflict))
	}
	// Output:
	// false
	// true
}
