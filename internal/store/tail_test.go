package store_test

import (
	"fmt"
	"strings"
	"testing"
)

func TestATailReadsEachLineOnce(t *testing.T) {
	each(t, func(s *scene) {
		l := s.start("t1")
		tail := s.TailLog(s.q, "t1")
		read := func(want string, whole bool) {
			s.t.Helper()
			text, anew, err := tail.Next(s.ctx())
			if err != nil || text != want || anew != whole {
				s.t.Errorf("read %q, %v, %v; want %q, %v", text, anew, err, want, whole)
			}
		}
		read("", true)
		read("", false)
		s.must(s.log(l, "1\n"))
		read("1\n", false)
		read("", false)
		s.must(s.log(l, "2\n"))
		s.must(s.log(l, "3\n"))
		read("2\n3\n", false)

		later := s.TailLog(s.q, "t1")
		if text, whole, err := later.Next(s.ctx()); err != nil || text != "1\n2\n3\n" || !whole {
			s.t.Errorf("one that begins later reads %q, %v, %v", text, whole, err)
		}
		s.rdb.Del(s.ctx(), s.q.Log("t1"))
		read("", true)
		s.must(s.log(l, "4\n"))
		read("4\n", false)
	})
}

// A log of 1,000 bytes that is cut again and again: whoever reads often enough misses nothing, and reads nothing twice.
func TestATailGoesOnInALogThatIsCut(t *testing.T) {
	each(t, func(s *scene) {
		l := s.start("t1")
		tail := s.TailLog(s.q, "t1")
		var read, written strings.Builder
		for i := range 200 {
			line := fmt.Sprintf("line %d %s\n", i, strings.Repeat("x", 20))
			written.WriteString(line)
			s.must(s.log(l, line))
			text, whole, err := tail.Next(s.ctx())
			if err != nil || whole != (i == 0) {
				s.t.Fatalf("line %d: whole %v, %v", i, whole, err)
			}
			read.WriteString(text)
		}
		if read.String() != written.String() {
			s.t.Errorf("read %q", read.String())
		}
	})
}

func TestATailThatHasMissedLinesSaysSo(t *testing.T) {
	each(t, func(s *scene) {
		l := s.start("t1")
		tail := s.TailLog(s.q, "t1")
		s.must(s.log(l, "first\n"))
		if _, _, err := tail.Next(s.ctx()); err != nil {
			s.t.Fatal(err)
		}
		for i := range 100 {
			s.must(s.log(l, fmt.Sprintf("line %d %s\n", i, strings.Repeat("x", 40))))
		}
		text, whole, err := tail.Next(s.ctx())
		if err != nil || !whole || !strings.HasPrefix(text, `{"cut":true}`) || !strings.Contains(text, "line 99 ") {
			s.t.Errorf("read %q, %v, %v", text, whole, err)
		}
	})
}
