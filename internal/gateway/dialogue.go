package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/events"
	"github.com/seri-queue/seri/internal/token"
	"github.com/seri-queue/seri/internal/wire"
)

var (
	// errIdle is why a connection ends that has asked for nothing.
	errIdle = errors.New("the client has asked for nothing")
	// errRate is why a connection ends whose client says too much.
	errRate = errors.New("the client sends too many messages")
)

// dialogue is a WebSocket over which a client says by messages what it wants to watch, as often as it likes. All of it is
// one stream with one cursor. Each thing needs a grant: that of the connection, or of a token that came by a message.
type dialogue struct {
	g        *Gateway
	conn     *websocket.Conn
	page     page
	opened   time.Time
	commands chan command
	called   atomic.Pointer[events.Subscription] // the stream, for the reader, who may call it

	// The writer's.
	stream *events.Subscription // nil: nothing was asked for yet
	wants  map[string]events.Filter
	grants []grant
	tails  tails
	spoken time.Time // when something was last sent
	pinged time.Time
}

func newDialogue(g *Gateway, conn *websocket.Conn, granted grant, p page) *dialogue {
	now := g.now()
	d := &dialogue{g: g, conn: conn, page: p, opened: now, spoken: now, pinged: now, commands: make(chan command, 1), tails: newTails()}
	if granted.all || granted.holder != "" {
		d.grants = []grant{granted}
	}
	return d
}

func (d *dialogue) close() {
	d.tails.close()
	if d.stream != nil {
		d.stream.Close()
	}
}

