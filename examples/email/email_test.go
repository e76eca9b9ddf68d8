package email_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/examples/email"
	"github.com/seri-queue/seri/seritest"
)

// provider answers with err, or with a message ID made of the key.
type provider struct{ err error }

func (p provider) Send(_ context.Context, key string, _ int64, _ string) (string, error) {
	return "mail-" + key, p.err
}

func TestWelcomeIsSentUnderTheTasksID(t *testing.T) {
	t.Parallel()
	mailer := &email.Mailer{Provider: provider{}}

	receipt, err := seritest.Run(t, email.Welcome, mailer.SendWelcome, email.WelcomeArgs{UserID: 7}, seritest.With(seri.ID("t1")))

	if err != nil || receipt.MessageID != "mail-t1" {
		t.Errorf("got %+v, %v", receipt, err)
	}
}

func TestErrorsSteerWhatHappensNext(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err       error
		permanent bool
		delay     time.Duration
	}{
		"an unknown user is final":        {email.ErrNoSuchUser, true, 0},
		"a busy provider sets the delay":  {email.ErrBusy, false, time.Minute},
		"anything else is tried again":    {errors.New("connection reset"), false, 0},
		"the cause is kept in every case": {context.DeadlineExceeded, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mailer := &email.Mailer{Provider: provider{c.err}}

			_, err := seritest.Run(t, email.Welcome, mailer.SendWelcome, email.WelcomeArgs{UserID: 7})

			delay, _ := seri.RetryDelay(err)
			if !errors.Is(err, c.err) || seri.IsPermanent(err) != c.permanent || delay != c.delay {
				t.Errorf("got %v, permanent %v, delay %v", err, seri.IsPermanent(err), delay)
			}
		})
	}
}
