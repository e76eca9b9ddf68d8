package api

import (
	"net/http"
	"slices"
)

// allowOrigins lets pages of the configured origins read the answers of a route. Cookies are not allowed for: a page of
// another origin sends its token itself.
func (s *server) allowOrigins(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.nameOrigin(w, r)
		next.ServeHTTP(w, r)
	})
}

func (s *server) nameOrigin(w http.ResponseWriter, r *http.Request) (allowed bool) {
	w.Header().Add("Vary", "Origin")
	origin := r.Header.Get("Origin")
	if !slices.Contains(s.config.Origins, origin) {
		return false
	}
	w.Header().Set("Access-Control-Allow-Origin", origin)
	w.Header().Set("Access-Control-Expose-Headers", "Retry-After")
	return true
}

// preflight answers the question that a browser asks before it sends a token to another origin.
func (s *server) preflight(w http.ResponseWriter, r *http.Request) {
	if !s.nameOrigin(w, r) {
		kindCrossOrigin.problem("pages of the origin " + quote(r.Header.Get("Origin")) + " may not read this").write(w)
		return
	}
	w.Header().Set("Access-Control-Allow-Methods", http.MethodGet)
	w.Header().Set("Access-Control-Allow-Headers", "Authorization, Last-Event-ID")
	w.Header().Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
}
