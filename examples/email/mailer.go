package email

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seri-queue/seri"
)

// Provider sends mail. A key that it has seen before sends nothing and returns the first message's ID.
type Provider interface {
	Send(ctx context.Context, key string, userID int64, text string) (messageID string, err error)
}

// What a provider may answer besides yes.
var (
	ErrNoSuchUser = errors.New("no such user")
	ErrBusy       = errors.New("provider is busy")
)

// Mailer is what a worker needs to handle [Welcome].
type Mailer struct {
	Provider Provider
}

// SendWelcome handles [Welcome].
func (m *Mailer) SendWelcome(ctx context.Context, args WelcomeArgs) (Receipt, error) {
	attempt, _ := seri.ExecutionFrom(ctx)
	seri.Progress(ctx, 0, 1, "sending")
	id, err := m.Provider.Send(ctx, attempt.ID, args.UserID, "Welcome!") // the task's ID is the same in every attempt
	switch {
	case errors.Is(err, ErrNoSuchUser):
		return Receipt{}, seri.Permanent(err) // another attempt would only repeat it
	case errors.Is(err, ErrBusy):
		return Receipt{}, seri.RetryAfter(err, time.Minute)
	case err != nil:
		return Receipt{}, fmt.Errorf("greet user %d: %w", args.UserID, err) // tried again by the task's retry policy
	}
	return Receipt{MessageID: id}, nil
}
