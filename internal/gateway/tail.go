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
// the client has taken what it has read. All but news is the turn's. nil: none are followed.
type tails struct {
	open    map[string]*tail
	news    chan logRead
	reading sync.WaitGroup
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

func (t *tails) len() int {
	if t == nil {
		return 0
	}
	return len(t.open)
}

func (t *tails) has(id string) bool { return t != nil && t.open[id] != nil }

func (t *tails) end(id string) {
	if t.has(id) {
		t.open[id].stop()
		delete(t.open, id)
	}
}

// close ends all of them, and waits until they are not read any more.
func (t *tails) close() {
	if t == nil {
		return
	}
	for id := range t.open {
		t.end(id)
	}
	t.reading.Wait()
}

// follow begins to follow a log. taken: the ID is in use already, by what is asked for in the same message.
func (p *peer) follow(ctx context.Context, w wanted, taken bool) error {
	status, detail := 0, ""
	switch err := w.check(); {
	case err != nil:
		status, detail = http.StatusUnprocessableEntity, err.Error()
	case p.watches(w.ID) || taken || p.tails.has(w.ID):
		status, detail = http.StatusConflict, "there is a subscription of this id; unsubscribe it, or choose another"
	case len(p.grants) == 0:
		status, detail = http.StatusUnauthorized, errUnauthorized.Error()
	case !p.seesAll():
		status, detail = http.StatusForbidden, "a token shows no logs: follow them with an API key"
	case w.Task == "":
		status, detail = http.StatusUnprocessableEntity, "task is missing: a log is one task's"
	case w.Owner != "" || w.Type != "" || w.Schedule != "":
		status, detail = http.StatusUnprocessableEntity, "a log is asked for by task and queue only"
	case p.tails.len() >= maxTails:
		status, detail = http.StatusTooManyRequests, fmt.Sprintf("the connection follows %d logs, and may not follow more", maxTails)
	case p.g.cfg.Logs == nil:
		status, detail = http.StatusUnprocessableEntity, "there are no logs to be had here"
	}
	if status != 0 {
		return p.refuse("subscribe", clip(w.ID), status, detail)
	}
	log, err := p.g.cfg.Logs(ctx, w.Queue, w.Task)
	if errors.Is(err, seri.ErrNotFound) || errors.Is(err, events.ErrPartition) {
		return p.failed(w.ID, err)
	}
	if err != nil {
		p.g.cfg.Logger.WarnContext(ctx, "could not follow a log", "task_id", w.Task, "error", err)
		return p.refuse("subscribe", w.ID, http.StatusServiceUnavailable, "the log cannot be read at the moment")
	}
	reading, stop := context.WithCancel(context.WithoutCancel(ctx)) // it outlives the command; close and unsubscribe end it
	t := &tail{w.ID, stop}
	if p.tails == nil {
		p.tails = &tails{open: make(map[string]*tail), news: make(chan logRead, 1)}
	}
	p.tails.open[w.ID] = t
	news := p.tails.news
	p.tails.reading.Go(func() { p.readLog(reading, news, t, log) })
	return p.say(wire.TypeSubscribed, "", wire.Subscribed{Subscriptions: []string{w.ID}})
}

// unfollow ends a log that is followed. A client that has followed nothing else has time again to ask for something.
func (p *peer) unfollow(id string) {
	if p.tails.has(id) {
		p.tails.end(id)
		p.asked = p.g.moment()
	}
}

func (p *peer) seesAll() bool {
	for _, granted := range p.grants {
		if granted.all {
			return true
		}
	}
	return false
}

// readLog hands what comes to a log to the turn, until it is stopped, or the lines turn out to be elsewhere.
func (p *peer) readLog(ctx context.Context, news chan<- logRead, t *tail, log LogTail) {
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
			case news <- logRead{t, lines, whole}:
			case <-ctx.Done():
				return
			}
			p.Wake()
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

// tellNews sends what has come to logs.
func (p *peer) tellNews() error {
	for p.tails != nil {
		select {
		case read := <-p.tails.news:
			if err := p.tell(read); err != nil {
				return err
			}
			if p.worker.away { // as in deliver
				p.Wake()
				return nil
			}
		default:
			return nil
		}
	}
	return nil
}

// tell sends what has come to a log. Lines that CloudWatch has are not followed there: it bounds searches to a few a
// second for a whole account, so that a handful of viewers would leave none for anybody else.
func (p *peer) tell(read logRead) error {
	id := read.by.id
	if !p.tails.has(id) || p.tails.open[id] != read.by {
		return nil // no longer wanted
	}
	if len(read.log.Lines) > 0 || read.whole && len(read.log.Places) == 0 {
		lines := wire.LogLines{Lines: append([]wire.LogLine{}, read.log.Lines...), Whole: read.whole, Cut: read.log.Cut}
		if err := p.say(wire.TypeLog, id, lines); err != nil {
			return err
		}
	}
	if len(read.log.Places) == 0 {
		return nil
	}
	p.unfollow(id)
	place := read.log.Places[len(read.log.Places)-1]
	return p.refuse("subscribe", id, http.StatusUnprocessableEntity, fmt.Sprintf(
		"the log of this task is in CloudWatch (group %s, stream %s), and not followed there: read it by GET /v1/tasks/{id}/logs", place.Group, place.Stream))
}
