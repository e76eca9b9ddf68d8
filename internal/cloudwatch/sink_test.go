package cloudwatch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"

	"github.com/seri-queue/seri/internal/cloudwatch/cloudwatchtest"
)

// notes is where a sink writes what it cannot ship.
type notes struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (n *notes) Write(b []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.Write(b)
}

func (n *notes) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.String()
}

// during runs a sink while do writes to it, and returns when it has ended.
func during(t *testing.T, s *Sink, do func()) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	do()
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

var throttled error = &types.ThrottlingException{Message: aws.String("Rate exceeded")}

// check holds what the service got against what was written: line 0, 1, 2, …, each once and in their order.
func check(t *testing.T, service *cloudwatchtest.Service, group, stream string, want int) {
	t.Helper()
	for _, wrong := range service.Violations() {
		t.Error(wrong)
	}
	events := service.Events(group, stream)
	if len(events) != want {
		t.Fatalf("%d lines have come, want %d", len(events), want)
	}
	for i, e := range events {
		if first, _, _ := strings.Cut(e.Message, " "); first != fmt.Sprint(i) {
			t.Fatalf("line %d is %.40q", i, e.Message)
		}
	}
}

func TestAGroupAndAStreamAreMade(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service := &cloudwatchtest.Service{}
		s := New(service, Config{Group: "g", Stream: "s"})
		during(t, s, func() {
			fmt.Fprintln(s, "0 hello")
			time.Sleep(time.Second) // as long as a line waits for others
			synctest.Wait()
			if n := len(service.Events("g", "s")); n != 1 {
				t.Errorf("%d lines after a second", n)
			}
			fmt.Fprintf(s, "1 \xff\r\n\n")
			fmt.Fprint(s, "\n") // which CloudWatch would refuse
		})
		check(t, service, "g", "s", 2)
		if n := service.Calls("CreateLogGroup"); n != 1 {
			t.Errorf("the group is made %d times", n)
		}
		other := New(service, Config{Group: "g", Stream: "s"})
		during(t, other, func() { fmt.Fprintln(other, "2") })
		check(t, service, "g", "s", 3)
	})
}

// Lines of any size, in any number, are cut into calls that keep to every limit; nothing is lost or put out of order.
func TestLimitsAreKept(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lines int
		size  func() int
	}{
		"many short lines":              {25_000, func() int { return 1 }},
		"few long lines":                {30, func() int { return 262_118 - 8 }},
		"lines of every size":           {3000, func() int { return rand.N(10_000) }},
		"just as many bytes as allowed": {8, func() int { return 1<<18 - 26 - 2 }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				service := &cloudwatchtest.Service{}
				s := New(service, Config{Group: "g", Stream: "s", Buffer: 1 << 30})
				during(t, s, func() {
					for i := range c.lines {
						fmt.Fprintf(s, "%d %s\n", i, strings.Repeat("x", c.size()))
					}
				})
				check(t, service, "g", "s", c.lines)
				if s.Dropped() > 0 {
					t.Errorf("%d lines were dropped", s.Dropped())
				}
			})
		})
	}
}

func TestALineThatIsTooLongIsCut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service := &cloudwatchtest.Service{}
		s := New(service, Config{Group: "g", Stream: "s"})
		during(t, s, func() { fmt.Fprintln(s, "0 "+strings.Repeat("ä", 200_000)) })
		check(t, service, "g", "s", 1)
		if text := service.Events("g", "s")[0].Message; !strings.HasSuffix(text, "ä… (cut)") || len(text) < 262_100 {
			t.Errorf("%d bytes end with %q", len(text), text[len(text)-20:])
		}
	})
}

func TestADayOfOutageFitsIntoNoSingleCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var away atomic.Bool
		service := outage(&away)
		s := New(service, Config{Group: "g", Stream: "s", Flush: time.Minute})
		away.Store(true)
		during(t, s, func() {
			for i := range 30 {
				fmt.Fprintln(s, i)
				time.Sleep(time.Hour)
			}
			away.Store(false)
		})
		check(t, service, "g", "s", 30)
	})
}

func TestLinesAreInOrderAlthoughTheClockWasSetBack(t *testing.T) {
	t.Parallel()
	service := &cloudwatchtest.Service{}
	s := New(service, Config{Group: "g", Stream: "s"})
	now := time.Now()
	s.waiting = []line{{"1 late", now}, {"2 late", now}, {"0 early", now.Add(-time.Minute)}}
	s.drain(t.Context(), nil)
	check(t, service, "g", "s", 3)
}

// outage is a service that throttles everything while it is away.
func outage(away *atomic.Bool) *cloudwatchtest.Service {
	return &cloudwatchtest.Service{Fault: func(context.Context, string) error {
		if away.Load() {
			return throttled
		}
		return nil
	}}
}

