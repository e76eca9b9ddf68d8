package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/consumers"
	"github.com/seri-queue/seri/internal/events"
	"github.com/seri-queue/seri/internal/wire"
)

// A peer may read for a named consumer: then its one stream goes on after what that has acknowledged, and it acknowledges by
// messages. What it is about is what its first subscribe says, because the name is about that.

// checkQuality returns why a subscribe cannot have the guarantee that it asks for; status 0: it can.
func (p *peer) checkQuality(c command) (status int, detail string) {
	if field, fault := qualityFault(c.Quality, c.Consumer, c.After != ""); fault != "" {
		return http.StatusUnprocessableEntity, field + " " + fault
	}
	switch {
	case p.held != nil:
		return http.StatusConflict, "the connection reads for the consumer " + p.held.Name + ", and for nothing else: open another"
	case c.Consumer != "" && p.stream != nil:
		return http.StatusConflict, "consumer is for the first subscribe of a connection: its subscriptions have one cursor"
	case p.stream != nil && c.Quality != "" && (c.Quality == atMostOnce) != p.fleeting:
		return http.StatusConflict, "qos is that of the connection's first subscribe: its subscriptions are one stream"
	case c.Consumer != "" && len(p.grants) == 0:
		return http.StatusUnauthorized, errUnauthorized.Error()
	case c.Consumer != "" && (p.g.cfg.Consumers == nil || !p.seesAll()):
		return http.StatusForbidden, KeyNeeded
	}
	return 0, ""
}

// readFor begins subscriptions for a consumer: all of them, or none. It takes the name only once nothing can be refused for
// another reason: who reads under it goes on reading.
func (p *peer) readFor(ctx context.Context, c command, asked map[string]events.Filter, order []string) error {
	about := asked
	if len(order) == 1 { // then the name may be read by server-sent events, too
		about = map[string]events.Filter{"": asked[order[0]]}
	}
	known, err := p.g.lookUp(ctx, c.Consumer, about)
	if err != nil {
		return p.refuseConsumer(c, err)
	}
	s, err := p.gatherFor(ctx, &known, asked, order)
	if s == nil {
		return err
	}
	held, err := p.g.takeName(ctx, known)
	if err == nil && held.Cursor != known.Cursor { // who reads until now has acknowledged more meanwhile
		s.Close()
		if s, err = p.gatherFor(ctx, &held.Consumer, asked, order); s == nil {
			return err
		}
	}
	if err == nil {
		err = held.begin(ctx, s)
	}
	if err != nil {
		s.Close()
		return p.refuseConsumer(c, err)
	}
	_, resumed := held.Resumable()
	p.attach(s)
	p.held, held.due = held, p.g.moment()+held.interval()
	return p.say(wire.TypeSubscribed, "", wire.Subscribed{Subscriptions: order, Resumed: resumed, Consumer: held.Name, Token: held.Token})
}

// refuseConsumer tells the client why it cannot read for a consumer. Errors that are not its own end the connection.
func (p *peer) refuseConsumer(c command, err error) error {
	switch {
	case errors.Is(err, consumers.ErrAbout):
		return p.refuse(c.Op, "", http.StatusUnprocessableEntity, "consumer is not usable: "+err.Error())
	case errors.Is(err, consumers.ErrMany):
		return p.refuse(c.Op, "", http.StatusTooManyRequests, "of consumers, "+err.Error())
	case errors.Is(err, consumers.ErrTaken), errors.Is(err, seri.ErrNotFound):
		return p.refuse(c.Op, "", http.StatusConflict, "another has begun to read for the consumer, or has deleted it")
	}
	return err
}

// gatherFor returns a stream that goes on after what a consumer has acknowledged, or begins with snapshots. nil without an
// error: it is refused, and the client was told.
func (p *peer) gatherFor(ctx context.Context, known *consumers.Consumer, asked map[string]events.Filter, order []string) (*events.Subscription, error) {
	if at, resumes := known.Resumable(); resumes {
		s, err := p.g.hub.GatherAfter(ctx, at, asked)
		if err != nil {
			return nil, p.failed("", err)
		}
		return s, nil
	}
	s, err := p.g.hub.Gather(ctx)
	if err != nil {
		return nil, p.failed("", err)
	}
	refused, err := s.Add(ctx, wantedOf(asked, order)...)
	if err == nil && errors.Join(refused...) == nil {
		return s, nil
	}
	s.Close()
	if err == nil {
		err = p.failedAny(order, refused)
	}
	return nil, err
}

// failedAny tells the client of each subscription that could not begin.
func (p *peer) failedAny(order []string, refused []error) error {
	for n, id := range order {
		if refused[n] == nil {
			continue
		}
		if err := p.failed(id, refused[n]); err != nil {
			return err
		}
	}
	return nil
}

// acknowledge notes what the client has dealt with. That does not count among what it may say: who may acknowledge may do so
// by POST as often as he likes. Nor does what it is told to repeat.
func (p *peer) acknowledge(ctx context.Context, c command) error {
	if p.held == nil {
		return p.refuse(c.Op, "", http.StatusConflict, "the connection reads for no consumer: name one, as consumer, in its first subscribe")
	}
	known, err := p.held.registry.Acknowledge(ctx, p.held.Name, p.held.Token, c.Cursor)
	_, wrong := errors.AsType[*consumers.CursorError](err)
	switch {
	case wrong:
		return p.refuse(c.Op, "", http.StatusUnprocessableEntity, "cursor is not usable: "+err.Error())
	case errors.Is(err, consumers.ErrTaken), errors.Is(err, seri.ErrNotFound):
		return p.overtaken()
	case err != nil:
		p.rate.giveBack()
		p.g.cfg.Logger.WarnContext(ctx, "could not acknowledge", "consumer", p.held.Name, "error", err)
		return p.refuse(c.Op, "", http.StatusServiceUnavailable, "this cannot be acknowledged at the moment: repeat it")
	}
	p.rate.giveBack()
	return p.say(wire.TypeAcknowledged, "", wire.Acknowledged{Consumer: known.Name, Cursor: known.Cursor})
}

// attend checks now and then whether the peer still is the one that reads for its consumer, and that it acknowledges.
func (p *peer) attend(ctx context.Context) error {
	if p.held == nil || p.now() < p.held.due {
		return nil
	}
	p.worker.slow()
	ctx, cancel := context.WithTimeout(ctx, subscribeTimeout)
	defer cancel()
	err := p.held.check(ctx)
	p.held.due = p.g.moment() + p.held.interval()
	switch {
	case errors.Is(err, consumers.ErrTaken):
		return p.overtaken()
	case err != nil:
		detail := fmt.Sprintf("nothing was acknowledged for %v: what was not comes again after a reconnection", p.held.patience)
		return errors.Join(p.refuse("ack", "", http.StatusRequestTimeout, detail), err)
	}
	return nil
}

// overtaken tells the client that it acknowledges no more, and ends the connection.
func (p *peer) overtaken() error {
	return errors.Join(p.refuse("ack", "", http.StatusConflict, consumers.ErrTaken.Error()+", or it was deleted"), consumers.ErrTaken)
}

// sent notes that frames are about to be sent that a consumer is to acknowledge: it may do so at once.
func (p *peer) sent(frames []events.Frame) {
	if p.held != nil && len(frames) > 0 {
		p.held.sent(frames[len(frames)-1].Cursor, time.Now())
	}
}

// noteRest notes for the consumer where the stream has come without a frame.
func (p *peer) noteRest() {
	if p.held != nil {
		p.held.rest(p.stream.Cursor())
	}
}
