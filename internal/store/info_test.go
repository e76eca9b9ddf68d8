package store_test

import (
	"strings"
	"testing"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/store"
	"github.com/seri-queue/seri/internal/wire"
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

func TestTheAttemptOnRecordIsThatOfTheLastStart(t *testing.T) {
	crash := func(s *scene) { s.lapse("t1"); s.recover() }
	again := func(s *scene) *store.Lease { s.come("t1"); s.forward(); return s.lease() }
	mark := func(s *scene) {
		if running, err := s.Revoke(s.ctx(), s.q, "t1"); !running || err != nil {
			s.t.Fatal(running, err)
		}
	}
	withdraw := func(s *scene) {
		if running, err := s.Revoke(s.ctx(), s.q, "t1"); running || err != nil {
			s.t.Fatal(running, err)
		}
	}
	retry := func(s *scene, l *store.Lease) { s.must(attempts["retry"](s, l)) }
	end := func(s *scene, l *store.Lease, reason seri.Reason) {
		s.must(s.Archive(s.ctx(), s.q, []store.Ending{{Lease: l, Reason: reason, Error: "e"}}))
	}
	eachCase(t, map[string]struct {
		act   func(s *scene, l *store.Lease) // after the first start
		state seri.State
		want  int
	}{
		"running":                           {func(*scene, *store.Lease) {}, seri.Active, 1},
		"handed back":                       {func(s *scene, l *store.Lease) { s.must(attempts["requeue"](s, l)) }, seri.Pending, 1},
		"crashed":                           {func(s *scene, _ *store.Lease) { crash(s) }, seri.Pending, 1},
		"crashed twice":                     {func(s *scene, _ *store.Lease) { crash(s); s.lease(); crash(s) }, seri.Retrying, 1},
		"crashed twice, then withdrawn":     {func(s *scene, _ *store.Lease) { crash(s); s.lease(); crash(s); withdraw(s) }, seri.Revoked, 1},
		"poison":                            {func(s *scene, _ *store.Lease) { crash(s); s.lease(); crash(s); again(s); crash(s) }, seri.Failed, 1},
		"failed once":                       {retry, seri.Retrying, 1},
		"failed once, then withdrawn":       {func(s *scene, l *store.Lease) { retry(s, l); withdraw(s) }, seri.Revoked, 1},
		"failed once, running":              {func(s *scene, l *store.Lease) { retry(s, l); again(s) }, seri.Active, 2},
		"failed once, then crashed":         {func(s *scene, l *store.Lease) { retry(s, l); again(s); crash(s) }, seri.Pending, 2},
		"exhausted":                         {func(s *scene, l *store.Lease) { retry(s, l); end(s, again(s), seri.ReasonExhausted) }, seri.Failed, 2},
		"failed for good":                   {func(s *scene, l *store.Lease) { end(s, l, seri.ReasonPermanent) }, seri.Failed, 1},
		"withdrawn while it ran":            {func(s *scene, l *store.Lease) { mark(s); end(s, l, seri.ReasonRevoked) }, seri.Revoked, 1},
		"withdrawn while it ran, and fails": {func(s *scene, l *store.Lease) { mark(s); retry(s, l) }, seri.Revoked, 1},
		"withdrawn, and its worker dies":    {func(s *scene, _ *store.Lease) { mark(s); crash(s) }, seri.Revoked, 1},
	}, func(s *scene, c struct {
		act   func(s *scene, l *store.Lease)
		state seri.State
		want  int
	}) {
		l := s.start("t1")

		c.act(s, l)

		if info := s.info("t1"); info.State != c.state || info.Attempt != c.want {
			s.t.Errorf("state %s, attempt %d; want %s, %d", info.State, info.Attempt, c.state, c.want)
		}
		for _, e := range s.story("t1") {
			if e.Data.Attempt > c.want {
				s.t.Errorf("the event %s says attempt %d", e.Kind, e.Data.Attempt)
			}
		}
	})
}

func TestATaskInAnAggregationGroupSaysWhatItWaitsFor(t *testing.T) {
	each(t, func(s *scene) {
		m := wire.Message{Type: "mail:send", ID: "t1", Queue: string(s.q)}
		s.rdb.HSet(s.ctx(), s.q.Task("t1"), "msg", m.Encode(), "state", "aggregating", "group", "g")

		if info := s.info("t1"); info.State != seri.Pending || info.Reason != seri.ReasonAggregating {
			s.t.Errorf("state %s, reason %q", info.State, info.Reason)
		}
	})
}
