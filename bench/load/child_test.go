package load_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seri-queue/seri/bench/load"
)

// memory is a system in memory.
type memory struct {
	mu    sync.Mutex
	one   []load.Task
	many  [][]load.Task
	ready []load.Task // for Work
	fault error
}

func (m *memory) Enqueue(_ context.Context, t load.Task) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.one = append(m.one, t)
	return m.fault
}

func (m *memory) EnqueueMany(_ context.Context, tasks []load.Task) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.many = append(m.many, append([]load.Task(nil), tasks...))
	return m.fault
}

func (m *memory) Work(ctx context.Context, _ load.Work, handle load.Handle) error {
	for _, t := range m.ready {
		handle(ctx, t.Payload)
	}
	<-ctx.Done()
	return nil
}

// answer is what a child says.
type answer struct {
	Ready          bool
	Status, Report *load.Report
	Error          string
}

// converse runs a child that does spec, and lets say talk with it.
func converse(t *testing.T, m *memory, spec load.Spec, say func(tell func(string), hear func() answer)) {
	t.Helper()
	in, toChild := io.Pipe()
	fromChild, out := io.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		openers := map[string]load.Opener{"memory": func(context.Context, load.Spec) (load.System, error) { return m, nil }}
		_ = load.Child(t.Context(), in, out, openers) // what went wrong it has told
		out.Close()
	}()
	lines := bufio.NewScanner(fromChild)
	tell := func(line string) {
		t.Helper()
		if _, err := fmt.Fprintln(toChild, line); err != nil {
			t.Fatal(err)
		}
	}
	hear := func() answer {
		t.Helper()
		var a answer
		if !lines.Scan() {
			t.Fatal("the child says no more")
		}
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			t.Fatal(err)
		}
		return a
	}
	duty, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	tell(string(duty))
	say(tell, hear)
	toChild.Close()
	go io.Copy(io.Discard, fromChild)
	<-ended
}

func TestAProducerHandsOverEveryTaskOnce(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		produce   load.Produce
		one, many int // calls
	}{
		"one by one":                     {load.Produce{Tasks: 100, Producers: 7}, 100, 0},
		"in batches, the last one short": {load.Produce{Tasks: 25, Producers: 2, Batch: 10}, 0, 3},
		"at intervals":                   {load.Produce{Tasks: 3, Every: time.Millisecond}, 3, 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var m memory
			c.produce.PayloadBytes = 100
			converse(t, &m, load.Spec{System: "memory", Produce: &c.produce}, func(tell func(string), hear func() answer) {
				if !hear().Ready {
					t.Fatal("the child is not ready")
				}
				tell("go")
				report := hear().Report
				if report == nil || report.Count != int64(c.produce.Tasks) || report.Last.Before(report.First) {
					t.Errorf("the report is %+v", report)
				}
			})
			total := len(m.one)
			for _, batch := range m.many {
				total += len(batch)
			}
			if total != c.produce.Tasks || len(m.one) != c.one || len(m.many) != c.many {
				t.Errorf("%d tasks in %d single calls and %d batches", total, len(m.one), len(m.many))
			}
		})
	}
}

func TestTasksCarryWhatTheSpecSays(t *testing.T) {
	t.Parallel()
	var m memory
	begun := time.Now()
	spec := load.Spec{System: "memory", Produce: &load.Produce{
		Tasks: 8, Producers: 1, Queues: 2, PayloadBytes: 200, Mixed: true, DueIn: time.Hour, Retention: time.Minute,
	}}
	converse(t, &m, spec, func(tell func(string), hear func() answer) {
		hear()
		tell("go")
		hear()
	})
	queues, lengths := map[string]int{}, map[int]int{}
	for _, task := range m.one {
		var order struct {
			At int64
			Ms int
		}
		if err := json.Unmarshal(task.Payload, &order); err != nil {
			t.Fatal(err)
		}
		queues[task.Queue]++
		lengths[order.Ms]++
		if !task.Due.After(begun.Add(59*time.Minute)) || order.At != task.Due.UnixNano() || task.Retention != time.Minute {
			t.Errorf("a task is due at %v, its payload says %d, retention %v", task.Due, order.At, task.Retention)
		}
		if len(task.Payload) < 180 || len(task.Payload) > 230 {
			t.Errorf("a payload has %d bytes", len(task.Payload))
		}
	}
	if queues["bench0"] != 4 || queues["bench1"] != 4 {
		t.Errorf("the queues got %v", queues)
	}
	for _, ms := range []int{0, 1, 10, 100} {
		if lengths[ms] != 2 {
			t.Errorf("the handlers' lengths are %v", lengths)
		}
	}
}

func TestAWorkerTellsHowFarItIs(t *testing.T) {
	t.Parallel()
	payload := fmt.Appendf(nil, `{"at":%d,"ms":0}`, time.Now().Add(-time.Second).UnixNano())
	m := memory{ready: []load.Task{{Payload: payload}, {Payload: payload}}}
	converse(t, &m, load.Spec{System: "memory", Work: &load.Work{Kind: load.Timer}}, func(tell func(string), hear func() answer) {
		hear()
		tell("go")
		for done := int64(0); done < 2; {
			tell("status")
			done = hear().Status.Count
		}
		tell("stop")
		report := hear().Report
		if report.Count != 2 || len(report.Delays) != 2 || report.Delays[0] < time.Second || report.Delays[0] > report.Delays[1] {
			t.Errorf("the report is %+v", report)
		}
	})
}

func TestFaultsReachTheParent(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		spec load.Spec
		want string
	}{
		"a system that is not built in": {load.Spec{System: "other"}, `"other" is not built in`},
		"a system that refuses a task":  {load.Spec{System: "memory", Produce: &load.Produce{Tasks: 1}}, "hand over task 0: out of memory"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := memory{fault: errors.New("out of memory")}
			converse(t, &m, c.spec, func(tell func(string), hear func() answer) {
				a := hear()
				if a.Ready {
					tell("go")
					a = hear()
				}
				if !strings.Contains(a.Error, c.want) {
					t.Errorf("the child says %q, want %q", a.Error, c.want)
				}
			})
		})
	}
}
