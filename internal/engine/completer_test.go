package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/pause"
	"github.com/seri-queue/seri/internal/store"
)

// newTestCompleter returns a completer on s, the registry of its leases, its outcomes and its log.
func newTestCompleter(s ender, room int) (*completer, *registry, chan outcome, *journal) {
	log := &journal{}
	r := newRegistry(log.logger())
	outcomes := make(chan outcome, room)
	return newCompleter(s, r, outcomes, leaseLength, 2, log.logger()), r, outcomes, log
}

func done(a *attempt) outcome {
	a.settled.Store(true)
	return outcome{attempt: a, kind: succeeded, result: []byte(`{}`)}
}

// handBack is an outcome that is logged at a level that the journal keeps.
func handBack(a *attempt) outcome {
	a.settled.Store(true)
	return outcome{attempt: a, kind: handedBack, err: seri.ErrStopping}
}

func TestOutcomesGatherWhileACallIsUnderWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		answer := make(chan struct{})
		s := &endings{do: func(string, []string) ([]error, error) {
			<-answer
			return nil, nil
		}}
		c, r, outcomes, _ := newTestCompleter(s, 100)

		during(t, c.run, func(context.Context) {
			outcomes <- done(held(r, "first", nil))
			synctest.Wait() // its call is under way
			for i := range 99 {
				outcomes <- done(held(r, fmt.Sprint(i), nil))
			}
			answer <- struct{}{}
			answer <- struct{}{}
		})

		if len(s.written) != 2 || s.written[0] != "complete first" || strings.Count(s.written[1], " ") != 99 {
			t.Errorf("calls: %q; want one for the first outcome and one for the 99 that came meanwhile", s.written)
		}
		if left := r.byQueue(); len(left) != 0 {
			t.Errorf("%d queues have leases left", len(left))
		}
	})
}

func TestOneCallForEachKindAndQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &endings{}
		c, r, outcomes, _ := newTestCompleter(s, 10)
		boom := errors.New("boom")
		outcomes <- done(held(r, "s1", nil))
		outcomes <- done(held(r, "s2", nil))
		outcomes <- done(heldIn(r, "other", "s3", nil))
		outcomes <- outcome{attempt: held(r, "r", nil), kind: retried, err: boom}
		outcomes <- outcome{attempt: held(r, "a", nil), kind: archived, reason: seri.ReasonExhausted, err: boom}
		outcomes <- outcome{attempt: held(r, "h", nil), kind: handedBack, err: seri.ErrStopping}
		outcomes <- outcome{attempt: held(r, "l", nil), kind: abandoned, err: seri.ErrLeaseLost}

		during(t, c.run, func(context.Context) { synctest.Wait() })

		slices.Sort(s.written)
		want := []string{"archive a", "complete s1 s2", "complete s3", "requeue h", "retry r"}
		if !slices.Equal(s.written, want) {
			t.Errorf("calls: %q, want %q", s.written, want)
		}
		if left := r.byQueue(); len(left) != 0 {
			t.Errorf("leases are left in %d queues", len(left))
		}
	})
}

func TestAQueueThatDoesNotAnswerHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		answer := make(chan struct{})
		s := &endings{do: func(_ string, ids []string) ([]error, error) {
			if ids[0] == "dead" {
				<-answer
			}
			return nil, nil
		}}
		c, r, outcomes, _ := newTestCompleter(s, 0)

		during(t, c.run, func(context.Context) {
			outcomes <- done(heldIn(r, "hung", "dead", nil))
			begun := time.Now()
			for i := range 1000 {
				outcomes <- done(held(r, fmt.Sprint(i), nil))
				outcomes <- done(heldIn(r, "hung", fmt.Sprint("h", i), nil))
			}
			synctest.Wait()
			if took := time.Since(begun); took > time.Second || s.count() != 1000 {
				t.Errorf("%d outcomes of the other queue were written in %v, want 1000", s.count(), took)
			}
			close(answer)
			synctest.Wait()
			if s.count() != 2001 {
				t.Errorf("%d outcomes are written, want 2001", s.count())
			}
		})

		if left := r.byQueue(); len(left) != 0 {
			t.Errorf("leases are left in %d queues", len(left))
		}
	})
}

// A node has more queues than calls are made at once: each has one call that is late, and none holds up another node's.
func TestManyQueuesThatDoNotAnswerHoldUpNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const hung, rounds = 3 * callsAtOnce, 5
		answer := make(chan struct{})
		var late atomic.Int32
		s := &endings{do: func(_ string, ids []string) ([]error, error) {
			if strings.HasPrefix(ids[0], "hung") {
				late.Add(1)
				<-answer
			}
			return nil, nil
		}}
		c, r, outcomes, _ := newTestCompleter(s, hung+1)
		one := func(round int) {
			for i := range hung {
				outcomes <- done(heldIn(r, keys.Queue(fmt.Sprint("hung", i)), fmt.Sprint("hung", i, "-", round), nil))
			}
			outcomes <- done(held(r, fmt.Sprint("near", round), nil))
		}
		one(0) // all in one batch

		during(t, c.run, func(context.Context) {
			begun := time.Now()
			for round := 1; round < rounds; round++ {
				one(round)
			}
			time.Sleep(inTime)
			synctest.Wait()
			if took := time.Since(begun); s.count() != rounds || took > 2*inTime {
				t.Errorf("%d outcomes of the queue that answers were written in %v, want %d", s.count(), took, rounds)
			}
			if n := late.Load(); n != hung {
				t.Errorf("%d calls are late, want one for each of %d queues", n, hung)
			}
			close(answer)
		})
	})
}

