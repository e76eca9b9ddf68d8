// Package safehttp makes an [http.Client] for URLs that come from outside: it fetches what is public and nothing else,
// so that nobody can use a worker to reach the network that the worker stands in (server-side request forgery).
//
// Start with [New]; its zero [Config] is the strict one. What the client guarantees, for the first request and for
// every redirect after it:
//
//   - Only http and https, only ports 80 and 443.
//   - Only public addresses. The check is on the address that is about to be connected to, after the name was looked
//     up and in the same call (net.Dialer's control hook), so a name that changes its mind between check and use
//     (DNS rebinding) gains nothing. See [Public] for what counts as public.
//   - No proxy: HTTP_PROXY and its kin are ignored, because a proxy would do the looking up.
//   - At most [MaxRedirects] redirects. Headers other than a harmless few do not travel to another origin.
//   - Limits on header bytes, body bytes and time.
//
// An allow-list ([ParseAllowList]) opens single hosts, networks and ports beyond that; schemes stay closed.
//
// Not promised: a public server may still relay a request inwards by itself. A network policy that keeps the worker
// from the inside belongs beside this package, not in place of it.
package safehttp

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"
)

// MaxRedirects is how many redirects a client follows before it gives up with [ErrTooManyRedirects].
const MaxRedirects = 5

// Config tunes a client. The zero value is ready to use and strict.
type Config struct {
	// Allow opens hosts, networks and ports that are closed otherwise; see [ParseAllowList]. Default: nothing.
	Allow []string
	// Timeout limits one exchange from the lookup to the last byte of the body, redirects included. Default: 1 min.
	Timeout time.Duration
	// MaxHeaderBytes limits the header of a response. Default: 64 KiB.
	MaxHeaderBytes int64
	// MaxBodyBytes limits the body of a response; reading beyond it gives a [*TooLargeError]. Default: 32 MiB.
	// Negative: no limit, for callers that stream.
	MaxBodyBytes int64
	// Resolver looks names up. Default: [net.DefaultResolver].
	Resolver *net.Resolver

	// connecting is told every address that has passed the checks; its error prevents the connection. For tests.
	connecting func(netip.AddrPort) error
}

func (c Config) withDefaults() (Config, error) {
	c.Timeout = cmp.Or(c.Timeout, time.Minute)
	c.MaxHeaderBytes = cmp.Or(c.MaxHeaderBytes, 64<<10)
	c.MaxBodyBytes = cmp.Or(c.MaxBodyBytes, 32<<20)
	c.Resolver = cmp.Or(c.Resolver, net.DefaultResolver)
	if c.connecting == nil {
		c.connecting = func(netip.AddrPort) error { return nil }
	}

	var errs []error
	if c.Timeout < 0 {
		errs = append(errs, fmt.Errorf("option Timeout is %v, must be positive", c.Timeout))
	}
	if c.MaxHeaderBytes < 0 {
		errs = append(errs, fmt.Errorf("option MaxHeaderBytes is %d, must be positive", c.MaxHeaderBytes))
	}
	return c, errors.Join(errs...)
}

// New returns a client that keeps the promises of this package. The error lists every fault of the configuration.
func New(cfg Config) (*http.Client, error) {
	cfg, err := cfg.withDefaults()
	allow, allowErr := ParseAllowList(cfg.Allow)
	if err := errors.Join(err, allowErr); err != nil {
		return nil, err
	}

	gate := &gate{
		allow:      allow,
		dialer:     net.Dialer{Timeout: 10 * time.Second, Resolver: cfg.Resolver},
		connecting: cfg.connecting,
	}
	return &http.Client{
		Timeout:       cfg.Timeout,
		CheckRedirect: checkRedirect,
		Transport: &guard{
			maxBodyBytes: cfg.MaxBodyBytes,
			transport: &http.Transport{
				Proxy:                  nil, // see the package comment
				DialContext:            gate.dial,
				ForceAttemptHTTP2:      true, // a dial function of our own would turn it off
				TLSHandshakeTimeout:    10 * time.Second,
				IdleConnTimeout:        30 * time.Second,
				MaxIdleConnsPerHost:    4,
				MaxResponseHeaderBytes: cfg.MaxHeaderBytes,
				// The bytes counted are the bytes that travel: no bomb unfolds behind the limit,
				// and Content-Length stays there to report progress by.
				DisableCompression: true,
			},
		},
	}, nil
}
