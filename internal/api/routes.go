package api

import (
	"net/http"
	"slices"
	"strings"
)

// routes is the table of everything that the server answers. A route needs an API key unless it is listed as open, so
// that a forgotten line closes a door and does not open one. The rule goes by the route that has matched, not by
// the request's path, so there is no way of spelling a path that gets round it.
type routes struct {
	*http.ServeMux
	server *server
	taken  []string // "GET /path", of every route but the catch-alls
}

// openRoutes need no key: probes, documentation, and the page, which asks for a key itself.
var openRoutes = map[string]bool{
	"GET /healthz": true, "GET /readyz": true,
	"GET /openapi.json": true, "GET /openapi.yaml": true, "GET /asyncapi.yaml": true, "GET /seri.js": true, "GET /seri.d.ts": true,
	"OPTIONS /v1/events": true, "OPTIONS /v1/tasks/{id}": true, "GET /docs": true, "GET /docs/start.js": true, "GET /docs/swagger-ui-bundle.js": true, "GET /docs/swagger-ui.css": true, "GET /problems/{code}": true,
	"/": true,
}

// liveRoutes are the gateway's, which lets in by tokens, too, if there are any.
var liveRoutes = map[string]bool{"GET /v1/events": true, "GET /v1/ws": true}

// guard puts before a handler what asks a request who it is.
func (s *server) guard(pattern string, handler http.Handler) http.Handler {
	if openRoutes[pattern] {
		return handler
	}
	keyed := handler
	if !s.config.Insecure {
		keyed = s.requireKey(handler)
	}
	switch {
	case liveRoutes[pattern] && s.config.Tokens != nil:
		return s.allowOrigins(s.admitLive(handler))
	case pattern == readRoute && s.config.Tokens != nil:
		return s.allowOrigins(s.admitHolder(handler, keyed))
	}
	return keyed
}

// HandleFunc adds a route. It is the method by which huma adds its own.
func (t *routes) HandleFunc(pattern string, handler func(http.ResponseWriter, *http.Request)) {
	t.Handle(pattern, http.HandlerFunc(handler))
}

// Handle adds a route.
func (t *routes) Handle(pattern string, handler http.Handler) {
	handler = t.server.guard(pattern, handler)
	if strings.Contains(pattern, " ") {
		t.taken = append(t.taken, pattern)
	}
	if pattern != "/" { // the page sets its own
		handler = answerHeaders(handler)
	}
	t.ServeMux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		requestFrom(r.Context()).pattern = pattern
		handler.ServeHTTP(w, r)
	})
}

// answerHeaders sets what every answer of the API carries: it is never stored, never sniffed, never framed, and runs nothing.
func answerHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		next.ServeHTTP(w, r)
	})
}

// elsewhere answers what no route takes: 405 if another method would be taken at this path, otherwise 404 or, outside
// of /v1, the page. A program, which does not accept HTML, gets a problem for what the page does not have either.
func (t *routes) elsewhere(page http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if allowed := t.methods(r); len(allowed) > 0 {
			answerHeaders(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				kindMethod.problem(r.Method+" is not possible here; "+strings.Join(allowed, ", ")+" is").
					withHeader("Allow", strings.Join(allowed, ", ")).write(w)
			})).ServeHTTP(w, r)
			return
		}
		if page == nil {
			noRoute(w, r)
			return
		}
		if !strings.Contains(strings.Join(r.Header.Values("Accept"), ","), "text/html") { // a program
			w = &pageWriter{ResponseWriter: w, r: r}
		}
		page.ServeHTTP(w, r)
	})
}

func noRoute(w http.ResponseWriter, r *http.Request) {
	answerHeaders(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		kindNoRoute.problem("no route matches " + quote(r.URL.Path) + "; GET /openapi.json lists them").write(w)
	})).ServeHTTP(w, r)
}

// pageWriter replaces the page's 404, which is for people, by a problem.
type pageWriter struct {
	http.ResponseWriter
	r        *http.Request
	replaced bool
}

func (w *pageWriter) WriteHeader(status int) {
	if status != http.StatusNotFound {
		w.ResponseWriter.WriteHeader(status)
		return
	}
	w.replaced = true
	for _, name := range []string{"Content-Length", "Content-Encoding", "ETag", "Last-Modified"} {
		w.Header().Del(name) // of the body that is not sent
	}
	noRoute(w.ResponseWriter, w.r)
}

func (w *pageWriter) Write(b []byte) (int, error) {
	if w.replaced {
		return len(b), nil
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap serves [http.ResponseController].
func (w *pageWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// methods lists the methods that some route takes at the path of r.
func (t *routes) methods(r *http.Request) []string {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		probe := r.Clone(r.Context())
		probe.Method = method
		if _, pattern := t.Handler(probe); slices.Contains(t.taken, pattern) {
			allowed = append(allowed, method)
		}
	}
	return allowed
}