func TestWhatIsTooOldOrTooNewIsCountedAndTold(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		off       time.Duration // CloudWatch's clock is ahead by that much
		retention time.Duration
	}{
		"too old":      {15 * 24 * time.Hour, 0},
		"too new":      {-3 * time.Hour, 0},
		"kept no more": {49 * time.Hour, 48 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var off atomic.Int64
				off.Store(int64(c.off))
				service := &cloudwatchtest.Service{Retention: c.retention, Now: func() time.Time { return time.Now().Add(time.Duration(off.Load())) }}
				aside := &notes{}
				s := New(service, Config{Group: "g", Stream: "s", Aside: aside})
				during(t, s, func() {
					fmt.Fprintln(s, "a")
					fmt.Fprintln(s, "b")
					time.Sleep(2 * time.Second)
					synctest.Wait()
					off.Store(0)
					fmt.Fprintln(s, "c")
				})
				events := service.Events("g", "s")
				var gap struct {
					Msg   string
					Count int
				}
				if len(events) != 2 || events[1].Message != "c" || json.Unmarshal([]byte(events[0].Message), &gap) != nil || gap.Count != 2 || !strings.Contains(gap.Msg, "dropped") {
					t.Errorf("have come: %v", events)
				}
				if s.Dropped() != 2 || !strings.Contains(aside.String(), "2 lines of the log were refused") {
					t.Errorf("%d dropped; %s", s.Dropped(), aside)
				}
			})
		})
	}
}

// A third of all calls fail, in every way that passes: nothing is lost, nothing comes twice.
func TestFaultsThatPassLoseNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		faults := []error{throttled, &types.ServiceUnavailableException{}, errors.New("connection reset"), &types.LimitExceededException{}, &types.OperationAbortedException{}}
		service := &cloudwatchtest.Service{Fault: func(context.Context, string) error {
			if rand.N(3) == 0 {
				return faults[rand.N(len(faults))]
			}
			return nil
		}}
		s := New(service, Config{Group: "g", Stream: "s"})
		during(t, s, func() {
			for i := range 5000 {
				fmt.Fprintln(s, i)
				time.Sleep(20 * time.Millisecond)
			}
		})
		check(t, service, "g", "s", 5000)
	})
}

// While nothing is taken, memory stays within its bound; the newest lines survive, and the log says how many are missing.
func TestAnOutageCostsTheOldestLinesAndIsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var away atomic.Bool
		service := outage(&away)
		aside := &notes{}
		s := New(service, Config{Group: "g", Stream: "s", Buffer: 100_000, Flush: time.Minute, Aside: aside})
		during(t, s, func() {
			away.Store(true)
			for i := range 10_000 {
				fmt.Fprintf(s, "%d %s\n", i, strings.Repeat("x", 100))
				s.mu.Lock()
				bytes := s.bytes
				s.mu.Unlock()
				if bytes > 100_000 {
					t.Fatalf("%d bytes wait", bytes)
				}
				time.Sleep(time.Millisecond)
			}
			away.Store(false)
		})
		events := service.Events("g", "s")
		if last := events[len(events)-1].Message; !strings.HasPrefix(last, "9999 ") {
			t.Errorf("the last line is %.20q", last)
		}
		missing, lines := 0, 0
		for _, e := range events {
			var gap struct{ Count int }
			if json.Unmarshal([]byte(e.Message), &gap) == nil {
				missing += gap.Count
			} else {
				lines++
			}
		}
		if missing == 0 || missing != s.Dropped() || lines+missing != 10_000 {
			t.Errorf("%d lines have come, %d are told of as missing, %d were dropped", lines, missing, s.Dropped())
		}
		if text := aside.String(); !strings.Contains(text, "the log is not shipped: ThrottlingException") {
			t.Errorf("beside the log it says %q", text)
		}
	})
}

func TestTheEndWaitsNoLongerThanItMay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service := &cloudwatchtest.Service{Fault: func(ctx context.Context, _ string) error {
			<-ctx.Done() // a call that is not answered
			return ctx.Err()
		}}
		aside := &notes{}
		s := New(service, Config{Group: "g", Stream: "s", Flush: 3 * time.Second, Aside: aside})
		begun := time.Now()
		during(t, s, func() {
			for i := range 7 {
				fmt.Fprintln(s, i)
			}
		})
		if took := time.Since(begun); took != 3*time.Second {
			t.Errorf("the end took %v", took)
		}
		if s.Dropped() != 7 || !strings.Contains(aside.String(), "7 lines of the log were not shipped") {
			t.Errorf("%d dropped, told: %s", s.Dropped(), aside)
		}
	})
}

// An outage of minutes, whose pauses are long by then, ends with the process: the lines are shipped all the same.
func TestTheEndCutsALongPauseShort(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var away atomic.Bool
		away.Store(true)
		service := outage(&away)
		s := New(service, Config{Group: "g", Stream: "s"})
		var asked time.Time
		during(t, s, func() {
			for i := range 100 {
				fmt.Fprintln(s, i)
			}
			time.Sleep(3 * time.Minute)
			away.Store(false)
			asked = time.Now()
		})
		check(t, service, "g", "s", 100)
		if took := time.Since(asked); took > lastPause {
			t.Errorf("the end took %v", took)
		}
	})
}

