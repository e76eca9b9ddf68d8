package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

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

// A dialogue is what a peer says that is not plain: by messages, what it wants to watch, as often as it likes. All of it is
// one stream with one cursor. Each thing needs a grant: that of the connection, or of a token that came by a message.

// hear carries out what a message says.
func (p *peer) hear(ctx context.Context, message []byte) error {
	c, err := readCommand(message)
	if err != nil {
		return p.refuse("", "", http.StatusBadRequest, err.Error())
	}
	return p.obey(ctx, c)
}

func (p *peer) sayAlive() error {
	if p.stream == nil {
		return p.say(wire.TypeAlive, "", struct{}{})
	}
	frame, err := p.stream.Alive()
	if err != nil {
		return err
	}
	return p.send(frame)
}

// expire ends the grants that are over, and with them the subscriptions that no other grant allows.
func (p *peer) expire() error {
	if p.until == 0 {
		return nil
	}
	now := p.g.now()
	if p.foresee(p.now(), now); now.UnixMilli() < p.until {
		return nil
	}
	before := len(p.grants)
	p.hold(slices.DeleteFunc(p.grants, func(granted grant) bool { return granted.expired(now) }))
	switch {
	case len(p.grants) == before:
		return nil
	case p.plain:
		return token.ErrExpired
	case p.stream == nil && len(p.grants) == 0:
		return token.ErrExpired
	case p.stream == nil:
		return nil
	}
	for id, f := range p.stream.Filters() {
		if p.allows(f) {
			continue
		}
		p.stream.Remove(id)
		if err := p.refuse("subscribe", id, http.StatusUnauthorized, token.ErrExpired.Error()); err != nil {
			return err
		}
	}
	if len(p.grants) == 0 {
		return token.ErrExpired
	}
	return nil
}

