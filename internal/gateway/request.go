package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/events"
)

// subscribeTimeout bounds the wait for a snapshot, or for a Redis that does not answer, before a stream begins.
const subscribeTimeout = 10 * time.Second

// maxParameter bounds the bytes of one parameter, but for the cursor, which has a bound of its own.
const maxParameter = 512

// request is what a client asks for.
type request struct {
	filter events.Filter
	resume bool
	after  events.Cursor
}

// parse reads a request's parameters. lastEventID is that header, or empty.
func parse(rawQuery, lastEventID string) (request, error) {
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		return request{}, fmt.Errorf("the query is malformed: %w", err)
	}
	var r request
	after := ""
	fields := map[string]*string{
		"task": &r.filter.Task, "owner": &r.filter.Owner, "queue": &r.filter.Queue, "type": &r.filter.Type, "after": &after,
	}
	for name, values := range query {
		field, known := fields[name]
		switch {
		case !known:
			return request{}, fmt.Errorf("parameter %.60q is not known; there are task, owner, queue, type and after", name)
		case len(values) > 1:
			return request{}, fmt.Errorf("parameter %q is given %d times", name, len(values))
		case values[0] == "":
			return request{}, fmt.Errorf("parameter %q is empty", name)
		case name != "after" && len(values[0]) > maxParameter:
			return request{}, fmt.Errorf("parameter %q has %d bytes, at most %d are allowed", name, len(values[0]), maxParameter)
		}
		*field = values[0]
	}
	source := `parameter "after"`
	if lastEventID != "" {
		after, source = lastEventID, "header Last-Event-ID"
	}
	if after != "" {
		r.resume = true
		if r.after, err = events.ParseCursor(after, r.filter.Queue); err != nil {
			return request{}, fmt.Errorf("%s: %w", source, err)
		}
	}
	return r, nil
}

// subscribe begins the subscription that a request asks for, or answers the request with what is wrong.
func (g *Gateway) subscribe(w http.ResponseWriter, r *http.Request, lastEventID string) (*events.Subscription, bool) {
	asked, err := parse(r.URL.RawQuery, lastEventID)
	if err != nil {
		g.cfg.Problem(w, r, http.StatusBadRequest, err.Error())
		return nil, false
	}
	ctx, cancel := context.WithTimeout(r.Context(), subscribeTimeout)
	defer cancel()
	var s *events.Subscription
	if asked.resume {
		s, err = g.hub.Resume(ctx, asked.filter, asked.after)
	} else {
		s, err = g.hub.Subscribe(ctx, asked.filter)
	}
	switch {
	case err == nil:
		return s, true
	case errors.Is(err, seri.ErrNotFound):
		g.cfg.Problem(w, r, http.StatusNotFound, fmt.Sprintf("There is no task %q, or no longer.", asked.filter.Task))
	case errors.Is(err, events.ErrTooManyQueues):
		g.cfg.Problem(w, r, http.StatusBadRequest, err.Error())
	case r.Context().Err() != nil: // the client has gone
	default:
		g.cfg.Logger.WarnContext(r.Context(), "could not begin a stream", "error", err)
		g.unavailable(w, r, "Events cannot be read at the moment.") // the cause is ours to know
	}
	return nil, false
}

func (g *Gateway) unavailable(w http.ResponseWriter, r *http.Request, detail string) {
	w.Header().Set("Retry-After", fmt.Sprint(1+int(g.comeBack()/time.Second)))
	g.cfg.Problem(w, r, http.StatusServiceUnavailable, detail)
}

// writeProblem answers with an RFC 9457 problem.
func writeProblem(w http.ResponseWriter, _ *http.Request, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(struct { // nobody is left to tell if this fails
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}{http.StatusText(status), status, detail})
}

// allowsOrigin decides by the Origin header whether a page may open a WebSocket: that of a page cannot be forged, and
// WebSockets are not held back by the browser's same-origin policy.
func (g *Gateway) allowsOrigin(r *http.Request) bool {
	origins := r.Header["Origin"]
	if len(origins) == 0 {
		return true // not a browser
	}
	u, err := url.Parse(origins[0])
	if len(origins) > 1 || err != nil {
		return false
	}
	return u.Host != "" && strings.EqualFold(u.Host, r.Host) || slices.Contains(g.cfg.Origins, origins[0])
}
