package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/store"
)

// record returns a store that keeps what it is told as "id:done at".
func record(begun time.Time, written *[]string) recordFunc {
	return func(_ context.Context, reports []store.Report) ([]error, error) {
		for _, r := range reports {
			*written = append(*written, fmt.Sprintf("%s:%d at %v", r.Lease.ID(), r.Progress.Done, time.Since(begun)))
		}
		return make([]error, len(reports)), nil
	}
}

func TestTheNewestReportWithin100msIsWritten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var written []string
		r := newReporter(record(time.Now(), &written), 2, silent())
		a, b := held(newRegistry(silent()), "a", nil), held(newRegistry(silent()), "b", nil)

		during(t, r.run, func(context.Context) {
			r.note(a, seri.ProgressInfo{Done: 1})
			synctest.Wait() // the first report of a quiet time goes at once
			for i := range int64(250) {
				r.note(a, seri.ProgressInfo{Done: 2 + i})
				time.Sleep(time.Millisecond)
			}
			r.note(b, seri.ProgressInfo{Done: 7})
			time.Sleep(time.Second)
		})

		want := []string{"a:1 at 0s", "a:102 at 100ms", "a:202 at 200ms", "a:251 at 300ms", "b:7 at 300ms"}
		slices.Sort(written)
		if len(written) != len(want) {
			t.Fatalf("written: %q, want about %q", written, want)
		}
		// At the same instant of the bubble either side may be first.
		for i, w := range []int64{1, 101, 201, 251} {
			var done int64
			var at string
			if _, err := fmt.Sscanf(written[i], "a:%d at %s", &done, &at); err != nil || done < w || done > w+1 || at != fmt.Sprint(time.Duration(i)*reportEvery) {
				t.Errorf("written %q, want about %q", written[i], want[i])
			}
		}
		if written[4] != want[4] {
			t.Errorf("written %q, want %q", written[4], want[4])
		}
	})
}

func TestProgressNeverBlocks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begun, slots := time.Now(), 4
		hung := recordFunc(func(ctx context.Context, _ []store.Report) ([]error, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		r := newReporter(hung, 2*slots, silent())
		leases := newRegistry(silent())

		during(t, r.run, func(context.Context) {
			for i := range 1000 { // many more tasks than there is room for, one after the other
				a := held(leases, fmt.Sprint(i), nil)
				for j := range int64(10) {
					r.note(a, seri.ProgressInfo{Done: j})
				}
				leases.remove(a)
			}
		})

		if took := time.Since(begun); took != 0 {
			t.Errorf("handlers were kept for %v", took)
		}
	})
}

func TestAReportThatFoundNoRoomDoesNotSilenceTheNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var written []string
		r := newReporter(record(time.Now(), &written), 1, silent())
		leases := newRegistry(silent())
		a, b := held(leases, "a", nil), held(leases, "b", nil)
		r.note(a, seri.ProgressInfo{Done: 1}) // nobody takes it yet: the room is used up
		r.note(b, seri.ProgressInfo{Done: 1})

		during(t, r.run, func(context.Context) {
			time.Sleep(time.Second)
			r.note(b, seri.ProgressInfo{Done: 2})
			synctest.Wait()
		})

		if want := []string{"a:1 at 0s", "b:2 at 1s"}; !slices.Equal(written, want) {
			t.Errorf("written: %q, want %q", written, want)
		}
	})
}

func TestNothingIsReportedAfterTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var written []string
		r := newReporter(record(time.Now(), &written), 4, silent())
		leases := newRegistry(silent())
		before, after := held(leases, "before", nil), held(leases, "after", nil)

		during(t, r.run, func(context.Context) {
			r.note(held(leases, "first", nil), seri.ProgressInfo{})
			synctest.Wait()
			r.note(before, seri.ProgressInfo{Done: 1}) // and then it ends, before the report is written
			before.settled.Store(true)
			leases.remove(after)
			r.note(after, seri.ProgressInfo{Done: 1}) // a goroutine that the handler has left behind
			time.Sleep(time.Second)
		})

		if want := []string{"first:0 at 0s"}; !slices.Equal(written, want) {
			t.Errorf("written: %q, want %q", written, want)
		}
	})
}

func TestReporterGoesOnAfterAnError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		r := newReporter(recordFunc(func(_ context.Context, reports []store.Report) ([]error, error) {
			if calls++; calls == 1 {
				return nil, errors.New("connection reset")
			}
			return make([]error, len(reports)), nil
		}), 2, silent())
		a := held(newRegistry(silent()), "a", nil)

		during(t, r.run, func(context.Context) {
			r.note(a, seri.ProgressInfo{Done: 1})
			time.Sleep(time.Second)
			r.note(a, seri.ProgressInfo{Done: 2})
			synctest.Wait()
		})

		if calls != 2 {
			t.Errorf("%d calls, want 2", calls)
		}
	})
}
