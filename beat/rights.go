package beat

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/permit"
	"github.com/seri-queue/seri/internal/store"
)

// Anybody can make a schedule for any queue at run time, also for one that this beat's Redis user may not write to. Such a
// queue is left out, so that it does not keep all others from ticking, and it is told where people look.

const (
	// reviewEvery is how often it is asked again about a queue that was denied: rules change without a restart.
	reviewEvery = 30 * time.Second
	// tellEvery is how often it is told which queues are not served, and toldFor how long that holds.
	tellEvery = 10 * time.Second
	toldFor   = 30 * time.Second
	// looks is how many queues without schedules are looked at in a second, for who would make some, and about how many that
	// were denied it is asked again: nothing ticks meanwhile.
	looks = 5
)

// right is what is known of a queue.
type right struct {
	denied error     // nil: it may be served
	asked  time.Time // by Redis' clock
	loud   bool      // it has schedules, and so the log tells of it
	hidden bool      // it may not even be read whether it has any; that is not tried until it was asked again
}

// serves tells whether the schedules of a queue that has some may be served. What cannot be found out is allowed: then the
// first tick tells.
func (l *leader) serves(ctx context.Context, q keys.Queue) bool {
	r := l.right(ctx, q)
	if r.denied != nil && !r.loud {
		r.loud = true
		l.complain(ctx, q)
	}
	return r.denied == nil
}

func (l *leader) right(ctx context.Context, q keys.Queue) *right {
	if r := l.rights[q]; r != nil {
		return r
	}
	r := &right{asked: l.clock.now()}
	if err := l.beat.store.Permit(ctx, q, store.Ticking); permit.Denied(err) {
		r.denied = err
		l.tells = time.Time{}
	}
	l.rights[q] = r
	return r
}

// deny leaves a queue that has schedules out from now on.
func (l *leader) deny(ctx context.Context, q keys.Queue, err error) {
	l.leaveOut(q, err)
	if r := l.rights[q]; !r.loud {
		r.loud = true
		l.complain(ctx, q)
	}
}

// hide leaves a queue out from now on of which it may not be read what schedules it has. The log tells of it only if some
// were served: as long as nobody knows of any, nothing is amiss.
func (l *leader) hide(ctx context.Context, q keys.Queue, err error) {
	if l.leaveOut(q, err) {
		l.deny(ctx, q, err)
	}
	l.rights[q].hidden = true
	l.edits[q] = 0 // once it may be read, all of it counts
}

// leaveOut notes that a queue is denied, and tells whether it had schedules that were served.
func (l *leader) leaveOut(q keys.Queue, err error) (served bool) {
	if r := l.rights[q]; r != nil && r.denied != nil {
		return false
	}
	l.rights[q] = &right{denied: err, asked: l.clock.now()}
	for r := range l.entries {
		if r.queue == q {
			served = true
			l.drop(r)
		}
	}
	l.tells = time.Time{}
	return served
}

// edited returns what was changed at run time since it was looked last, of the queues of which that may be read.
func (l *leader) edited(ctx context.Context) (map[keys.Queue]store.Edits, error) {
	since := maps.Clone(l.edits)
	maps.DeleteFunc(since, func(q keys.Queue, _ int64) bool { return l.rights[q] != nil && l.rights[q].hidden })
	edits, err := l.beat.store.EditedSince(ctx, since)
	if err != nil {
		return nil, err
	}
	for q, e := range edits {
		if e.Denied != nil {
			l.hide(ctx, q, e.Denied)
			delete(edits, q)
		}
	}
	return edits, nil
}

func (l *leader) complain(ctx context.Context, q keys.Queue) {
	l.beat.config.Logger.ErrorContext(ctx, "the schedules of a queue are not served: this beat's Redis user may not", "queue", q, "error", l.rights[q].denied)
	l.count()
}

// count measures how many queues have schedules that are not served.
func (l *leader) count() {
	n := 0
	for _, r := range l.rights {
		if r.denied != nil && r.loud {
			n++
		}
	}
	l.beat.meters.Denied.Store(int64(n))
}

// review asks again about queues that were denied, and looks at some that it does not know. It tells whether there are
// schedules to be served now that were not.
func (l *leader) review(ctx context.Context, queues []keys.Queue) (more bool) {
	now := l.clock.now()
	var again []keys.Queue
	for q, r := range l.rights {
		if r.denied != nil && now.Sub(r.asked) >= reviewEvery {
			again = append(again, q)
		}
	}
	slices.SortFunc(again, func(a, b keys.Queue) int { return l.rights[a].asked.Compare(l.rights[b].asked) })
	for _, q := range again[:min(len(again), looks)] {
		r := l.rights[q]
		r.asked = now
		if err := l.beat.store.Permit(ctx, q, store.Ticking); err == nil {
			delete(l.rights, q)
			l.tells = time.Time{}
			more = more || r.loud || r.hidden
			l.beat.config.Logger.InfoContext(ctx, "a queue may be served again", "queue", q)
		} else {
			r.hidden = false
		}
	}
	looked := 0
	for _, q := range queues {
		if l.rights[q] == nil && looked < looks {
			looked++
			l.right(ctx, q)
		}
	}
	l.count()
	return more
}

// tellServed tells the makers of schedules which queues are not served, now and then and when it changes.
func (l *leader) tellServed(ctx context.Context) {
	now := l.clock.now()
	if now.Before(l.tells) && l.tells.Sub(now) <= tellEvery {
		return
	}
	l.tells = now.Add(tellEvery)
	served := store.Served{Until: now.Add(toldFor)}
	for q, r := range l.rights {
		if r.denied != nil {
			served.Denied = append(served.Denied, q)
		}
	}
	if err := l.beat.store.SetServed(ctx, l.as.Lock, served); err != nil && ctx.Err() == nil {
		l.beat.config.Logger.DebugContext(ctx, "it was not told which queues are served", "error", err) // nothing depends on it
	}
}
