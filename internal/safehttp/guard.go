package safehttp

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// guard is the outer layer: it sees every request, redirected ones too, before a connection is chosen,
// and caps what comes back. Addresses are the affair of [gate], beneath the transport.
type guard struct {
	transport    *http.Transport
	maxBodyBytes int64 // negative: no limit
}

func (g *guard) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := checkURL(req.URL); err != nil {
		if req.Body != nil {
			req.Body.Close() // a RoundTripper closes it, whatever it returns
		}
		return nil, err
	}
	resp, err := g.transport.RoundTrip(req)
	if err != nil || g.maxBodyBytes < 0 {
		return resp, err
	}
	if resp.ContentLength > g.maxBodyBytes && req.Method != http.MethodHead {
		resp.Body.Close()
		return nil, &TooLargeError{Limit: g.maxBodyBytes}
	}
	resp.Body = &cappedBody{ReadCloser: resp.Body, left: g.maxBodyBytes, limit: g.maxBodyBytes}
	return resp, nil
}

// CloseIdleConnections lets [http.Client.CloseIdleConnections] reach the transport.
func (g *guard) CloseIdleConnections() { g.transport.CloseIdleConnections() }

func checkURL(u *url.URL) error {
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return &BlockedError{
			Target: u.Redacted(),
			Reason: fmt.Sprintf("its scheme is %q", u.Scheme),
			Remedy: "write an http or https URL",
		}
	case u.Hostname() == "":
		return &BlockedError{
			Target: u.Redacted(),
			Reason: "it names no host",
			Remedy: "write it as https://host/path",
		}
	}
	return nil
}

// cappedBody is a body that ends with a [*TooLargeError] where the limit is passed.
// [http.MaxBytesReader] would be the same but for its error, which talks of requests.
type cappedBody struct {
	io.ReadCloser
	left, limit int64
}

func (b *cappedBody) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, &TooLargeError{Limit: b.limit}
	}
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1] // one more than may come, to tell "exactly the limit" from "more"
	}
	n, err := b.ReadCloser.Read(p)
	if int64(n) <= b.left {
		b.left -= int64(n)
		return n, err
	}
	n = int(b.left)
	b.left = -1
	return n, &TooLargeError{Limit: b.limit}
}
