package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/meter"
	"github.com/seri-queue/seri/internal/store"
	"github.com/seri-queue/seri/internal/wire"
)

// shelf is a store that takes logs.
type shelf struct {
	do func(ctx context.Context) ([]error, error) // nil: yes

	mu    sync.Mutex
	calls int
	logs  map[string]string // by task
}

func (s *shelf) Log(ctx context.Context, _ keys.Queue, written []store.Written, _ int) ([]error, error) {
	if s.do != nil {
		if errs, err := s.do(ctx); errs != nil || err != nil {
			return errs, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls++; s.logs == nil {
		s.logs = make(map[string]string)
	}
	for _, w := range written {
		s.logs[w.Lease.ID()] += string(w.Lines)
	}
	return make([]error, len(written)), nil
}

func (s *shelf) of(id string) wire.TaskLog {
	s.mu.Lock()
	defer s.mu.Unlock()
	return wire.ParseTaskLog(s.logs[id])
}

// newTestLogs returns the logs of tasks on s, the registry of their leases and the worker's own log.
func newTestLogs(s bookkeeper, place *wire.LogPlace) (*taskLogs, *registry, *journal) {
	log := &journal{}
	r := newRegistry(log.logger())
	r.logs = newTaskLogs(s, 64<<10, place, r.meters, log.logger())
	return r.logs, r, log
}

func TestWhatAHandlerLogsStandsInBothLogs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{}
		logs, r, worker := newTestLogs(s, nil)
		during(t, logs.run, func(context.Context) {
			a := held(r, "t1", func(ctx context.Context, _ []byte) ([]byte, error) {
				log := seri.Log(ctx)
				log.Info("begun", "took", 3*time.Second, "token", "mine")
				log.Debug("no detail too small")
				log.With("file", "a.csv").WithGroup("row").Warn("odd", "number", 7)
				return nil, nil
			})
			a.started = time.Now()
			a.run(nil)
			time.Sleep(logEvery)
			synctest.Wait()
			got := s.of("t1").Lines
			if len(got) != 2 {
				t.Fatalf("%d lines: %+v", len(got), got)
			}
			if l := got[0]; l.Message != "begun" || l.Level != "INFO" || l.Attempt != 1 || l.Token != 7 || string(l.Attrs["took"]) != `"3s"` {
				t.Errorf("the first is %+v", l)
			}
			if l := got[1]; l.Message != "odd" || string(l.Attrs["file"]) != `"a.csv"` || string(l.Attrs["row"]) != `{"number":7}` {
				t.Errorf("the second is %+v", l)
			}
		})
		const about = `task_id=t1 queue=q type=test attempt=1 token=7`
		if !worker.has(`msg=begun `+about) || !worker.has(`msg=odd `+about+` file=a.csv row.number=7`) || worker.has("too small") {
			t.Errorf("the worker's log is %s", &worker.text)
		}
	})
}

// A handler that never stops talking is not slowed, costs Redis a few calls a second, and a bounded part of the memory.
func TestAChattyHandlerIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{}
		logs, r, _ := newTestLogs(s, nil)
		during(t, logs.run, func(context.Context) {
			for i := range 200 {
				a := held(r, fmt.Sprint(i), func(ctx context.Context, _ []byte) ([]byte, error) {
					for range 100 {
						seri.Log(ctx).Info(strings.Repeat("x", 1000))
					}
					seri.Log(ctx).Info(strings.Repeat("x", maxLogLine))
					return nil, nil
				})
				a.started = time.Now()
				a.run(nil)
			}
			logs.mu.Lock()
			if logs.bytes > maxPending {
				t.Errorf("%d bytes wait", logs.bytes)
			}
			logs.mu.Unlock()
			time.Sleep(logEvery)
			synctest.Wait()
		})
		lines, told := 0, 0
		for i := range 200 {
			for _, l := range s.of(fmt.Sprint(i)).Lines {
				if strings.HasPrefix(l.Message, "lines were dropped") {
					n := 0
					fmt.Sscan(string(l.Attrs["count"]), &n)
					told += n
				} else {
					lines++
				}
			}
		}
		if dropped := int(r.meters.LinesDropped.Load()); dropped != told || lines+dropped != 200*101 || lines < 1000 {
			t.Errorf("%d lines are kept, %d dropped, %d told of", lines, dropped, told)
		}
		if s.calls > 60 {
			t.Errorf("%d calls", s.calls)
		}
	})
}

