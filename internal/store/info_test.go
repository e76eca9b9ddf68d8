package store_test

import (
	"strings"
	"testing"

	"github.com/seri-queue/seri"
)

func TestARecordThatCannotBeReadDoesNotHideTheOthers(t *testing.T) {
	each(t, func(s *scene) {
		s.addMany("t", 3, func(m *seri.Message) { m.Owner = "user:1" })
		s.rdb.HSet(s.ctx(), s.q.Task("t1"), "msg", "\xff\xff")

		infos, err := s.Infos(s.ctx(), s.q, "t0", "t1", "t2")

		if err != nil || len(infos) != 3 || infos[0].Error+infos[2].Error != "" {
			s.t.Fatalf("%+v, %v", infos, err)
		}
		bad := infos[1]
		if bad.ID != "t1" || bad.Queue != string(s.q) || bad.State != seri.Pending || bad.Owner != "user:1" || bad.Seq != 1 ||
			bad.EnqueuedAt.IsZero() || !strings.Contains(bad.Error, "cannot be read") {
			s.t.Errorf("the damaged task is shown as %+v", bad)
		}
		if tasks, _, err := s.Page(s.ctx(), s.q, seri.Pending, 0, 10); err != nil || len(tasks) != 3 {
			s.t.Errorf("the page holds %d tasks, %v", len(tasks), err)
		}
		if tasks, _, err := s.Owned(s.ctx(), s.q, "user:1", 10); err != nil || len(tasks) != 3 {
			s.t.Errorf("the owner has %d tasks, %v", len(tasks), err)
		}
	})
}

func TestProgressThatCannotBeReadIsNone(t *testing.T) {
	each(t, func(s *scene) {
		s.start("t1")
		for _, text := range []string{"{", `{"done":"many"}`, "7"} {
			s.rdb.HSet(s.ctx(), s.q.Task("t1"), "progress", text)
			if info := s.info("t1"); info.Progress != nil || info.State != seri.Active {
				s.t.Errorf("progress %s is shown as %+v", text, info.Progress)
			}
		}
	})
}
