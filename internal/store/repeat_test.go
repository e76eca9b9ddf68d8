package store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/internal/store"
)

// deaf is a hook that loses the reply of one script, or of one other write, after Redis has carried it out.
type deaf struct{ armed atomic.Bool }

func (d *deaf) DialHook(next redis.DialHook) redis.DialHook { return next }

func (d *deaf) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		writes := strings.HasPrefix(cmd.Name(), "eval") || cmd.Name() == "setnx" || cmd.Name() == "set" || cmd.Name() == "del"
		if err == nil && writes && d.armed.CompareAndSwap(true, false) {
			err = &net.OpError{Op: "read", Err: io.ErrUnexpectedEOF}
			cmd.SetErr(err)
		}
		return err
	}
}

func (d *deaf) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// Every write but a dequeue may be sent again after its reply was lost: the answer is that of a call that was heard, or
// says what the first one has left to do, and Redis is as after the first one.
func TestEveryWriteMayBeRepeatedAfterALostReply(t *testing.T) {
	held := func(what string) func(s *scene) func() string {
		return func(s *scene) func() string {
			l := s.start("t1")
			return func() string {
				errs, err := attempts[what](s, l)
				return fmt.Sprint(errors.Join(append(errs, err)...))
			}
		}
	}
	eachCase(t, map[string]struct {
		call func(s *scene) func() string // prepares, and returns the call
		want string                       // the answer to the repeat
		more bool                         // a repeat changes what a heartbeat or a report changes
	}{
		"enqueue": {func(s *scene) func() string {
			m := s.message("t1")
			return func() string {
				errs, err := s.Enqueue(s.ctx(), s.q, []seri.Message{m})
				if err == nil && errors.Is(errs[0], seri.ErrConflict) {
					same, err := s.Stored(s.ctx(), s.q, m) // as the client does
					return fmt.Sprint(same, err)
				}
				return fmt.Sprint(errs, err)
			}
		}, "true <nil>", false},
		"extend":   {held("extend"), "<nil>", true},
		"progress": {held("progress"), "<nil>", true},
		"complete": {held("complete"), "<nil>", false},
		"retry":    {held("retry"), "<nil>", false},
		"archive":  {held("archive"), "<nil>", false},
		"requeue":  {held("requeue"), "<nil>", false},
		"revoke": {func(s *scene) func() string {
			s.add("t1")
			return func() string {
				_, err := s.Revoke(s.ctx(), s.q, "t1")
				if errors.Is(err, seri.ErrNotRevocable) {
					return "has ended"
				}
				return fmt.Sprint(err)
			}
		}, "has ended", false},
		"forward": {func(s *scene) func() string {
			s.add("t1", later)
			s.come("t1")
			return func() string { f, err := s.Forward(s.ctx(), s.q, 10); return fmt.Sprint(f.Moved, err) }
		}, "0 <nil>", false},
		"recover": {func(s *scene) func() string {
			s.start("t1")
			s.lapse("t1")
			return func() string { r, err := s.Recover(s.ctx(), s.q, 10, policy); return fmt.Sprint(r, err) }
		}, "{0 0 false} <nil>", false},
		"purge": {func(s *scene) func() string {
			s.must(attempts["archive"](s, s.start("t1")))
			s.rdb.ZAdd(s.ctx(), s.q.Archived(), redis.Z{Score: 1, Member: "t1"})
			return func() string { p, err := s.Purge(s.ctx(), s.q, 10, keep); return fmt.Sprint(p.Archived, err) }
		}, "0 <nil>", false},
		"sweep": {func(s *scene) func() string {
			s.start("t1")
			s.rdb.ZRem(s.ctx(), s.q.Lease(), "t1")
			return func() string {
				w, err := s.Sweep(s.ctx(), s.q, time.Minute)
				return fmt.Sprint(w == store.Swept{}, err)
			}
		}, "true <nil>", false},
		"adopt": {func(s *scene) func() string {
			s.add("t1", later)
			s.expel("t1")
			return func() string {
				a, _, err := s.Adopt(s.ctx(), s.q, time.Minute)
				return fmt.Sprint(a == store.Adopted{}, err)
			}
		}, "true <nil>", false},
		"turn": {func(s *scene) func() string { // goes by unused: the next one is a minute later
			return func() string {
				mine, err := s.Turn(s.ctx(), s.q, "w", time.Minute)
				return fmt.Sprint(mine, err)
			}
		}, "false <nil>", false},
		"plan": {func(s *scene) func() string {
			return func() string {
				written, err := s.Plan(s.ctx(), s.q, leads(7), []store.Plan{{Schedule: "nightly", Revision: "r1", Next: tick}})
				return fmt.Sprint(err == nil && written[0], err)
			}
		}, "false <nil>", false},
		"hold": {func(s *scene) func() string {
			s.plan("r1", tick, 7)
			return func() string { return fmt.Sprint(s.PauseSchedule(s.ctx(), s.q, "nightly", "why")) }
		}, "<nil>", false},
		"fire": {func(s *scene) func() string {
			s.plan("r1", tick, 7)
			return func() string {
				f, err := s.Fire(s.ctx(), s.q, leads(7), []store.Tick{s.tick(0)})
				return fmt.Sprint(err == nil && f[0].Outcome == store.TickMoved, err)
			}
		}, "true <nil>", false},
		"pause": {func(s *scene) func() string {
			s.add("t1")
			return func() string { return fmt.Sprint(s.Pause(s.ctx(), s.q)) }
		}, "<nil>", false},
		"resume": {func(s *scene) func() string {
			s.add("t1")
			s.must(nil, s.Pause(s.ctx(), s.q))
			return func() string { return fmt.Sprint(s.Resume(s.ctx(), s.q)) }
		}, "<nil>", false},
	}, func(s *scene, c struct {
		call func(s *scene) func() string
		want string
		more bool
	}) {
		call, hook := c.call(s), &deaf{}
		s.rdb.AddHook(hook)
		hook.armed.Store(true)
		if answer := call(); !strings.Contains(answer, "unexpected EOF") || hook.armed.Load() {
			s.t.Fatalf("the reply was not lost: %s", answer)
		}

		again := func() {
			if answer := call(); answer != c.want {
				s.t.Errorf("the repeat answers %s, want %s", answer, c.want)
			}
		}
		if c.more {
			again()
			s.stands("t1", "active")
			s.story("t1")
			return
		}
		s.changesNothing("the repeat", again)
	})
}

// A dequeue whose reply is lost leases tasks to nobody. They come back with their leases' end, as those of a worker that
// has crashed.
func TestTasksOfALostDequeueComeBack(t *testing.T) {
	t.Parallel()
	redistest.EachWithEmbedded(t, func(t *testing.T, rdb redis.UniversalClient) {
		s, hook := newScene(t, rdb), &deaf{}
		s.add("t1")
		rdb.AddHook(hook)
		hook.armed.Store(true)
		if _, err := s.Dequeue(s.ctx(), s.q, store.Wanted{Tasks: 1, Lease: 30 * time.Second, Worker: "w"}); !errors.Is(err, seri.ErrUnavailable) {
			t.Errorf("a lost reply is %v, want %v", err, seri.ErrUnavailable)
		}
		if b := s.dequeue(1); len(b.Leases) != 0 {
			t.Errorf("leased twice: %+v", b)
		}

		s.lapse("t1")
		s.recover()

		if l := s.lease(); l.ID() != "t1" {
			t.Errorf("leased %s", l.ID())
		}
	})
}
