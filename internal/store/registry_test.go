package store_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/store"
)

// The registry is what docs/keys.md and the audit of a live Redis go by.
func TestEveryKeyThatTheScriptsMakeIsInTheRegistry(t *testing.T) {
	each(t, func(s *scene) {
		full := func(m *seri.Message) {
			m.Owner, m.UniqueFor, m.Expires = "user:42", time.Hour, time.Now().Add(2*time.Hour)
		}
		s.add("scheduled", full, later)
		for name, act := range attempts {
			s.must(act(s, s.start(name, full)))
		}
		s.lapse(s.start("crashes", full).ID())
		s.recover()
		s.start("marked", full)
		s.add("revoked", full)
		for _, id := range []string{"marked", "revoked"} {
			if _, err := s.Revoke(s.ctx(), s.q, id); err != nil {
				s.t.Fatal(err)
			}
		}
		s.plan("r1", tick, 7)
		s.fire("in time", store.TickEnqueued, s.tick(0, func(k *store.Tick) { full(&k.Task); k.Overlap = "buffer_one" }))
		s.fire("one that overlaps", store.TickWaits, s.tick(1, func(k *store.Tick) { k.Overlap = "buffer_one" }))
		s.must(nil, s.PauseSchedule(s.ctx(), s.q, "nightly", "why"))
		if err := s.Pause(s.ctx(), s.q); err != nil {
			s.t.Fatal(err)
		}

		s.rdb.LRem(s.ctx(), s.q.Active(), 0, "marked")
		s.turn("w")
		s.sweep()

		var hash keys.Entry
		for key, value := range s.world() {
			kind, _, _ := strings.Cut(value, " ")
			entry, ok := keys.Find(key)
			if !ok || entry.Type != kind || entry.TTL != strings.HasPrefix(value, kind+" with TTL") {
				s.t.Errorf("%s is %.40s; the registry says %+v", key, value, entry)
			}
			if kind == "hash" && (strings.HasPrefix(key, "asynq:") || strings.Contains(key, ":schedule:")) {
				hash = entry
				for field := range s.rdb.HGetAll(s.ctx(), key).Val() {
					if !regexp.MustCompile(`\b` + field + `\b`).MatchString(entry.Holds) {
						s.t.Errorf("%s: the registry does not know the field %s", key, field)
					}
				}
			}
		}
		if hash.Pattern == "" {
			s.t.Error("no task was looked at")
		}
	})
}
