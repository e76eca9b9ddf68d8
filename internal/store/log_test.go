package store_test

import (
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/store"
)

func (s *scene) log(l *store.Lease, lines string) ([]error, error) {
	return s.Log(s.ctx(), s.q, []store.Written{{Lease: l, Lines: []byte(lines)}}, 1000)
}

func (s *scene) logged(id string) string {
	s.t.Helper()
	text, err := s.ReadLog(s.ctx(), s.q, id)
	if err != nil {
		s.t.Fatal(err)
	}
	return text
}

func TestLinesAreAppendedUntilAfterTheEndOfTheAttempt(t *testing.T) {
	each(t, func(s *scene) {
		l := s.start("t1", func(m *seri.Message) { m.Retention = 48 * time.Hour })
		other := s.start("t2")

		s.must(s.Log(s.ctx(), s.q, []store.Written{{Lease: l, Lines: []byte("1\n2\n")}, {Lease: other, Lines: []byte("of t2\n")}}, 1000))
		s.must(s.Complete(s.ctx(), s.q, []store.Completion{{Lease: l}}))
		s.must(s.log(l, "3\n"))

		if got := s.logged("t1"); got != "1\n2\n3\n" || s.logged("t2") != "of t2\n" || s.logged("t3") != "" {
			s.t.Errorf("the log is %q", got)
		}
		for id, life := range map[string]time.Duration{"t1": 48 * time.Hour, "t2": 24 * time.Hour} {
			if left := s.rdb.TTL(s.ctx(), s.q.Log(id)).Val(); left > life || left < life-time.Minute {
				s.t.Errorf("the log of %s is kept for %v, want %v", id, left, life)
			}
		}
	})
}

func TestATaskThatIsGoneHasNoLog(t *testing.T) {
	eachCase(t, map[string]func(s *scene, l *store.Lease){
		"deleted": func(s *scene, l *store.Lease) { s.rdb.Del(s.ctx(), s.q.Task(l.ID())) },
		"deleted, and another has its ID": func(s *scene, l *store.Lease) {
			s.must(s.Complete(s.ctx(), s.q, []store.Completion{{Lease: l}})) // which is not kept
			s.add("t1")
		},
	}, func(s *scene, lose func(s *scene, l *store.Lease)) {
		l := s.start("t1", func(m *seri.Message) { m.Retention = 0 })
		lose(s, l)
		s.changesNothing("a late line", func() {
			if errs, err := s.log(l, "boo\n"); err != nil || errs[0] == nil {
				s.t.Errorf("answered %v, %v", errs, err)
			}
		})
	})
}

func TestTheLastLinesOfAnAttemptComeAlthoughAnotherHasBegun(t *testing.T) {
	each(t, func(s *scene) {
		l := s.start("t1")
		s.lapse("t1")
		s.recover()
		next := s.lease()
		s.must(s.log(next, "of the second\n"))
		s.must(s.log(l, "of the first\n"))
		if got := s.logged("t1"); got != "of the second\nof the first\n" {
			s.t.Errorf("the log is %q", got)
		}
		s.stands("t1", "active")
	})
}

func TestALongLogLosesItsOldestLines(t *testing.T) {
	each(t, func(s *scene) {
		l := s.start("t1")
		for i := range 100 {
			s.must(s.log(l, strings.Repeat(string(rune('a'+i%26)), 40)+"\n"))
			if n := s.rdb.StrLen(s.ctx(), s.q.Log("t1")).Val(); n > 1000 {
				s.t.Fatalf("%d bytes are kept", n)
			}
		}
		lines := strings.Split(strings.TrimSuffix(s.logged("t1"), "\n"), "\n")
		if lines[0] != `{"cut":true}` || len(lines) < 15 {
			s.t.Errorf("%q", lines)
		}
		for i, line := range lines[1:] { // whole lines, without a gap, up to the newest
			if want := strings.Repeat(string(rune('a'+(100-len(lines)+1+i)%26)), 40); line != want {
				s.t.Errorf("line %d is %q, want %q", i, line, want)
			}
		}
		s.must(s.log(l, strings.Repeat("x", 5000)))
		if got := s.logged("t1"); got != "{\"cut\":true}\n" {
			s.t.Errorf("a text without an end leaves %q", got)
		}
	})
}

func TestAForeignValueGivesWayToTheLog(t *testing.T) {
	each(t, func(s *scene) {
		l := s.start("t1")
		s.rdb.ZAdd(s.ctx(), s.q.Log("t1"), redis.Z{Member: "x"})
		s.must(s.log(l, "1\n"))
		if got := s.logged("t1"); got != "1\n" {
			s.t.Errorf("the log is %q", got)
		}
	})
}
