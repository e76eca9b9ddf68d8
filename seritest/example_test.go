package seritest_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/seritest"
)

// An area of tasks, as it would stand in tasks/email.

var Welcome = seri.NewTask[WelcomeArgs, Receipt]("email:welcome", seri.MaxRetries(5))

type WelcomeArgs struct {
	UserID int64 `json:"user_id"`
}

type Receipt struct {
	MessageID string `json:"message_id"`
}

type Mailer struct {
	Send func(ctx context.Context, user int64, text string) (string, error)
}

func (m *Mailer) SendWelcome(ctx context.Context, args WelcomeArgs) (Receipt, error) {
	seri.Progress(ctx, 0, 1, "sending")
	id, err := m.Send(ctx, args.UserID, "Welcome!")
	if err != nil {
		return Receipt{}, fmt.Errorf("greet user %d: %w", args.UserID, err)
	}
	return Receipt{MessageID: id}, nil
}

// signUp is code that enqueues.
func signUp(ctx context.Context, queue seri.Enqueuer, user int64) error {
	_, err := Welcome.Enqueue(ctx, queue, WelcomeArgs{UserID: user}, seri.Owner(fmt.Sprintf("user:%d", user)))
	return err
}

func exampleMailer() *Mailer {
	return &Mailer{Send: func(_ context.Context, user int64, _ string) (string, error) {
		return fmt.Sprintf("mail-%d", user), nil
	}}
}

// A handler, tested with its progress. In a test, t is the test's.
func ExampleRun() {
	example(func(t testing.TB) {
		m := exampleMailer()
		var reports []seri.ProgressInfo

		got, err := seritest.Run(t, Welcome, m.SendWelcome, WelcomeArgs{UserID: 7}, seritest.Progress(&reports))

		fmt.Println(got.MessageID, err)
		fmt.Println(reports)
	})
	// Output:
	// mail-7 <nil>
	// [{0 1 sending}]
}

// What a web app enqueues, tested without a queue.
func ExampleArgs() {
	example(func(t testing.TB) {
		recorder := seritest.NewRecorder(t)

		err := signUp(t.Context(), recorder, 42)

		sent := seritest.Args(t, recorder, Welcome)
		fmt.Println(sent, recorder.Messages()[0].Owner, err)
	})
	// Output: [{42}] user:42 <nil>
}

// Code that waits for a result, tested with the real handler.
func ExampleRecorder_Handle() {
	example(func(t testing.TB) {
		recorder := seritest.NewRecorder(t)
		recorder.Handle(Welcome.HandledBy(exampleMailer().SendWelcome))

		ticket, err := Welcome.Enqueue(t.Context(), recorder, WelcomeArgs{UserID: 42})
		if err != nil {
			t.Fatal(err)
		}
		receipt, err := ticket.Wait(t.Context())

		fmt.Println(receipt.MessageID, err)
	})
	// Output: mail-42 <nil>
}

// example stands in for the test that an example does not have.
func example(do func(testing.TB)) {
	do(exampleT{})
}

type exampleT struct{ testing.TB }

func (exampleT) Helper()                  {}
func (exampleT) Context() context.Context { return context.Background() }
func (exampleT) Cleanup(func())           {}
func (exampleT) Fatal(args ...any)        { panic(fmt.Sprint(args...)) }