// read hands commands to the writer, until the connection ends or the client says what cannot be understood.
func (d *dialogue) read(ctx context.Context) error {
	alive, err := d.g.listen(d.conn)
	if err != nil {
		return err
	}
	var rate allowance
	for {
		_, message, err := d.conn.ReadMessage()
		if err != nil {
			return fmt.Errorf("%w: %w", errGone, err)
		}
		if !rate.take(d.g.cfg.Messages, d.g.now()) {
			return errRate
		}
		c, err := readCommand(message)
		if err != nil {
			c = command{wrong: err}
		}
		select {
		case d.commands <- c:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if s := d.called.Load(); s != nil {
			s.Call()
		}
		if err := alive(); err != nil {
			return fmt.Errorf("%w: %w", errGone, err)
		}
	}
}

// write carries out commands, and writes events, pings and signs of life, until something ends.
func (d *dialogue) write(ctx context.Context) error {
	for {
		select {
		case c := <-d.commands:
			if err := d.obey(ctx, c); err != nil {
				return err
			}
			continue
		case read := <-d.tails.news:
			if err := d.tell(read); err != nil {
				return err
			}
			continue
		default:
		}
		if err := d.expire(); err != nil {
			return err
		}
		wait := time.Until(d.due())
		if d.stream == nil {
			if err := d.await(ctx, wait); err != nil {
				return err
			}
		} else {
			frames, err := d.stream.Next(ctx, max(0, wait))
			if err != nil {
				return err
			}
			if err := d.send(frames...); err != nil {
				return err
			}
		}
		if err := d.beat(); err != nil {
			return err
		}
	}
}

// silent reports whether nothing has been asked for yet.
func (d *dialogue) silent() bool { return d.stream == nil && len(d.tails.open) == 0 }

// await waits for a command, or for lines of a log, while nothing else was asked for.
func (d *dialogue) await(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(max(0, wait))
	defer timer.Stop()
	select {
	case c := <-d.commands:
		return d.obey(ctx, c)
	case read := <-d.tails.news:
		return d.tell(read)
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// due returns when there is something to do though nothing has come.
func (d *dialogue) due() time.Time {
	next := d.pinged.Add(d.g.cfg.Ping)
	for _, granted := range d.grants {
		if !granted.all && granted.pass.Expires.Before(next) {
			next = granted.pass.Expires
		}
	}
	if patience := d.opened.Add(d.g.cfg.Patience); d.silent() && patience.Before(next) {
		next = patience
	}
	return next
}

// beat pings, and says where the stream is if it has been silent: a page sees no pings, and an old cursor is of an entry
// that is trimmed away some day.
func (d *dialogue) beat() error {
	now := d.g.now()
	if d.silent() && now.Sub(d.opened) >= d.g.cfg.Patience {
		return errIdle
	}
	if now.Sub(d.pinged) < d.g.cfg.Ping {
		return nil
	}
	silent := now.Sub(d.spoken) >= d.g.cfg.Ping
	d.pinged = now
	if err := d.conn.WriteControl(websocket.PingMessage, nil, now.Add(d.g.cfg.WriteTimeout)); err != nil {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	if silent && !d.silent() {
		return d.sayAlive()
	}
	return nil
}

func (d *dialogue) sayAlive() error {
	if d.stream == nil {
		return d.say(wire.TypeAlive, "", struct{}{})
	}
	frame, err := d.stream.Alive()
	if err != nil {
		return err
	}
	return d.send(frame)
}

// expire ends the grants that are over, and with them the subscriptions that no other grant allows.
func (d *dialogue) expire() error {
	now := d.g.now()
	before := len(d.grants)
	d.grants = slices.DeleteFunc(d.grants, func(granted grant) bool { return granted.expired(now) })
	if len(d.grants) == before {
		return nil
	}
	for id, f := range d.wants {
		if narrowed, allowed := d.allow(f); allowed && narrowed == f { // what would have to be narrowed was more than is left
			continue
		}
		d.drop(id)
		if err := d.refuse("subscribe", id, http.StatusUnauthorized, token.ErrExpired.Error()); err != nil {
			return err
		}
	}
	if len(d.grants) == 0 {
		return token.ErrExpired
	}
	return nil
}

// allow returns what of a filter the grants leave; false if none of them allows it. One that allows all of it comes before
// one that does not, and a newer one before an older.
func (d *dialogue) allow(f events.Filter) (left events.Filter, allowed bool) {
	for _, granted := range slices.Backward(d.grants) {
		narrowed, ok := granted.narrow(f)
		if ok && (granted.all || narrowed == bare(f)) {
			return narrowed, true
		}
		if ok && !allowed {
			left, allowed = narrowed, true
		}
	}
	return left, allowed
}

func bare(f events.Filter) events.Filter {
	f.Bare = true
	return f
}

func (d *dialogue) drop(id string) {
	d.stream.Remove(id)
	delete(d.wants, id)
}

// obey carries out one command. An error ends the connection; what the client did wrong is said to it.
func (d *dialogue) obey(ctx context.Context, c command) error {
	if c.wrong != nil {
		return d.refuse("", "", http.StatusBadRequest, c.wrong.Error())
	}
	if c.Token != "" {
		granted, err := d.g.redeem(c.Token, d.page)
		switch {
		case errors.Is(err, errOrigin):
			return d.refuse(c.Op, "", http.StatusForbidden, err.Error())
		case err != nil:
			return d.refuse(c.Op, "", http.StatusUnauthorized, err.Error())
		case !d.keep(granted):
			return d.refuse(c.Op, "", http.StatusTooManyRequests, fmt.Sprintf("the connection has %d tokens, and may not have more", d.g.cfg.Subscriptions))
		}
		if c.Op == "authorize" {
			return d.say(wire.TypeAuthorized, "", wire.Authorized{ExpiresAt: granted.pass.Expires.UTC()})
		}
	}
	switch c.Op {
	case "ping":
		return d.sayAlive()
	case "unsubscribe":
		for _, id := range c.IDs {
			d.tails.end(id)
			if _, there := d.wants[id]; !there {
				continue
			}
			d.drop(id)
		}
		return d.say(wire.TypeUnsubscribed, "", wire.Subscribed{Subscriptions: c.IDs})
	}
	ctx, cancel := context.WithTimeout(ctx, subscribeTimeout)
	defer cancel()
	return d.subscribe(ctx, c)
}

// keep adds a grant; false if there are too many. One of the same token is there already.
func (d *dialogue) keep(granted grant) bool {
	if slices.ContainsFunc(d.grants, func(other grant) bool { return other.holder == granted.holder }) {
		return true
	}
	if len(d.grants) >= d.g.cfg.Subscriptions {
		return false
	}
	d.grants = append(d.grants, granted)
	return true
}

func (d *dialogue) subscribe(ctx context.Context, c command) error {
	asked := make(map[string]events.Filter)
	var order []string
	for _, w := range c.Subscriptions {
		if w.Log {
			_, twice := asked[w.ID]
			if err := d.follow(ctx, w, twice); err != nil {
				return err
			}
			continue
		}
		f, allowed := d.allow(w.filter())
		_, there := d.wants[w.ID]
		_, twice := asked[w.ID]
		status, detail := 0, ""
		switch err := w.check(); {
		case err != nil:
			status, detail = http.StatusUnprocessableEntity, err.Error()
		case there || twice || d.tails.open[w.ID] != nil:
			status, detail = http.StatusConflict, "there is a subscription of this id; unsubscribe it, or choose another"
		case len(d.grants) == 0:
			status, detail = http.StatusUnauthorized, errUnauthorized.Error()
		case !allowed:
			status, detail = http.StatusForbidden, OutOfScope
		case len(d.wants)+len(asked) >= d.g.cfg.Subscriptions:
			status, detail = http.StatusTooManyRequests, fmt.Sprintf("the connection has %d subscriptions, and may not have more", d.g.cfg.Subscriptions)
		}
		if status == 0 {
			asked[w.ID] = f
			order = append(order, w.ID)
			continue
		}
		if err := d.refuse(c.Op, clip(w.ID), status, detail); err != nil {
			return err
		}
	}
	if len(asked) == 0 {
		return nil
	}
	if c.After != "" {
		return d.resume(ctx, c, asked, order)
	}
	return d.add(ctx, asked, order)
}

// clip bounds what a refusal repeats.
func clip(id string) string { return id[:min(len(id), maxParameter)] }

// add begins subscriptions, each with a snapshot.
func (d *dialogue) add(ctx context.Context, asked map[string]events.Filter, order []string) error {
	if d.stream == nil {
		s, err := d.g.hub.Gather(ctx)
		if err != nil {
			return d.failed("", err)
		}
		d.take(s)
	}
	var begun []string
	for _, id := range order {
		if err := d.stream.Add(ctx, id, asked[id]); err != nil {
			if err := d.failed(id, err); err != nil {
				return err
			}
			continue
		}
		d.wants[id] = asked[id]
		begun = append(begun, id)
	}
	if len(begun) == 0 {
		return nil
	}
	return d.say(wire.TypeSubscribed, "", wire.Subscribed{Subscriptions: begun})
}

// resume begins subscriptions after a cursor. It is the stream's, and the stream has one: so it cannot be done twice.
func (d *dialogue) resume(ctx context.Context, c command, asked map[string]events.Filter, order []string) error {
	if d.stream != nil {
		return d.refuse(c.Op, "", http.StatusConflict, "after is for the first subscribe of a connection: its subscriptions have one cursor")
	}
	after, err := events.ParseCursor(c.After, "")
	if err != nil {
		return d.refuse(c.Op, "", http.StatusUnprocessableEntity, "after is not usable: "+err.Error())
	}
	s, err := d.g.hub.GatherAfter(ctx, after, asked)
	if err != nil {
		return d.failed("", err)
	}
	d.take(s)
	d.wants = asked
	return d.say(wire.TypeSubscribed, "", wire.Subscribed{Subscriptions: order, Resumed: true})
}

func (d *dialogue) take(s *events.Subscription) {
	d.stream, d.wants = s, make(map[string]events.Filter)
	d.called.Store(s)
}

// failed tells the client why a subscription could not begin, if that is its own fault or luck. Other errors end the
// connection.
func (d *dialogue) failed(id string, err error) error {
	switch {
	case errors.Is(err, seri.ErrNotFound):
		return d.refuse("subscribe", id, http.StatusNotFound, "there is no such task, or no longer")
	case errors.Is(err, events.ErrTooManyQueues), errors.Is(err, events.ErrPartition):
		return d.refuse("subscribe", id, http.StatusUnprocessableEntity, err.Error())
	}
	return err
}

func (d *dialogue) refuse(op, id string, status int, detail string) error {
	return d.say(wire.TypeError, id, wire.Refused{Op: op, Status: status, Title: http.StatusText(status), Detail: detail})
}

func (d *dialogue) say(typ, id string, data any) error {
	frame, err := events.Note(typ, id, data)
	if err != nil {
		return err
	}
	return d.send(frame)
}

func (d *dialogue) send(frames ...events.Frame) error {
	if len(frames) == 0 {
		return nil
	}
	d.spoken = d.g.now()
	if err := d.conn.SetWriteDeadline(time.Now().Add(d.g.cfg.WriteTimeout)); err != nil {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	for _, f := range frames {
		if err := d.conn.WriteMessage(websocket.TextMessage, f.JSON); err != nil {
			return fmt.Errorf("%w: %w", errGone, err)
		}
	}
	return nil
}
