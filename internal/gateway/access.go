package gateway

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/seri-queue/seri/internal/events"
	"github.com/seri-queue/seri/internal/token"
)

// grant is what somebody may watch, and until when.
type grant struct {
	holder  string // by whom connections are counted: "key …" or "token …"; empty: nobody in particular
	all     bool
	pass    token.Pass // unless all
	ambient bool       // the browser has added it by itself, as a cookie
}

// expired reports whether the grant is over; one of everything never is.
func (g grant) expired(now time.Time) bool { return !g.all && !now.Before(g.pass.Expires) }

// narrow returns what is left of a filter for the holder: what the grant says is added where the filter says nothing. It is
// false if the filter asks for more, or if it is not clear which of several tasks or queues it means.
func (g grant) narrow(f events.Filter) (events.Filter, bool) {
	if g.all {
		return f, true
	}
	scope := g.pass.Scope
	ok := scope.Check() == nil && within(&f.Task, scope.Tasks) && within(&f.Queue, scope.Queues)
	if scope.Owner != "" {
		ok = ok && within(&f.Owner, []string{scope.Owner})
	}
	f.Bare = true
	return f, ok
}

// within reports whether a name is one of those allowed; of a single one that is allowed it makes the name. None: no rule.
func within(name *string, allowed []string) bool {
	if *name == "" && len(allowed) == 1 {
		*name = allowed[0]
	}
	n := slices.Index(allowed, *name)
	if n >= 0 {
		*name = allowed[n] // not a text of its own, for as long as the connection lives
	}
	return len(allowed) == 0 || n >= 0
}

type trustedKey struct{}

// Trusted returns a request's context for somebody who may watch everything. id is that of an API key, by which
// connections are counted; empty: they are not.
func Trusted(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, trustedKey{}, grant{holder: "key " + id, all: true})
}

const (
	// tokenProtocol precedes a token among the subprotocols that a browser offers: it can send no header of its own.
	tokenProtocol = "seri.token."
	bearer        = "Bearer "
)

// cookies may hold a token. A browser takes the first from its own host only.
var cookies = []string{"__Host-seri_token", "seri_token"}

var (
	errUnauthorized = errors.New("a token is needed, or an API key")
	errOrigin       = errors.New("pages of this origin may not use the token")
)

// ErrNone is why [Check] returns nothing: the request brings no token, and may be somebody else's.
var ErrNone = errors.New("there is no token")

// Check returns what the token says that a request brings in its header, for a route that is not live. The error is fit to
// be told; [ErrNone] is none of the token's.
func Check(tokens *token.Ring, r *http.Request, now time.Time) (token.Pass, error) {
	text, ambient := presented(r)
	if text == "" || ambient {
		return token.Pass{}, ErrNone
	}
	pass, err := tokens.Check(text, now)
	if err == nil && pass.Origin != "" && !pageOf(r).isOf(pass.Origin) {
		return token.Pass{}, errOrigin
	}
	return pass, err
}

// presented returns the token that a request brings: in the header, a subprotocol, or a cookie, in this order.
func presented(r *http.Request) (text string, ambient bool) {
	if text, ok := strings.CutPrefix(r.Header.Get("Authorization"), bearer); ok && strings.Count(text, ".") > 0 {
		return text, false
	}
	for _, header := range r.Header["Sec-Websocket-Protocol"] {
		for offered := range strings.SplitSeq(header, ",") {
			if text, ok := strings.CutPrefix(strings.TrimSpace(offered), tokenProtocol); ok {
				return text, false
			}
		}
	}
	for _, name := range cookies {
		if c, err := r.Cookie(name); err == nil && c.Value != "" {
			return c.Value, true
		}
	}
	return "", false
}

// access returns what a request may watch. A token that it brings counts before all else.
func (g *Gateway) access(r *http.Request) (grant, error) {
	if text, ambient := presented(r); text != "" {
		granted, err := g.redeem(text, pageOf(r))
		granted.ambient = ambient
		return granted, err
	}
	if trusted, ok := r.Context().Value(trustedKey{}).(grant); ok {
		return trusted, nil
	}
	if g.cfg.Tokens == nil {
		return grant{all: true}, nil
	}
	return grant{}, errUnauthorized
}

// redeem returns what a token grants to a page.
func (g *Gateway) redeem(text string, p page) (grant, error) {
	pass, err := g.cfg.Tokens.Check(text, g.now())
	switch {
	case err != nil:
		return grant{}, err
	case pass.Origin != "" && !p.isOf(pass.Origin):
		return grant{}, errOrigin
	}
	return grant{holder: "token " + pass.ID, pass: pass}, nil
}

// page is what a request says of the page that has made it, if one has. A browser does not let a page forge it.
type page struct {
	origins []string // the headers Origin
	host    string   // that was asked
	own     bool     // the browser says that the page is of the host's own origin
}

func pageOf(r *http.Request) page {
	origins := slices.Clone(r.Header["Origin"]) // of which the original is a part of all the request's headers
	return page{origins, r.Host, r.Header.Get("Sec-Fetch-Site") == "same-origin"}
}

// isOf reports whether the page is one of an origin. A browser names the origin, but for a GET of a page of the host's own,
// of which it says that it is one.
func (p page) isOf(origin string) bool {
	if len(p.origins) > 0 {
		return len(p.origins) == 1 && p.origins[0] == origin
	}
	u, err := url.Parse(origin)
	return err == nil && strings.EqualFold(u.Host, p.host) && p.own
}