// A line that CloudWatch refuses, for whatever reason, takes no other with it.
func TestARefusedLineIsFound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service := &picky{}
		s := New(service, Config{Group: "g", Stream: "s"})
		during(t, s, func() {
			for i := range 100 {
				fmt.Fprintln(s, i, map[bool]string{true: "bad"}[i == 41])
			}
		})
		if n := len(service.Events("g", "s")); n != 99 || s.Dropped() != 1 {
			t.Errorf("%d lines have come, %d were dropped", n, s.Dropped())
		}
	})
}

// BenchmarkLog is what a line costs whoever logs it: without a sink, into a pipe that is read as a container's output is, with a
// sink, and with one that is blocked and full.
func BenchmarkLog(b *testing.B) {
	blocked := &cloudwatchtest.Service{Fault: func(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() }}
	for name, service := range map[string]*cloudwatchtest.Service{"discarded": nil, "piped": nil, "shipped": {}, "blocked": blocked} {
		b.Run(name, func(b *testing.B) {
			logger := slog.New(slog.NewJSONHandler(discard{}, nil))
			if name == "piped" {
				from, to, err := os.Pipe()
				if err != nil {
					b.Fatal(err)
				}
				go io.Copy(io.Discard, from)
				defer to.Close()
				logger = slog.New(slog.NewJSONHandler(to, nil))
			}
			if service != nil {
				s := New(service, Config{Group: "g", Stream: "s", Flush: time.Millisecond})
				ctx, stop := context.WithCancel(context.Background())
				ended := make(chan error)
				go func() { ended <- s.Run(ctx) }()
				defer func() {
					stop()
					<-ended
					b.ReportMetric(float64(s.Dropped()), "dropped")
				}()
				logger = slog.New(slog.NewJSONHandler(s, nil))
				if name == "blocked" {
					runtime.GC()
					before := heap()
					defer func() {
						runtime.GC()
						b.ReportMetric(float64(max(heap(), before)-before)/1e6, "MB")
					}()
					for range 100_000 {
						logger.Info("task succeeded", "task_id", "R4ZFQ2M5KXW7TJ3NB6VYAH2CLE", "queue", "default", "attempt", 1)
					}
				}
			}
			b.ResetTimer()
			for b.Loop() {
				logger.Info("task succeeded", "task_id", "R4ZFQ2M5KXW7TJ3NB6VYAH2CLE", "queue", "default", "attempt", 1)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "lines/s")
		})
	}
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

// heap returns the bytes of objects that are alive, or dead and not yet swept.
func heap() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// forgetful is a service that keeps nothing of what it takes. A call takes 20 ms, and so many of a hundred are throttled.
type forgetful struct {
	*cloudwatchtest.Service
	percent int
	taken   int
}

func (f *forgetful) PutLogEvents(_ context.Context, in *cloudwatchlogs.PutLogEventsInput, _ ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.PutLogEventsOutput, error) {
	time.Sleep(20 * time.Millisecond)
	if rand.N(100) < f.percent {
		return nil, throttled
	}
	for _, e := range in.LogEvents {
		if !strings.Contains(*e.Message, "dropped") { // what the sink itself tells
			f.taken++
		}
	}
	return &cloudwatchlogs.PutLogEventsOutput{}, nil
}

// What becomes of a minute of a thousand lines a second while CloudWatch throttles: nothing is unaccounted for, and what waits is
// bounded. `go test -v` prints the figures.
func TestAMinuteOfThrottling(t *testing.T) {
	t.Parallel()
	for _, length := range []int{150, 1500} {
		for _, percent := range []int{0, 50, 90, 100} {
			t.Run(fmt.Sprintf("lines of %d bytes, %d%% of the calls throttled", length, percent), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					service := &forgetful{Service: &cloudwatchtest.Service{}, percent: percent}
					s := New(service, Config{Group: "g", Stream: "s"})
					line, most, written := strings.Repeat("x", length-1)+"\n", 0, 0
					during(t, s, func() {
						for range 6_000 { // 10 ms each
							for range 10 {
								_, _ = io.WriteString(s, line)
								written++
							}
							s.mu.Lock()
							most = max(most, s.bytes)
							s.mu.Unlock()
							time.Sleep(10 * time.Millisecond)
						}
					})
					// A line that tells of others may be left at the end, and counts as dropped then.
					if sum := service.taken + s.Dropped(); sum < written || sum > written+1 || most > 8<<20 {
						t.Errorf("of %d lines %d were taken and %d dropped; up to %d bytes waited", written, service.taken, s.Dropped(), most)
					}
					if percent == 0 && s.Dropped() > 0 || percent == 100 && service.taken > 0 {
						t.Errorf("%d dropped, %d taken", s.Dropped(), service.taken)
					}
					t.Logf("%d lines written, %.2f %% lost, up to %.1f MB waited", written, 100*float64(s.Dropped())/float64(written), float64(most)/1e6)
				})
			})
		}
	}
}
