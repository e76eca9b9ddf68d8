package e2e_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/seri-queue/seri"
)

// lease is that of the workers in these tests; it decides how long a death goes unnoticed.
const lease = time.Second

// pair starts two workers of one slot each. The function that it returns tells which of them has started a task.
func (s *site) pair(args ...string) (holder func(started seen) (held, free *process)) {
	s.t.Helper()
	args = append([]string{"--lease", lease.String(), "--slots", "1"}, args...)
	a, b := s.worker(args...), s.worker(args...)
	return func(started seen) (held, free *process) {
		switch started.pid() {
		case a.pid():
			return a, b
		case b.pid():
			return b, a
		}
		s.t.Fatalf("the task is with %s, which is neither process %d nor %d", started.Worker, a.pid(), b.pid())
		return nil, nil
	}
}

func TestATaskOfAKilledWorkerIsFinishedByAnother(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	pair := s.pair()
	source := newSource(t, 1)
	watch := s.watch("")

	posted := s.profile(source.url)
	killed, other := pair(watch.untilKind(posted.ID, seri.EventStarted))
	watch.untilKind(posted.ID, seri.EventProgress)
	killed.signal(syscall.SIGKILL)
	killed.wait()
	death := time.Now()
	again := watch.untilKind(posted.ID, seri.EventStarted)
	recovery := again.at.Sub(death)
	watch.untilSucceeded(posted.ID)

	t.Logf("recovery time: %v after the death of a worker with a lease of %v", recovery.Round(time.Millisecond), lease)
	if recovery > lease+2*time.Second {
		t.Errorf("another worker took over after %v, want at most %v", recovery, lease+2*time.Second)
	}
	expect(t, "process of the second worker", again.pid(), other.pid())
	expect(t, "events", watch.kinds(), "[queued started queued:crashed started succeeded]")
	task := s.task(posted.ID)
	expect(t, "crashes", task.Crashes, 1)
	expect(t, "attempts", task.Attempt, 1)
	s.expectGapless(posted.ID)
}

// A worker that is frozen for longer than its lease does not know that it has lost the task. What it says when it wakes
// up, with its work done, is refused.
func TestALateOutcomeOfAZombieIsRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	pair := s.pair()
	source := newSource(t, 1)
	watch := s.watch("")

	posted := s.profile(source.url)
	zombie, other := pair(watch.untilKind(posted.ID, seri.EventStarted))
	watch.untilKind(posted.ID, seri.EventProgress)
	zombie.signal(syscall.SIGSTOP)
	frozen := time.Now()
	again := watch.untilKind(posted.ID, seri.EventStarted)
	watch.untilSucceeded(posted.ID)
	source.finish() // all that the zombie has been waiting for is there when it wakes up
	zombie.signal(syscall.SIGCONT)
	refusal := zombie.await("outcome refused", "lease lost")
	zombie.await("attempt abandoned", "outcome refused")

	t.Logf("taken over %v after the freeze; the zombie: %s", again.at.Sub(frozen).Round(time.Millisecond), refusal)
	expect(t, "process of the second worker", again.pid(), other.pid())
	other.stop()
	next := s.profile(source.url) // the zombie is a worker again
	expect(t, "process of the next task's worker", watch.untilKind(next.ID, seri.EventStarted).pid(), zombie.pid())
	watch.untilSucceeded(next.ID)
	zombie.stop()
	s.expectOneSuccess(posted.ID)
	s.expectGapless(posted.ID)
}

// expectGapless checks that the surviving stream numbers each task's events 1, 2, 3, …
func (s *site) expectGapless(ids ...string) {
	s.t.Helper()
	last := make(map[string]uint64)
	for _, e := range s.events(seri.DefaultQueue) {
		if e.Seq != last[e.Task]+1 {
			s.t.Errorf("event %d (%s) of task %s is where event %d is due", e.Seq, e.Kind, e.Task, last[e.Task]+1)
		}
		last[e.Task] = e.Seq
	}
	for _, id := range ids {
		expect(s.t, "number of the last event of task "+id, last[id], s.task(id).Seq)
	}
}

// expectOneSuccess checks that each task has succeeded once in the surviving stream.
func (s *site) expectOneSuccess(ids ...string) {
	s.t.Helper()
	successes := make(map[string]int)
	for _, e := range s.events(seri.DefaultQueue) {
		if e.Kind == seri.EventSucceeded {
			successes[e.Task]++
		}
	}
	for _, id := range ids {
		if successes[id] != 1 {
			s.t.Errorf("task %s has succeeded %d times in the stream, want once", id, successes[id])
		}
	}
}