func TestLinesThatRedisDoesNotTakeAreCounted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		errs []error
		err  error
		want string
	}{
		"it does not answer": {err: errors.New("no answer"), want: "seri_log_lines_dropped_total 2"},
		"its task is gone":   {errs: []error{&seri.FencedError{}}, want: "seri_writes_refused_total log 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			logs, r, log := newTestLogs(&shelf{do: func(context.Context) ([]error, error) { return c.errs, c.err }}, nil)
			a := held(r, "t1", nil)
			logs.of(a).Info("one")
			logs.of(a).Info("two")
			logs.write(t.Context())
			got := make(tally)
			r.meters.Measure(t.Context(), got)
			if got.String() != c.want || (c.err != nil) != log.has("lines of tasks' own logs not written") {
				t.Errorf("counted %s; logged %s", got, &log.text)
			}
		})
	}
}

func TestWhatIsLeftIsWrittenAtTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{}
		logs, r, _ := newTestLogs(s, nil)
		during(t, logs.run, func(context.Context) {
			a := held(r, "t1", nil)
			for range 5 {
				logs.of(a).Info("line")
				time.Sleep(logEvery / 10)
			}
		})
		if n := len(s.of("t1").Lines); n != 5 {
			t.Errorf("%d lines", n)
		}

		stuck := &shelf{do: func(ctx context.Context) ([]error, error) { <-ctx.Done(); return nil, ctx.Err() }}
		logs, r, _ = newTestLogs(stuck, nil)
		begun := time.Now()
		during(t, logs.run, func(context.Context) { logs.of(held(r, "t1", nil)).Info("line") })
		if took := time.Since(begun); took > logTimeout+logLast {
			t.Errorf("the end took %v", took)
		}
	})
}

// In CloudWatch the lines are there already: an attempt that logs, or does not end well, leaves only where.
func TestThePlaceOfALogIsKeptOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{}
		logs, r, worker := newTestLogs(s, &wire.LogPlace{Region: "eu-central-1", Group: "g", Stream: "s"})
		during(t, logs.run, func(context.Context) {
			for id, err := range map[string]error{"silent": nil, "talks": nil, "fails": errors.New("no")} {
				a := held(r, id, func(ctx context.Context, _ []byte) ([]byte, error) {
					if id == "talks" {
						seri.Log(ctx).Info("one")
						time.Sleep(time.Second)
						seri.Log(ctx).Info("two")
					}
					return nil, err
				})
				a.started = time.Now()
				logs.stamp(a.run(nil))
			}
		})
		for id, want := range map[string]int{"silent": 0, "talks": 1, "fails": 1} {
			got := s.of(id)
			if len(got.Places) != want || len(got.Lines) != 0 {
				t.Errorf("%s: %+v", id, got)
			}
			for _, p := range got.Places {
				if p.Region != "eu-central-1" || p.Group != "g" || p.Stream != "s" || p.From.IsZero() || p.Token != 7 {
					t.Errorf("%s: %+v", id, p)
				}
			}
		}
		if !worker.has("msg=two task_id=talks") {
			t.Errorf("the worker's log is %s", &worker.text)
		}
	})
}

// BenchmarkLog is what a line costs a handler, beside what the worker's own log costs.
func BenchmarkLog(b *testing.B) {
	for name, logger := range map[string]func(*attempt, *registry) *slog.Logger{
		"worker's alone": func(_ *attempt, r *registry) *slog.Logger { return r.logger },
		"and the task's": func(a *attempt, r *registry) *slog.Logger { return r.logs.of(a) },
	} {
		b.Run(name, func(b *testing.B) {
			r := newRegistry(silent())
			r.logs = newTaskLogs(&shelf{}, 64<<10, nil, new(meter.Worker), silent())
			log := logger(held(r, "t1", nil), r)
			for b.Loop() {
				log.Info("read a row", "number", 7)
			}
		})
	}
}
