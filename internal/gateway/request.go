package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"

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
	// quality is the guarantee that the client asks for, consumer the name under which it acknowledges.
	quality, consumer string
	// forbidden: the client may not watch it.
	forbidden bool
}

// maxFaults bounds how many faults of a request are told.
const maxFaults = 8

// faults say what is wrong with a request, by place: "query.task": "is empty".
type faults map[string]string

// parse reads a request's parameters. lastEventID is that header, or empty. It returns its faults.
func parse(rawQuery, lastEventID string, granted grant) (request, faults) {
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		return request{}, faults{"query": "is malformed: " + err.Error()}
	}
	var r request
	after, source, wrong := "", "query.after", faults{}
	fields := map[string]*string{
		"task": &r.filter.Task, "owner": &r.filter.Owner, "queue": &r.filter.Queue, "type": &r.filter.Type,
		"schedule": &r.filter.Schedule, "after": &after,
		"qos": &r.quality, "consumer": &r.consumer,
	}
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if len(wrong) == maxFaults {
			break
		}
		values := query[name]
		field, known := fields[name]
		place := fmt.Sprintf("query.%.60s", name)
		switch {
		case !known:
			wrong[place] = "is not known; use task, owner, queue, type, schedule, after, qos, consumer"
		case len(values) > 1:
			wrong[place] = fmt.Sprintf("is given %d times", len(values))
		case values[0] == "":
			wrong[place] = "is empty"
		case !utf8.ValidString(values[0]): // no task has such a text, and as JSON it would be another
			wrong[place] = "is not UTF-8"
		case name != "after" && len(values[0]) > maxParameter:
			wrong[place] = fmt.Sprintf("has %d bytes, at most %d are allowed", len(values[0]), maxParameter)
		default:
			*field = values[0]
		}
	}
	r.checkQuality(after, wrong)
	narrowed, allowed := granted.narrow(r.filter)
	r.filter, r.forbidden = narrowed, !allowed
	if lastEventID != "" && r.quality != atMostOnce {
		after, source = lastEventID, "header.Last-Event-ID"
	}
	if after != "" {
		r.resume = true
		if r.after, err = events.ParseCursor(after, r.filter.Queue); err != nil {
			wrong[source] = "is not usable: " + err.Error()
		}
	}
	return r, wrong
}

// subscribe begins the subscription that a request asks for, or answers the request with what is wrong.
func (g *Gateway) subscribe(w http.ResponseWriter, r *http.Request, granted grant, lastEventID string) (*events.Subscription, bool) {
	asked, wrong := parse(r.URL.RawQuery, lastEventID, granted)
	if websocket.IsWebSocketUpgrade(r) && asked.consumer != "" {
		wrong["query.consumer"] = "is for server-sent events (GET /v1/events) and for the subprotocol " + commandProtocol + ", where a client can acknowledge"
	}
	if len(wrong) > 0 {
		g.cfg.Problem(w, r, http.StatusUnprocessableEntity, "", wrong)
		return nil, false
	}
	if asked.forbidden {
		g.cfg.Problem(w, r, http.StatusForbidden, OutOfScope, nil)
		return nil, false
	}
	ctx, cancel := context.WithTimeout(r.Context(), subscribeTimeout)
	defer cancel()
	var s *events.Subscription
	var err error
	if asked.resume {
		s, err = g.hub.Resume(ctx, asked.filter, asked.after)
	} else {
		s, err = g.hub.Subscribe(ctx, asked.filter)
	}
	switch {
	case err == nil:
		if asked.quality == atMostOnce {
			s.LetGo()
		}
		return s, true
	case errors.Is(err, seri.ErrNotFound):
		g.cfg.Problem(w, r, http.StatusNotFound, fmt.Sprintf("There is no task %q, or no longer.", asked.filter.Task), nil)
	case errors.Is(err, events.ErrTooManyQueues):
		g.cfg.Problem(w, r, http.StatusUnprocessableEntity, "", faults{"query.queue": "is missing: " + err.Error()})
	case errors.Is(err, events.ErrPartition):
		g.cfg.Problem(w, r, http.StatusUnprocessableEntity, "", faults{"query.queue": "is not usable: " + err.Error()})
	case r.Context().Err() != nil: // the client has gone
	default:
		g.cfg.Logger.WarnContext(r.Context(), "could not begin a stream", "error", err)
		g.unavailable(w, r, "Events cannot be read at the moment.") // the cause is ours to know
	}
	return nil, false
}

// isFleeting reports whether a request asks for events at most once.
func isFleeting(r *http.Request) bool { return r.URL.Query().Get("qos") == atMostOnce }

// OutOfScope is the detail that refuses what a token does not allow. It is said of what exists and of what does not.
const OutOfScope = "The token does not allow to watch this: ask for no more than the tasks, the owner or the queues that it was made for."

func (g *Gateway) unavailable(w http.ResponseWriter, r *http.Request, detail string) {
	g.refuse(w, r, http.StatusServiceUnavailable, detail)
}

// refuse answers that the client may come back.
func (g *Gateway) refuse(w http.ResponseWriter, r *http.Request, status int, detail string) {
	w.Header().Set("Retry-After", fmt.Sprint(1+int(g.comeBack()/time.Second)))
	g.cfg.Problem(w, r, status, detail, nil)
}

// writeProblem answers with an RFC 9457 problem.
func writeProblem(w http.ResponseWriter, _ *http.Request, status int, detail string, wrong map[string]string) {
	type fault struct {
		Message  string `json:"message"`
		Location string `json:"location"`
	}
	var list []fault
	for _, place := range slices.Sorted(maps.Keys(wrong)) {
		list = append(list, fault{wrong[place], place})
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(struct { // nobody is left to tell if this fails
		Title  string  `json:"title"`
		Status int     `json:"status"`
		Detail string  `json:"detail,omitempty"`
		Errors []fault `json:"errors,omitempty"`
	}{http.StatusText(status), status, detail, list})
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
