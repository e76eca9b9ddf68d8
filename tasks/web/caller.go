package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/tasks/internal/fetch"
)

// Caller is what a worker needs to handle [Request].
type Caller struct {
	// Client sends the requests; it is made by package safehttp.
	Client *http.Client
}

// Do handles [Request].
func (c *Caller) Do(ctx context.Context, args RequestArgs) (Response, error) {
	req, err := newRequest(ctx, args)
	if err != nil {
		return Response{}, seri.Permanent(err)
	}
	client := *c.Client
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	}

	begun := time.Now()
	resp, err := client.Do(req)
	if err != nil {
		return Response{}, fetch.Failure(err)
	}
	seri.Log(ctx).Info("the server answered", "method", req.Method, "status", resp.StatusCode, "after", time.Since(begun)) // URL and headers may hold secrets
	if fetch.Unsettled(resp.StatusCode) {
		return Response{}, fetch.StatusError(resp)
	}
	defer resp.Body.Close()
	return answer(resp)
}

func newRequest(ctx context.Context, args RequestArgs) (*http.Request, error) {
	method := strings.ToUpper(args.Method)
	if method == "" {
		method = http.MethodGet
		if args.Body != "" {
			method = http.MethodPost
		}
	}
	if !slices.Contains(methods, method) {
		return nil, fmt.Errorf("method %q is not one of %s", args.Method, strings.Join(methods, ", "))
	}
	req, err := http.NewRequestWithContext(ctx, method, args.URL, strings.NewReader(args.Body))
	if e, ok := errors.AsType[*url.Error](err); ok {
		return nil, fmt.Errorf("url cannot be read: %w", e.Err) // without the URL itself, which may hold a password
	} else if err != nil {
		return nil, err
	}

	if err := setHeaders(req.Header, args.Headers); err != nil {
		return nil, err
	}

	setDefault(req.Header, "User-Agent", "seri")
	if args.Body != "" {
		setDefault(req.Header, "Content-Type", contentType(args.Body))
	}
	if e, ok := seri.ExecutionFrom(ctx); ok && !slices.Contains(safeMethods, method) {
		setDefault(req.Header, "Idempotency-Key", e.ID)
		req.Header.Set("Seri-Token", strconv.FormatUint(e.Token, 10))
	}
	return req, nil
}

// setHeaders adds the caller's headers to h, or tells all that is wrong with them: net/http would find out only
// while it sends, and that looks like a fault of the network.
func setHeaders(h http.Header, headers map[string]string) error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		canonical := http.CanonicalHeaderKey(name)
		switch {
		case name == "" || strings.ContainsFunc(name, func(r rune) bool { return !isTokenRune(r) }):
			fault("header %q is not a header name", name)
		case strings.ContainsFunc(headers[name], func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
			fault("header %q has a control character in its value", name)
		case slices.Contains(connectionHeaders, canonical) || strings.HasPrefix(canonical, "Proxy-"):
			fault("header %q belongs to the connection and cannot be set", name)
		case len(h.Values(canonical)) > 0:
			fault("header %q is given twice", name)
		default:
			h.Set(canonical, headers[name])
		}
	}
	return errors.Join(errs...)
}

// isTokenRune tells what a header's name is made of (RFC 9110, section 5.6.2).
func isTokenRune(r rune) bool {
	return '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || strings.ContainsRune("!#$%&'*+-.^_`|~", r)
}

var (
	methods     = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
	safeMethods = []string{"GET", "HEAD", "OPTIONS"}

	// Of the connection, or (Host) a way past an allow-list entry to another site behind the same address.
	connectionHeaders = []string{
		"Connection", "Content-Length", "Expect", "Host", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	}

	// Of an answer's headers those that say something about it. Not Set-Cookie: a result is read by more people
	// than a session is meant for.
	answerHeaders = []string{
		"Cache-Control", "Content-Encoding", "Content-Language", "Content-Length", "Content-Type", "Date", "Etag", "Expires",
		"Last-Modified", "Link", "Location", "Retry-After", "Server", "X-Request-Id",
	}
)

func setDefault(h http.Header, name, value string) {
	if h.Get(name) == "" {
		h.Set(name, value)
	}
}

func contentType(body string) string {
	if trimmed := strings.TrimSpace(body); (strings.HasPrefix(trimmed, "{") || strings.HasPrefix(trimmed, "[")) && json.Valid([]byte(body)) {
		return "application/json"
	}
	return "text/plain; charset=utf-8"
}

// answer reads what is kept of resp.
func answer(resp *http.Response) (Response, error) {
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxBodyBytes+1))
	if err != nil {
		return Response{}, fetch.Failure(fmt.Errorf("read answer of %s: %w", resp.Request.URL.Redacted(), err))
	}
	a := Response{
		URL:     resp.Request.URL.Redacted(),
		Status:  resp.StatusCode,
		OK:      resp.StatusCode >= 200 && resp.StatusCode <= 299,
		Headers: make(map[string]string),
	}
	for _, name := range answerHeaders {
		if values := resp.Header.Values(name); len(values) > 0 {
			a.Headers[strings.ToLower(name)] = strings.ToValidUTF8(strings.Join(values, ", "), "\uFFFD")
		}
	}

	if len(body) > MaxBodyBytes {
		body, a.Truncated = body[:MaxBodyBytes], true
	}
	text := body
	if a.Truncated {
		text = wholeRunes(body)
	}
	if utf8.Valid(text) {
		a.Body = string(text)
	} else {
		a.BodyBase64 = body
	}
	return a, nil
}

// wholeRunes cuts off the rune that the end of b has divided, if it has.
func wholeRunes(b []byte) []byte {
	for i := len(b) - 1; i >= max(0, len(b)-utf8.UTFMax); i-- {
		if utf8.RuneStart(b[i]) {
			if !utf8.FullRune(b[i:]) {
				return b[:i]
			}
			break
		}
	}
	return b
}