// allow returns what of a filter the grants leave; false if none of them allows it. One that allows all of it comes before
// one that does not, and a newer one before an older.
func (p *peer) allow(f events.Filter) (left events.Filter, allowed bool) {
	for _, granted := range slices.Backward(p.grants) {
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

// allows reports whether one of the grants allows a filter as it is. What would have to be narrowed is more than it allows.
func (p *peer) allows(f events.Filter) bool {
	return slices.ContainsFunc(p.grants, func(granted grant) bool {
		narrowed, ok := granted.narrow(f)
		return ok && narrowed == f
	})
}

func bare(f events.Filter) events.Filter {
	f.Bare = true
	return f
}

// obey carries out one command. An error ends the connection; what the client did wrong is said to it.
func (p *peer) obey(ctx context.Context, c command) error {
	if c.Token != "" {
		granted, err := p.g.redeem(c.Token, p.page)
		switch {
		case errors.Is(err, errOrigin):
			return p.refuse(c.Op, "", http.StatusForbidden, err.Error())
		case err != nil:
			return p.refuse(c.Op, "", http.StatusUnauthorized, err.Error())
		case !p.keep(granted):
			return p.refuse(c.Op, "", http.StatusTooManyRequests, fmt.Sprintf("the connection has %d tokens, and may not have more", p.g.cfg.Subscriptions))
		}
		if c.Op == "authorize" {
			return p.say(wire.TypeAuthorized, "", wire.Authorized{ExpiresAt: granted.pass.Expires.UTC()})
		}
	}
	switch c.Op {
	case "ping":
		return p.sayAlive()
	case "ack":
		ctx, cancel := context.WithTimeout(ctx, subscribeTimeout)
		defer cancel()
		return p.acknowledge(ctx, c)
	case "unsubscribe":
		if p.held != nil && slices.ContainsFunc(c.IDs, p.watches) {
			return p.refuse(c.Op, "", http.StatusConflict, "what the consumer "+p.held.Name+" is about does not change: close the connection")
		}
		for _, id := range c.IDs {
			p.unfollow(id)
			if p.stream != nil {
				p.stream.Remove(id)
			}
		}
		return p.say(wire.TypeUnsubscribed, "", wire.Subscribed{Subscriptions: c.IDs})
	}
	ctx, cancel := context.WithTimeout(ctx, subscribeTimeout)
	defer cancel()
	return p.subscribe(ctx, c)
}

// keep adds a grant; false if there are too many. One of the same token is there already.
func (p *peer) keep(granted grant) bool {
	if slices.ContainsFunc(p.grants, func(other grant) bool { return other.holder == granted.holder }) {
		return true
	}
	if len(p.grants) >= p.g.cfg.Subscriptions {
		return false
	}
	p.hold(append(p.grants, granted))
	return true
}

// hold makes these the grants.
func (p *peer) hold(grants []grant) {
	p.grants, p.until = grants, 0
	for _, granted := range grants {
		if ends := granted.pass.Expires.UnixMilli(); !granted.all && (p.until == 0 || ends < p.until) {
			p.until = ends
		}
	}
	p.foresee(p.g.moment(), p.g.now())
}

// foresee notes when the first of the grants ends if the clock goes on from now as it should.
func (p *peer) foresee(at moment, now time.Time) { p.expires = at + time.UnixMilli(p.until).Sub(now) }

func (p *peer) subscribe(ctx context.Context, c command) error {
	if n, most := len(c.Subscriptions), p.g.cfg.Subscriptions; n > most+maxTails { // to refuse each would take a hundred times the message
		detail := fmt.Sprintf("subscribe has %d subscriptions; a connection may have %d, and follow %d logs", n, most, maxTails)
		return p.refuse(c.Op, "", http.StatusTooManyRequests, detail)
	}
	if slices.ContainsFunc(c.Subscriptions, func(w wanted) bool { return !w.Log }) {
		if status, detail := p.checkQuality(c); status != 0 {
			return p.refuse(c.Op, "", status, detail)
		}
	} else if err := c.checkOfLogs(); err != nil {
		return p.refuse(c.Op, "", http.StatusUnprocessableEntity, err.Error())
	}
	asked := make(map[string]events.Filter)
	var order []string
	watched, refusals := 0, 0
	if p.stream != nil {
		watched = p.stream.Len()
	}
	for _, w := range c.Subscriptions {
		if w.Log {
			_, twice := asked[w.ID]
			if err := p.follow(ctx, w, twice); err != nil {
				return err
			}
			continue
		}
		f, allowed := p.allow(w.filter())
		if c.Consumer != "" { // by an API key, whatever tokens there are beside it
			f, allowed = w.filter(), true
		}
		_, twice := asked[w.ID]
		status, detail := 0, ""
		switch err := w.check(); {
		case err != nil:
			status, detail = http.StatusUnprocessableEntity, err.Error()
		case p.watches(w.ID) || twice || p.tails.has(w.ID):
			status, detail = http.StatusConflict, "there is a subscription of this id; unsubscribe it, or choose another"
		case len(p.grants) == 0:
			status, detail = http.StatusUnauthorized, errUnauthorized.Error()
		case !allowed:
			status, detail = http.StatusForbidden, OutOfScope
		case watched+len(asked) >= p.g.cfg.Subscriptions:
			status, detail = http.StatusTooManyRequests, fmt.Sprintf("the connection has %d subscriptions, and may not have more", p.g.cfg.Subscriptions)
		}
		if status == 0 {
			asked[w.ID] = f
			order = append(order, w.ID)
			continue
		}
		refusals++
		if err := p.refuse(c.Op, clip(w.ID), status, detail); err != nil {
			return err
		}
	}
	switch {
	case len(asked) == 0:
		return nil
	case c.Consumer != "" && refusals > 0: // it would be about something else
		return nil
	case c.Consumer != "":
		return p.readFor(ctx, c, asked, order)
	case c.After != "":
		return p.resume(ctx, c, asked, order)
	}
	return p.add(ctx, c, asked, order)
}

// watches reports whether the stream is about something of that id.
func (p *peer) watches(id string) bool {
	if p.stream == nil {
		return false
	}
	_, there := p.stream.Filter(id)
	return there
}

// clip bounds what a refusal repeats.
func clip(id string) string { return id[:min(len(id), maxParameter)] }

// add begins subscriptions, each with a snapshot.
func (p *peer) add(ctx context.Context, c command, asked map[string]events.Filter, order []string) error {
	if p.stream == nil {
		s, err := p.g.hub.Gather(ctx)
		if err != nil {
			return p.failed("", err)
		}
		if p.fleeting = c.Quality == atMostOnce; p.fleeting {
			s.LetGo()
		}
		p.attach(s)
	}
	refused, err := p.stream.Add(ctx, wantedOf(asked, order)...)
	if err != nil {
		return err
	}
	var begun []string
	for i, id := range order {
		if refused[i] != nil {
			if err := p.failed(id, refused[i]); err != nil {
				return err
			}
			continue
		}
		begun = append(begun, id)
	}
	if len(begun) == 0 {
		return nil
	}
	return p.say(wire.TypeSubscribed, "", wire.Subscribed{Subscriptions: begun})
}

func wantedOf(asked map[string]events.Filter, order []string) []events.Wanted {
	wanted := make([]events.Wanted, len(order))
	for n, id := range order {
		wanted[n] = events.Wanted{Name: id, Filter: asked[id]}
	}
	return wanted
}

// resume begins subscriptions after a cursor. It is the stream's, and the stream has one: so it cannot be done twice.
func (p *peer) resume(ctx context.Context, c command, asked map[string]events.Filter, order []string) error {
	if p.stream != nil {
		return p.refuse(c.Op, "", http.StatusConflict, "after is for the first subscribe of a connection: its subscriptions have one cursor")
	}
	after, err := events.ParseCursor(c.After, "")
	if err != nil {
		return p.refuse(c.Op, "", http.StatusUnprocessableEntity, "after is not usable: "+err.Error())
	}
	s, err := p.g.hub.GatherAfter(ctx, after, asked)
	if err != nil {
		return p.failed("", err)
	}
	p.attach(s)
	return p.say(wire.TypeSubscribed, "", wire.Subscribed{Subscriptions: order, Resumed: true})
}

func (p *peer) attach(s *events.Subscription) {
	p.stream = s
	s.Notify(p)
}

// failed tells the client why a subscription could not begin, if that is its own fault or luck. Other errors end the
// connection.
func (p *peer) failed(id string, err error) error {
	switch {
	case errors.Is(err, seri.ErrNotFound):
		return p.refuse("subscribe", id, http.StatusNotFound, "there is no such task, or no longer")
	case errors.Is(err, events.ErrTooManyQueues), errors.Is(err, events.ErrPartition):
		return p.refuse("subscribe", id, http.StatusUnprocessableEntity, err.Error())
	}
	return err
}

func (p *peer) refuse(op, id string, status int, detail string) error {
	return p.say(wire.TypeError, id, wire.Refused{Op: op, Status: status, Title: http.StatusText(status), Detail: detail})
}

func (p *peer) say(typ, id string, data any) error {
	frame, err := events.Note(typ, id, data)
	if err != nil {
		return err
	}
	return p.send(frame)
}
