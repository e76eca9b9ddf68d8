package store_test

import (
	"testing"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/store"
)

func TestProgressIsRecordedAndTold(t *testing.T) {
	eachCase(t, map[string]seri.ProgressInfo{
		"half way":                   {Done: 1, Total: 2, Message: "one of two"},
		"towards an unknown end":     {Done: 7},
		"at the start":               {},
		"with quotes and UTF-8":      {Done: 1, Total: 1, Message: "\"größe\" <b>\u2028\\ \t"},
		"with numbers of 18 digits":  {Done: 123456789012345678, Total: 999999999999999999},
		"with a message of no UTF-8": {Message: "a\xffb"},
	}, func(s *scene, p seri.ProgressInfo) {
		l := s.start("t1", func(m *seri.Message) { m.Owner = "user:1" })

		s.must(s.Progress(s.ctx(), s.q, []store.Report{{Lease: l, Progress: p}}))

		if p.Message == "a\xffb" {
			p.Message = "a\ufffdb"
		}
		last := s.tells("t1", "queued started progress")
		if last.Data.Progress == nil || *last.Data.Progress != p || last.Owner != "user:1" {
			s.t.Errorf("event %+v of %+v", last, p)
		}
		if info := s.info("t1"); info.Progress == nil || *info.Progress != p || info.Seq != 3 {
			s.t.Errorf("info %+v", info)
		}
		s.stands("t1", "active")
	})
}

func TestProgressBelongsToOneAttempt(t *testing.T) {
	eachCase(t, map[string]func(s *scene, l *store.Lease){
		"after a retry": func(s *scene, l *store.Lease) {
			s.must(s.Retry(s.ctx(), s.q, []store.Retry{{Lease: l}}))
			s.come("t1")
			s.forward()
		},
		"after a crash": func(s *scene, l *store.Lease) {
			s.lapse("t1")
			s.recover()
		},
		"after it was handed back": func(s *scene, l *store.Lease) {
			s.must(s.Requeue(s.ctx(), s.q, []*store.Lease{l}))
		},
	}, func(s *scene, end func(s *scene, l *store.Lease)) {
		l := s.start("t1")
		s.must(s.Progress(s.ctx(), s.q, []store.Report{{Lease: l, Progress: seri.ProgressInfo{Done: 1}}}))
		end(s, l)

		s.lease()

		if info := s.info("t1"); info.Progress != nil {
			s.t.Errorf("the next attempt begins with progress %+v", info.Progress)
		}
	})
}

func TestProgressOfOneTaskTwiceInACallIsTwoEvents(t *testing.T) {
	each(t, func(s *scene) {
		l := s.start("t1", func(m *seri.Message) { m.Retention = time.Hour })

		s.must(s.Progress(s.ctx(), s.q, []store.Report{
			{Lease: l, Progress: seri.ProgressInfo{Done: 1}}, {Lease: l, Progress: seri.ProgressInfo{Done: 2}},
		}))

		if last := s.tells("t1", "queued started progress progress"); last.Data.Progress.Done != 2 {
			s.t.Errorf("event %+v", last)
		}
	})
}