func TestNoMoreIsTakenOnThanALateQueueMayHoldUp(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ resultBytes, most int }{
		"small results": {2, laneLength},
		"large results": {256 << 10, laneBytes / (256 << 10)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				answer := make(chan struct{})
				s := &endings{do: func(string, []string) ([]error, error) {
					<-answer
					return nil, nil
				}}
				completer, r, outcomes, _ := newTestCompleter(s, 0)
				result := make([]byte, c.resultBytes)

				during(t, completer.run, func(context.Context) {
					taken := 0
					for taken < 2*c.most {
						synctest.Wait()
						o := done(held(r, fmt.Sprint(taken), nil))
						o.result = result
						select {
						case outcomes <- o:
							taken++
							continue
						case <-time.After(time.Second):
						}
						break
					}
					if taken < c.most || taken >= 2*c.most {
						t.Errorf("%d outcomes are taken while none can be written, want a little over %d", taken, c.most)
					}
					close(answer)
				})

				if s.count() < c.most {
					t.Errorf("%d outcomes are written, want all that were taken", s.count())
				}
			})
		})
	}
}

func TestCompleterWritesWhatIsWaitingBeforeItEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &endings{do: func(string, []string) ([]error, error) {
			time.Sleep(time.Second)
			return nil, nil
		}}
		c, r, outcomes, _ := newTestCompleter(s, 3000)
		during(t, c.run, func(context.Context) {
			for i := range 2500 { // more than fit into one call
				outcomes <- done(held(r, fmt.Sprint(i), nil))
			}
		})

		written := 0
		for _, call := range s.written {
			n := strings.Count(call, " ")
			if written += n; n > store.MaxBatch {
				t.Errorf("%d outcomes in one call", n)
			}
		}
		if written != 2500 {
			t.Errorf("%d outcomes were written before the end, want 2500", written)
		}
	})
}

func TestACallWhoseReplyIsLost(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		again   error         // the answer about the task to the second call
		after   time.Duration // … and when it came
		refused bool
	}{
		"is repeated, and answered as if it were the first":              {nil, 0, false},
		"is repeated, and a task that it deleted counts as written":      {&seri.FencedError{TaskID: "a", Held: 7}, 0, false},
		"is repeated, and a task that another holds counts as refused":   {&seri.FencedError{TaskID: "a", Held: 7, Seen: 8}, 0, true},
		"is repeated, and a task that was leased twice since is refused": {&seri.FencedError{TaskID: "a", Held: 7, Seen: 9}, 0, true},
		"is repeated, and a task that another may have ended is refused": {&seri.FencedError{TaskID: "a", Held: 7}, time.Hour, true},
	}
	for sentence, c := range cases {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				s := &endings{do: func(string, []string) ([]error, error) {
					if calls++; calls == 1 {
						return nil, fmt.Errorf("complete queue: %w", io.EOF)
					}
					time.Sleep(c.after)
					return []error{c.again}, nil
				}}
				completer, r, outcomes, log := newTestCompleter(s, 1)

				during(t, completer.run, func(context.Context) {
					outcomes <- done(held(r, "a", nil))
					time.Sleep(time.Second)
				})

				if calls != 2 {
					t.Errorf("%d calls, want 2", calls)
				}
				if got := log.has("outcome refused"); got != c.refused {
					t.Errorf("logged as refused: %v, want %v", got, c.refused)
				}
			})
		})
	}
}

// On the first call the same answer has another meaning: nobody else but this worker was asked yet.
func TestAnOutcomeThatIsRefusedAtOnceIsLogged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &endings{do: func(string, []string) ([]error, error) {
			return []error{&seri.FencedError{TaskID: "a", Held: 7}}, nil
		}}
		c, r, outcomes, log := newTestCompleter(s, 1)

		during(t, c.run, func(context.Context) { outcomes <- handBack(held(r, "a", nil)) })

		if log.has("task handed back") {
			t.Error("a refused outcome is logged as the end of the task")
		}
		if !log.has("outcome refused") {
			t.Error("a zombie's outcome was refused without a word")
		}
	})
}

// mute is a store whose calls fail after some time, or with their context.
type mute struct {
	ender  // of other outcomes, which do not come
	answer time.Duration
}

func (m mute) Requeue(ctx context.Context, _ keys.Queue, _ []*store.Lease) ([]error, error) {
	pause.For(ctx, m.answer)
	return nil, io.EOF
}

