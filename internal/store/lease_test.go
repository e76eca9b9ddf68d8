package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/store"
)

// attempt is one way in which a worker writes about a task that it holds, or thinks it holds.
type attempt func(s *scene, leases ...*store.Lease) ([]error, error)

// attempts are all of them.
var attempts = map[string]attempt{
	"extend": func(s *scene, leases ...*store.Lease) ([]error, error) {
		return s.Extend(s.ctx(), s.q, leases, time.Hour)
	},
	"progress": func(s *scene, leases ...*store.Lease) ([]error, error) {
		return s.Progress(s.ctx(), s.q, each1(leases, func(l *store.Lease) store.Report {
			return store.Report{Lease: l, Progress: seri.ProgressInfo{Done: 1, Total: 2, Message: "zombie"}}
		}))
	},
	"complete": func(s *scene, leases ...*store.Lease) ([]error, error) {
		return s.Complete(s.ctx(), s.q, each1(leases, func(l *store.Lease) store.Completion {
			return store.Completion{Lease: l, Result: []byte(`"zombie"`)}
		}))
	},
	"retry": func(s *scene, leases ...*store.Lease) ([]error, error) {
		return s.Retry(s.ctx(), s.q, each1(leases, func(l *store.Lease) store.Retry {
			return store.Retry{Lease: l, After: time.Hour, Error: "zombie"}
		}))
	},
	"archive": func(s *scene, leases ...*store.Lease) ([]error, error) {
		return s.Archive(s.ctx(), s.q, each1(leases, func(l *store.Lease) store.Ending {
			return store.Ending{Lease: l, Reason: seri.ReasonExhausted, Error: "zombie"}
		}))
	},
	"requeue": func(s *scene, leases ...*store.Lease) ([]error, error) {
		return s.Requeue(s.ctx(), s.q, leases)
	},
}

// endings are those after which the worker holds the lease no more.
var endings = map[string]attempt{
	"complete": attempts["complete"], "retry": attempts["retry"], "archive": attempts["archive"], "requeue": attempts["requeue"],
}

func each1[T any](leases []*store.Lease, item func(*store.Lease) T) []T {
	items := make([]T, len(leases))
	for i, l := range leases {
		items[i] = item(l)
	}
	return items
}

// pointers returns the leases of a batch as the calls want them.
func pointers(b store.Batch) []*store.Lease {
	leases := make([]*store.Lease, len(b.Leases))
	for i := range b.Leases {
		leases[i] = &b.Leases[i]
	}
	return leases
}

// asynq's A1, the reason why this project exists: A's lease expires, the task is given to B, and asynq accepts A's late
// completion and refuses B's. A2: A's heartbeat extends B's lease.
func TestAZombieChangesNothingAndTheHolderIsHeard(t *testing.T) {
	t.Parallel()
	for what, zombie := range attempts {
		for then, holder := range attempts {
			t.Run(fmt.Sprintf("%s of the zombie, %s of the holder", what, then), func(t *testing.T) {
				each(t, func(s *scene) {
					a := s.start("t1", func(m *seri.Message) { m.UniqueFor = time.Hour })
					s.lapse("t1")
					if r := s.recover(); r.Taken != 1 {
						s.t.Fatalf("recovered %+v", r)
					}

					s.changesNothing("the zombie, with nobody holding the task", func() {
						errs, err := zombie(s, a)
						s.refused(what, 0, errs, err)
					})
					b := s.lease()
					if b.Token <= a.Token || b.Nonce == a.Nonce {
						s.t.Errorf("lease %+v follows %+v", b, a)
					}
					s.changesNothing("the zombie, with a successor", func() {
						errs, err := zombie(s, a)
						s.refused(what, b.Token, errs, err)
					})

					s.must(holder(s, b))
					if then == "extend" || then == "progress" {
						s.stands("t1", "active")
					}
					s.changesNothing("the zombie, after the holder's word", func() {
						seen := b.Token
						if endings[then] != nil {
							seen = 0
						}
						errs, err := zombie(s, a)
						s.refused(what, seen, errs, err)
					})
				})
			})
		}
	}
}

