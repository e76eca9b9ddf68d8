package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/meter"
	"github.com/seri-queue/seri/internal/store"
)

// tally is what was counted, those that are not zero: "name label label" by number.
type tally map[string]float64

func (t tally) Value(f *meter.Family, value float64, labels ...string) {
	if value != 0 {
		t[strings.TrimSpace(f.Name+" "+strings.Join(labels, " "))] = value
	}
}

func (t tally) Histogram(f *meter.Family, h meter.Snapshot, labels ...string) {
	t.Value(f, float64(h.Count()), labels...)
}

func (t tally) String() string {
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(t)) {
		lines = append(lines, fmt.Sprint(name, " ", t[name]))
	}
	return strings.Join(lines, "\n")
}

func TestOutcomesAreCountedOnceTheyAreWritten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, r, outcomes, _ := newTestCompleter(&endings{do: func(call string, ids []string) ([]error, error) {
			if call == "retry" {
				return []error{&seri.FencedError{TaskID: ids[0], Held: 7, Seen: 8}}, nil
			}
			return nil, nil
		}}, 10)
		during(t, c.run, func(context.Context) {
			for i, o := range []outcome{
				{kind: succeeded}, {kind: retried, err: errors.New("no")}, {kind: archived, reason: seri.ReasonPermanent, err: errors.New("no")},
				{kind: archived, reason: seri.ReasonRevoked, err: seri.ErrRevoked}, {kind: handedBack, err: seri.ErrStopping}, {kind: abandoned, err: seri.ErrLeaseLost},
			} {
				o.attempt = held(r, fmt.Sprint(i), nil)
				o.attempt.meter = r.meters.Type("test")
				outcomes <- o
			}
			synctest.Wait()
		})
		got := make(tally)
		r.meters.Measure(t.Context(), got)
		want := strings.Join([]string{
			"seri_tasks_total test abandoned 1", "seri_tasks_total test failed 1", "seri_tasks_total test handed_back 1",
			"seri_tasks_total test revoked 1", "seri_tasks_total test succeeded 1", "seri_writes_refused_total outcome 1",
		}, "\n")
		if got.String() != want {
			t.Errorf("counted\n%s\nwant\n%s", got, want)
		}
	})
}

func TestTimesAndLostLeasesAreCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, r, outcomes := newTestSlots(1, time.Minute)
		during(t, s.run, func(ctx context.Context) {
			for i, d := range []time.Duration{time.Millisecond, time.Minute} {
				s.acquire(ctx)
				a := held(r, fmt.Sprint(i), func(context.Context, []byte) ([]byte, error) {
					if i == 1 {
						r.lose(r.withID("1")[0], errUnproven)
					}
					time.Sleep(d)
					return nil, nil
				})
				a.meter = r.meters.Type("test")
				s.start([]*attempt{a})
				r.remove((<-outcomes).attempt)
			}
			synctest.Wait()
		})
		got := make(tally)
		r.meters.Measure(t.Context(), got)
		if want := "seri_leases_lost_total 1\nseri_task_seconds test 2"; got.String() != want {
			t.Errorf("counted\n%s\nwant\n%s", got, want)
		}
	})
}

func TestRefusedProgressIsCounted(t *testing.T) {
	t.Parallel()
	leases := newRegistry(silent())
	r := newReporter(recordFunc(func(_ context.Context, reports []store.Report) ([]error, error) {
		return []error{&seri.FencedError{TaskID: reports[0].Lease.ID()}}, nil
	}), 1, silent())
	a := held(leases, "a", nil)
	a.report = &seri.ProgressInfo{Done: 1}
	r.write(t.Context(), r.gather(a))
	if n := r.meters.Refused.Progress.Load(); n != 1 {
		t.Errorf("counted %v", n)
	}
}