// A worker that is being stopped has promised to end soon, also without its Redis.
func TestAtTheEndTheCompleterGivesUpSoon(t *testing.T) {
	t.Parallel()
	cases := map[string]struct{ call time.Duration }{
		"when Redis is gone": {0},
		"when Redis hangs":   {writeTimeout},
		"when it has tried":  {time.Second},
	}
	for sentence, c := range cases {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				completer, r, outcomes, log := newTestCompleter(mute{answer: c.call}, 2*store.MaxBatch)
				var asked time.Time
				during(t, completer.run, func(context.Context) {
					for i := range cap(outcomes) {
						outcomes <- handBack(held(r, fmt.Sprint(i), nil))
					}
					asked = time.Now()
				})

				if took := time.Since(asked); took > lastWrites {
					t.Errorf("ended %v after it was asked to, want about %v", took, lastWrites)
				}
				if !log.has("outcome not written") || log.has("task handed back") {
					t.Error("the log should tell the loss, and no end")
				}
				if len(r.byQueue()) != 0 {
					t.Error("leases are left in the registry")
				}
			})
		})
	}
}

func TestCompleterGivesUpWithTheLease(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		beating bool // the heartbeat goes on meanwhile
		call    time.Duration
	}{
		"when Redis is gone":                          {false, 0},
		"when Redis hangs":                            {false, writeTimeout},
		"when only the outcome's call finds no reply": {true, 0},
	}
	for sentence, c := range cases {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				var last time.Time
				s := &endings{do: func(string, []string) ([]error, error) {
					last = time.Now()
					time.Sleep(c.call)
					return nil, errors.New("READONLY You can't write against a read only replica. script: 42")
				}}
				completer, r, outcomes, log := newTestCompleter(s, 1)
				h := newHeartbeat(extendFunc(extendAll), r, leaseLength, silent())
				if !c.beating {
					h.store = extendFunc(unreachable)
				}
				a := held(r, "a", nil)

				during(t, h.run, func(context.Context) {
					during(t, completer.run, func(context.Context) {
						outcomes <- handBack(a)
						time.Sleep(leaseLength + writeTimeout + time.Second)
					})
				})

				if took := last.Sub(begun); took < leaseLength-writeTimeout || took > leaseLength+writeTimeout {
					t.Errorf("tried last after %v, want about %v", took, leaseLength)
				}
				if log.has("task handed back") {
					t.Error("an outcome that was not written is logged as one that was")
				}
				if !log.has("outcome not written") {
					t.Error("the loss of an outcome is not in the log")
				}
				if left := r.byQueue(); len(left) != 0 {
					t.Error("the lease is kept alive although nothing will end it")
				}
			})
		})
	}
}

// replyError is an error that Redis has answered with.
type replyError string

func (e replyError) Error() string { return string(e) }
func (e replyError) RedisError()   {}

func TestADamagedTaskDoesNotTakeOthersDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		s := &endings{do: func(_ string, ids []string) ([]error, error) {
			if slices.Contains(ids, "damaged") {
				return nil, fmt.Errorf("complete: %w", replyError("ERR user_script:27: attempt to perform arithmetic on a nil value script: 42, on @user_script:27."))
			}
			return nil, nil
		}}
		c, r, outcomes, log := newTestCompleter(s, 3)
		for _, id := range []string{"a", "damaged", "b"} {
			outcomes <- done(held(r, id, nil))
		}

		during(t, c.run, func(context.Context) { synctest.Wait() })

		if want := []string{"complete a", "complete b"}; !slices.Equal(s.written, want) {
			t.Errorf("written: %q, want %q", s.written, want)
		}
		if took := time.Since(begun); took > time.Second {
			t.Errorf("the others waited %v for it", took)
		}
		if !log.has("outcome not written") || len(r.byQueue()) != 0 {
			t.Error("the damaged task's outcome should be given up, and logged")
		}
	})
}

func TestLongErrorsAreCut(t *testing.T) {
	t.Parallel()
	if got := text(errors.New("short")); got != "short" {
		t.Errorf("got %q", got)
	}
	if got := text(errors.New(strings.Repeat("x", 1<<20))); len(got) > maxErrorText+len("…") {
		t.Errorf("%d bytes are kept", len(got))
	}
}

var _ ender = (*store.Store)(nil)
var _ extender = (*store.Store)(nil)
var _ recorder = (*store.Store)(nil)

func TestTheOutcomesOfABatchAreWrittenToAllQueuesAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		back := make(chan struct{})
		s := &endings{do: func(_ string, ids []string) ([]error, error) {
			if slices.Contains(ids, "away") {
				<-back
			}
			return nil, nil
		}}
		c, r, outcomes, _ := newTestCompleter(s, 2)
		outcomes <- done(heldIn(r, "a", "away", nil))
		outcomes <- done(heldIn(r, "b", "near", nil))

		during(t, c.run, func(context.Context) {
			synctest.Wait()
			if s.mu.Lock(); !slices.Equal(s.written, []string{"complete near"}) {
				t.Errorf("while one queue does not answer, written is %q, want the other's outcome", s.written)
			}
			s.mu.Unlock()
			close(back)
		})

		if len(s.written) != 2 {
			t.Errorf("calls: %q, want both", s.written)
		}
	})
}