// After a failover that lost writes, a token may be handed out a second time.
func TestALeaseIsItsTokenAndItsNonce(t *testing.T) {
	forged := map[string]func(l *store.Lease){
		"same token, other nonce": func(l *store.Lease) { l.Nonce = "AAAAAAAAAAAAA" },
		"same token, no nonce":    func(l *store.Lease) { l.Nonce = "" },
		"greater token":           func(l *store.Lease) { l.Token++ },
		"smaller token":           func(l *store.Lease) { l.Token-- },
		"no token":                func(l *store.Lease) { l.Token = 0 },
		"a token that is equal in the first 14 digits": func(l *store.Lease) { l.Token = l.Token/100*100 + (l.Token+50)%100 },
	}
	t.Parallel()
	for what, act := range attempts {
		t.Run(what, func(t *testing.T) {
			eachCase(t, forged, func(s *scene, forge func(*store.Lease)) {
				holder := s.start("t1")
				other := *holder
				forge(&other)

				s.changesNothing("a forged lease", func() {
					errs, err := act(s, &other)
					s.refused(what, holder.Token, errs, err)
				})
				s.must(act(s, holder))
			})
		})
	}
}

func TestARepeatedCallAnswersTheSameAndChangesNothing(t *testing.T) {
	eachCase(t, endings, func(s *scene, end attempt) {
		l := s.start("t1")
		s.must(end(s, l))

		s.changesNothing("the repeated call", func() { s.must(end(s, l)) })
	})
}

func TestALeaseThatHasEndedCannotBeExtended(t *testing.T) {
	eachCase(t, endings, func(s *scene, end attempt) {
		l := s.start("t1")
		s.must(end(s, l))

		s.changesNothing("a word after the end", func() {
			for _, what := range []string{"extend", "progress"} {
				errs, err := attempts[what](s, l)
				s.refused(what, 0, errs, err)
			}
		})
	})
}

func TestALeaseThatIsNamedTwiceInACallEndsOnce(t *testing.T) {
	cases := make(map[string]func(s *scene, l *store.Lease) int64)
	for what, end := range endings {
		for _, retention := range []time.Duration{0, time.Hour} {
			cases[fmt.Sprintf("%s with retention %v", what, retention)] = func(s *scene, l *store.Lease) int64 {
				l.Message.Retention = int64(retention.Seconds())
				s.must(end(s, l, l))
				return map[bool]int64{true: 0, false: 1}[what == "requeue"]
			}
		}
	}
	eachCase(t, cases, func(s *scene, end func(s *scene, l *store.Lease) int64) {
		l := s.start("t1")

		want := end(s, l)

		if story := s.story("t1"); len(story) != 3 {
			s.t.Errorf("events %+v", story)
		}
		if got, _ := s.rdb.Get(s.ctx(), s.q.Processed()).Int64(); got != want {
			s.t.Errorf("%d attempts counted, want %d", got, want)
		}
		if n := s.rdb.LLen(s.ctx(), s.q.Active()).Val() + s.rdb.ZCard(s.ctx(), s.q.Lease()).Val(); n != 0 {
			s.t.Errorf("%d entries in active and lease", n)
		}
	})
}

func TestEveryCallAboutLeasesTakesAThousandAndAnswersForEach(t *testing.T) {
	t.Parallel()
	for what, act := range attempts {
		t.Run(what, func(t *testing.T) { eachServer(t, func(s *scene) { answersForEach(s, act) }) })
	}
}

func answersForEach(s *scene, act attempt) {
	s.addMany("t", 1000, func(m *seri.Message) { m.Retention = time.Hour * time.Duration(len(m.ID)%2) })
	leases := pointers(s.dequeue(1000))
	lost := *leases[500]
	lost.Nonce = "lost"
	leases[500] = &lost

	errs, err := act(s, leases...)

	if err != nil || len(errs) != 1000 {
		s.t.Fatalf("%d answers, %v", len(errs), err)
	}
	s.refused("the lost lease", lost.Token, errs[500:501], nil)
	s.must(errs[:500], nil)
	s.must(errs[501:], nil)
	s.stands(lost.ID(), "active")
}

func TestACallAboutNoLeasesIsNoError(t *testing.T) {
	eachCase(t, attempts, func(s *scene, act attempt) {
		if errs, err := act(s); err != nil || len(errs) != 0 {
			s.t.Errorf("answered %v, %v", errs, err)
		}
	})
}
