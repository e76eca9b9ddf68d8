package safehttp

import (
	"net/http"
	"net/url"
)

// portable lists the headers that may follow a redirect to another origin. All others may be secrets:
// a caller's X-Api-Key is one as much as Authorization, and a Referer holds the first URL's query.
var portable = []string{"Accept", "Accept-Language", "If-Modified-Since", "If-None-Match", "Range", "User-Agent"}

// checkRedirect is the client's say before each redirect; where it leads is checked like any other request.
func checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) > MaxRedirects {
		return ErrTooManyRedirects
	}
	// Once a foreign origin was involved, its word alone must not bring the headers back home.
	home, left := origin(via[0].URL), false
	for _, r := range append(via[1:len(via):len(via)], req) {
		left = left || origin(r.URL) != home
	}
	if left {
		kept := make(http.Header)
		for _, name := range portable {
			if values := req.Header.Values(name); len(values) > 0 {
				kept[name] = values
			}
		}
		req.Header = kept
	}
	return nil
}

func origin(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Scheme + "://" + normalHost(u.Hostname()) + ":" + port
}
