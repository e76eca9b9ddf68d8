package beat

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/lock"
)

func TestALeaderShowsThatItTurnsBetweenTicksToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := of(t, newFake(), every(t, "yearly", "@yearly"))
		last, longest := time.Now(), time.Duration(0)
		b.config.Alive = func() {
			longest = max(longest, time.Since(last))
			last = time.Now()
		}

		err := b.leadFor(t, 1, time.Hour)

		if !errors.Is(err, context.DeadlineExceeded) || longest == 0 || longest > 10*time.Second || time.Since(last) > 10*time.Second {
			t.Errorf("did not turn for %v, and at last for %v; %v", longest, time.Since(last), err)
		}
	})
}

func TestABeatThatWaitsShowsThatItTurnsAndLeadsInTheEnd(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t)
	turns := make(chan struct{}, 1000)
	b, err := New(rdb, nil, Config{Alive: func() { turns <- struct{}{} }, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	b.patience = 10 * time.Millisecond
	held, err := lock.New(rdb).Try(t.Context(), "beat", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()

	for range 5 { // each of them a wait that was given up, for while it leads it turns every 10 s
		<-turns
	}
	if err := held.Release(t.Context()); err != nil {
		t.Errorf("the lock was taken from its holder: %v", err)
	}
	tick := time.NewTicker(time.Millisecond) // a lock that is taken gives no sign
	defer tick.Stop()
	for {
		_, err := lock.New(rdb).Try(t.Context(), "beat", 10*time.Millisecond)
		if errors.Is(err, lock.ErrHeld) {
			break
		}
		select {
		case <-tick.C:
		case err := <-ended:
			t.Fatal(err)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
