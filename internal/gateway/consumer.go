package gateway

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"sync"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/consumers"
	"github.com/seri-queue/seri/internal/events"
)

// The guarantees that a client may ask for.
const (
	// atMostOnce: nothing is repeated, and nothing is resumed.
	atMostOnce = "at_most_once"
	// atLeastOnce: resumed at the cursor of the last frame that the client has seen.
	atLeastOnce = "at_least_once"
	// exactlyOnce: resumed at what the named consumer has acknowledged, and repeated until it has.
	exactlyOnce = "exactly_once"
)

// ConsumerHeader is the header of an answer that has the token by which a consumer acknowledges what it is sent.
const ConsumerHeader = "Seri-Consumer-Token"

// KeyNeeded is the detail that refuses consumers to those who may not watch everything.
const KeyNeeded = "Consumers that acknowledge are for those who have an API key, not for holders of a token."

// errUnacknowledged ends the stream of a consumer that takes events and acknowledges none: it gets them again.
var errUnacknowledged = errors.New("the consumer has acknowledged nothing for too long")

// checkQuality adds what is wrong with the guarantee that a request asks for.
func (r *request) checkQuality(after string, wrong faults) {
	if field, fault := qualityFault(r.quality, r.consumer, after != ""); fault != "" {
		wrong["query."+field] = fault
	}
}

// qualityFault returns what is wrong with a guarantee that is asked for, and with which field; empty: nothing is.
func qualityFault(quality, consumer string, resumes bool) (field, fault string) {
	switch quality {
	case "", atMostOnce, atLeastOnce, exactlyOnce:
	default:
		return "qos", "must be at_most_once, at_least_once or exactly_once"
	}
	switch {
	case consumer != "" && quality != "" && quality != exactlyOnce:
		return "qos", "is " + quality + ", but a consumer that acknowledges is exactly_once"
	case consumer == "" && quality == exactlyOnce:
		return "consumer", "is missing: what is to be delivered until it is acknowledged needs a name"
	case consumer != "" && consumers.CheckName(consumer) != nil:
		return "consumer", consumers.ErrName.Error()
	case consumer != "" && resumes:
		return "after", "cannot be given for a consumer, which goes on after what it has acknowledged"
	case quality == atMostOnce && resumes:
		return "after", "cannot be given for at_most_once, which does not resume"
	}
	return "", ""
}

// attachment is a stream as the one that reads for a named consumer.
type attachment struct {
	registry *consumers.Registry
	patience time.Duration
	consumers.Consumer

	// Of the one who checks.
	seen string // what was acknowledged at the last check
	due  moment // of a WebSocket: when the next check is

	mu     sync.Mutex
	last   events.Cursor // of the last frame that was sent
	oldest time.Time     // when the first was sent of those that are not acknowledged; zero: none is
	rested string        // where the stream has come since, without a frame; empty: nowhere
}

// lookUp returns what is on record of a consumer that is to be about something. One that is not there yet has nothing but
// that. It returns [consumers.ErrAbout], and writes nothing.
func (g *Gateway) lookUp(ctx context.Context, name string, about map[string]events.Filter) (consumers.Consumer, error) {
	known, err := g.cfg.Consumers.Find(ctx, name)
	switch {
	case errors.Is(err, seri.ErrNotFound):
		return consumers.Consumer{Name: name, About: about}, nil
	case err == nil && !maps.Equal(known.About, about):
		return known, consumers.ErrAbout
	}
	return known, err
}

// takeName makes the caller the one who reads for a consumer that was looked up. Its cursor may be another by now.
func (g *Gateway) takeName(ctx context.Context, known consumers.Consumer) (*attachment, error) {
	c, err := g.cfg.Consumers.Attach(ctx, known.Name, known.About)
	return &attachment{registry: g.cfg.Consumers, patience: g.cfg.Acknowledgement, Consumer: c}, err
}

// consumerOf returns what is on record of the consumer that a request names; nil: it names none. It is false if the request
// has been answered.
func (g *Gateway) consumerOf(w http.ResponseWriter, r *http.Request, granted grant) (*consumers.Consumer, bool) {
	asked, wrong := parse(r.URL.RawQuery, "", granted)
	if asked.consumer == "" || len(wrong) > 0 || asked.forbidden { // of which subscribe will tell
		return nil, true
	}
	if g.cfg.Consumers == nil || !granted.all {
		g.cfg.Problem(w, r, http.StatusForbidden, KeyNeeded, nil)
		return nil, false
	}
	ctx, cancel := context.WithTimeout(r.Context(), subscribeTimeout)
	defer cancel()
	known, err := g.lookUp(ctx, asked.consumer, map[string]events.Filter{"": asked.filter})
	if err != nil {
		g.refuseConsumer(w, r, err)
		return nil, false
	}
	return &known, true
}

