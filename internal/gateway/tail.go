package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/events"
	"github.com/seri-queue/seri/internal/pause"
	"github.com/seri-queue/seri/internal/wire"
)

// LogTail reads a task's own log as it grows. Next returns what has come since the last call, without waiting; whole says
// that it is all there is, and what was read before is to be forgotten.
type LogTail interface {
	Next(ctx context.Context) (log wire.TaskLog, whole bool, err error)
}

const (
	tailEvery    = 500 * time.Millisecond // between two looks at a log
	tailSeldom   = 2 * time.Second        // the same, once it has been silent for tailPatience, or cannot be read
	tailPatience = 30 * time.Second
	tailTimeout  = 5 * time.Second // of one look
	maxTails     = 8               // on one connection: each looks twice a second
)

// tails are the logs that a connection follows. Each is read by a goroutine of its own, which does not look again before
// the client has taken what it has read. All but news is the writer's.
type tails struct {
	open    map[string]*tail
	news    chan logRead
	reading *sync.WaitGroup
}

// tail is one of them. It is told apart from a later one with the same ID by where it is.
type tail struct {
	id   string
	stop context.CancelFunc
}

// logRead is what one of them has to tell.
type logRead struct {
	by    *tail
	log   wire.TaskLog
	whole bool
}

func newTails() tails {
	return tails{open: make(map[string]*tail), news: make(chan logRead, 1), reading: new(sync.WaitGroup)}
}

func (t *tails) close() {
	for id := range t.open {
		t.end(id)
	}
	t.reading.Wait()
}

func (t *tails) end(id string) {
	if one := t.open[id]; one != nil {
		one.stop()
		delete(t.open, id)
	}
}

// follow begins to follow a log. taken: the ID is in use already, by what is asked for in the same message.
func (d *dialogue) follow(ctx context.Context, w wanted, taken bool) error {
	_, there := d.wants[w.ID]
	status, detail := 0, ""
	switch err := w.check(); {
	case err != nil:
		status, detail = http.StatusUnprocessableEntity, err.Error()
	case there || taken || d.tails.open[w.ID] != nil:
		status, detail = http.StatusConflict, "there is a subscription of this id; unsubscribe it, or choose another"
	case len(d.grants) == 0:
		status, detail = http.StatusUnauthorized, errUnauthorized.Error()
	case !d.seesAll():
		status, detail = http.StatusForbidden, "a token shows no logs: follow them with an API key"
	case w.Task == "":
		status, detail = http.StatusUnprocessableEntity, "task is missing: a log is one task's"
	case w.Owner != "" || w.Type != "" || w.Schedule != "":
		status, detail = http.StatusUnprocessableEntity, "a log is asked for by task and queue only"
	case len(d.tails.open) >= maxTails:
		status, detail = http.StatusTooManyRequests, fmt.Sprintf("the connection follows %d logs, and may not follow more", maxTails)
	case d.g.cfg.Logs == nil:
		status, detail = http.StatusUnprocessableEntity, "there are no logs to be had here"
	}
	if status != 0 {
		return d.refuse("subscribe", clip(w.ID), status, detail)
	}
	log, err := d.g.cfg.Logs(ctx, w.Queue, w.Task)
	if errors.Is(err, seri.ErrNotFound) || errors.Is(err, events.ErrPartition) {
		return d.failed(w.ID, err)
	}
	if err != nil {
		d.g.cfg.Logger.WarnContext(ctx, "could not follow a log", "task_id", w.Task, "error", err)
		return d.refuse("subscribe", w.ID, http.StatusServiceUnavailable, "the log cannot be read at the moment")
	}
	reading, stop := context.WithCancel(context.WithoutCancel(ctx)) // it outlives the command; close and unsubscribe end it
	t := &tail{w.ID, stop}
	d.tails.open[w.ID] = t
	d.tails.reading.Go(func() { d.readLog(reading, t, log) })
	return d.say(wire.TypeSubscribed, "", wire.Subscribed{Subscriptions: []string{w.ID}})
}

func (d *dialogue) seesAll() bool {
	for _, granted := range d.grants {
		if granted.all {
			return true
		}
	}
	return false
}

// readLog hands what comes to a log to the writer, until it is stopped, or the lines turn out to be elsewhere.
func (d *dialogue) readLog(ctx context.Context, t *tail, log LogTail) {
	heard := time.Now()
	for {
		wait := tailEvery
		call, cancel := context.WithTimeout(ctx, tailTimeout)
		lines, whole, err := log.Next(call)
		cancel()
		switch {
		case err != nil: // the store is away; the next look finds what has come meanwhile
			wait = tailSeldom
		case whole || len(lines.Lines) > 0 || len(lines.Places) > 0:
			select {
			case d.tails.news <- logRead{t, lines, whole}:
			case <-ctx.Done():
				return
			}
			if s := d.called.Load(); s != nil {
				s.Call()
			}
			if heard = time.Now(); len(lines.Places) > 0 {
				return
			}
		case time.Since(heard) > tailPatience:
			wait = tailSeldom
		}
		if !pause.For(ctx, wait) {
			return
		}
	}
}

// tell writes what has come to a log. Lines that CloudWatch has are not followed there: it bounds searches to a few a
// second for a whole account, so that a handful of viewers would leave none for anybody else.
func (d *dialogue) tell(read logRead) error {
	id := read.by.id
	if d.tails.open[id] != read.by {
		return nil // no longer wanted
	}
	if len(read.log.Lines) > 0 || read.whole && len(read.log.Places) == 0 {
		lines := wire.LogLines{Lines: append([]wire.LogLine{}, read.log.Lines...), Whole: read.whole, Cut: read.log.Cut}
		if err := d.say(wire.TypeLog, id, lines); err != nil {
			return err
		}
	}
	if len(read.log.Places) == 0 {
		return nil
	}
	d.tails.end(id)
	place := read.log.Places[len(read.log.Places)-1]
	return d.refuse("subscribe", id, http.StatusUnprocessableEntity, fmt.Sprintf(
		"the log of this task is in CloudWatch (group %s, stream %s), and not followed there: read it by GET /v1/tasks/{id}/logs", place.Group, place.Stream))
}
