package tables

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seri-queue/seri"
)

// A row a second: the first megabyte, or 64 KiB, would take days.
func TestASourceThatTricklesIsReportedByTheTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var done []int64
		ctx := seri.WithExecution(t.Context(), seri.Execution{}, func(p seri.ProgressInfo) { done = append(done, p.Done) })
		source, feed := io.Pipe()
		ended := make(chan error, 1)
		go func() {
			_, err := profile(ctx, source, 0, ',', 1)
			ended <- err
		}()

		for _, row := range []string{"name\n", "a\n", "b\n"} {
			io.WriteString(feed, row)
			time.Sleep(time.Second) // on the clock of the bubble
		}
		synctest.Wait()

		if want := []int64{5, 7, 9}; !slices.Equal(done, want) {
			t.Errorf("bytes reported: %v, want %v", done, want)
		}
		feed.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestASourceInSmallPortionsIsNotReportedForEach(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // where no time passes
		reports := 0
		ctx := seri.WithExecution(t.Context(), seri.Execution{}, func(seri.ProgressInfo) { reports++ })
		w := &watch{Reader: drops{}, ctx: ctx, at: time.Now()}

		io.CopyN(io.Discard, struct{ io.Reader }{w}, 4*reportBytes)

		if reports != 4 {
			t.Errorf("%d reports of %d bytes that came one by one, want 4", reports, 4*reportBytes)
		}
	})
}

type drops struct{}

func (drops) Read(p []byte) (int, error) { return copy(p[:1], "x"), nil }

func TestTheEndOfTheContextEndsASourceThatTrickles(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, revoke := context.WithCancelCause(t.Context())
		source, feed := io.Pipe()
		ended := make(chan error, 1)
		go func() {
			_, err := profile(ctx, source, 0, ',', 1)
			ended <- err
		}()

		io.WriteString(feed, "name\n")
		synctest.Wait() // it reads on
		revoke(seri.ErrRevoked)
		io.WriteString(feed, "a\n")

		if err := <-ended; !errors.Is(err, seri.ErrRevoked) || seri.IsPermanent(err) {
			t.Errorf("got %v, want an end by the revocation", err)
		}
		source.Close()
	})
}

func TestNumbersOfRowsAreForPeople(t *testing.T) {
	t.Parallel()
	for rows, want := range map[int64]string{0: "0 rows", 999: "999 rows", 1000: "1,000 rows", 141158: "141,158 rows", 1234567: "1,234,567 rows"} {
		if got := (&watch{rows: rows}).progress(); got != want {
			t.Errorf("%d: %q, want %q", rows, got, want)
		}
	}
}
