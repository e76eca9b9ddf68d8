package api

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// guardLoopback is what stands between a server without API keys and the pages of other sites that its user visits. A
// browser lets any page send requests to localhost. So the Host must be a loopback name, which DNS rebinding
// cannot forge, and what changes something must not come from another origin.
func guardLoopback(next http.Handler) http.Handler {
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(answerHeaders(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kindCrossOrigin.problem("the request comes from the origin " + quote(r.Header.Get("Origin"))).write(w)
	})))
	protected := protection.Handler(next)
	misdirected := answerHeaders(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kindMisdirected.problem("the Host is " + quote(r.Host) + "; without API keys the server answers to localhost, 127.0.0.1 and [::1] only").write(w)
	}))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !loopback(r.Host) {
			misdirected.ServeHTTP(w, r)
			return
		}
		protected.ServeHTTP(w, r)
	})
}

// loopback reports whether a Host header names this machine and nothing else.
func loopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}