// read begins a stream for a consumer, or answers the request. It takes the name only once nothing can be refused for another
// reason: who reads under it goes on reading.
func (g *Gateway) read(w http.ResponseWriter, r *http.Request, granted grant, known *consumers.Consumer) (*attachment, *events.Subscription, bool) {
	s, ok := g.subscribe(w, r, granted, known.Cursor) // which alone says where it goes on
	if !ok {
		return nil, nil, false
	}
	ctx, cancel := context.WithTimeout(r.Context(), subscribeTimeout)
	defer cancel()
	held, err := g.takeName(ctx, *known)
	if err == nil && held.Cursor != known.Cursor { // who reads until now has acknowledged more meanwhile
		s.Close()
		if s, ok = g.subscribe(w, r, granted, held.Cursor); !ok {
			return nil, nil, false
		}
	}
	if err == nil {
		err = held.begin(ctx, s)
	}
	if err != nil {
		s.Close()
		g.refuseConsumer(w, r, err)
		return nil, nil, false
	}
	return held, s, true
}

// refuseConsumer answers a request that cannot read for the consumer that it names.
func (g *Gateway) refuseConsumer(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, consumers.ErrAbout):
		g.cfg.Problem(w, r, http.StatusUnprocessableEntity, "", faults{"query.consumer": "is not usable: " + err.Error()})
	case errors.Is(err, consumers.ErrMany):
		g.refuse(w, r, http.StatusTooManyRequests, "Of consumers, "+err.Error()+".")
	case errors.Is(err, consumers.ErrTaken), errors.Is(err, seri.ErrNotFound):
		g.unavailable(w, r, "Another has begun to read for the consumer, or has deleted it.")
	default:
		g.cfg.Logger.WarnContext(r.Context(), "could not begin a stream", "error", err)
		g.unavailable(w, r, "Events cannot be read at the moment.")
	}
}

// begin notes where the consumer's stream begins, if it is its first: what comes after that is repeated until it is
// acknowledged. Nothing was sent yet, so who has been overtaken here loses nothing.
func (a *attachment) begin(ctx context.Context, s *events.Subscription) error {
	if a.Cursor != "" {
		return nil
	}
	_, err := a.registry.Acknowledge(ctx, a.Name, a.Token, s.Cursor())
	return err
}

// sent notes that frames are sent, the last one with a cursor.
func (a *attachment) sent(cursor string, now time.Time) {
	at, err := events.ParseCursor(cursor, a.About[""].Queue)
	if err != nil {
		return // it is one of ours
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last, a.rested = at, ""
	if a.oldest.IsZero() {
		a.oldest = now
	}
}

// rest notes where the stream has come, with nothing to be sent since the last frame.
func (a *attachment) rest(cursor string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rested = cursor
}

// watch ends a stream that another has taken over, or whose consumer does not acknowledge what it gets.
func (a *attachment) watch(ctx context.Context, end context.CancelCauseFunc) {
	tick := time.NewTicker(a.interval())
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := a.check(ctx); err != nil {
			end(err)
			return
		}
	}
}

// interval is that of checks.
func (a *attachment) interval() time.Duration { return a.patience / 3 }

// check returns why the stream has to end: [consumers.ErrTaken] or errUnacknowledged, or nil.
func (a *attachment) check(ctx context.Context) error {
	c, err := a.registry.Keep(ctx, a.Name, a.Token)
	switch {
	case errors.Is(err, consumers.ErrTaken), errors.Is(err, seri.ErrNotFound): // or it was deleted
		return consumers.ErrTaken
	case err != nil: // Redis does not answer: it goes on while it can
		return nil
	case a.overdue(&c, c.Cursor != a.seen, time.Now()):
		return errUnacknowledged
	}
	a.seen = c.Cursor
	if at := a.passed(); at != "" {
		if c, err = a.registry.Acknowledge(ctx, a.Name, a.Token, at); err == nil {
			a.seen = c.Cursor
		}
	}
	return nil
}

// passed returns where the stream has come without a frame since everything was acknowledged; empty: nowhere. An old cursor
// would be one whose entry is trimmed away some day, though nothing was missed.
func (a *attachment) passed() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.oldest.IsZero() {
		return ""
	}
	return a.rested
}

// overdue reports whether what was sent has not been acknowledged for too long. moved says that something else has, since.
func (a *attachment) overdue(c *consumers.Consumer, moved bool, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	at, ok := c.Resumable()
	switch {
	case a.oldest.IsZero():
	case ok && at.Covers(a.last):
		a.oldest = time.Time{}
	case moved:
		a.oldest = now
	default:
		return now.Sub(a.oldest) > a.patience
	}
	return false
}
