package api

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// The limits of a request. [seri] has those of a task: payload 256 KiB, headers 16 KiB, names 256 bytes.
const (
	maxTaskBytes  = 1 << 20 // body of one task
	maxBatchBytes = 8 << 20 // body of a batch: enough for 1,000 tasks of 8 KiB, little enough to hold a hundred at once
	maxBatchTasks = 1000    // what one call of the store takes
	maxDepth      = 32      // of JSON, payload included
	maxSeconds    = 10 * 366 * 24 * 3600

	bodyTimeout  = 30 * time.Second // for the body to arrive
	storeTimeout = 10 * time.Second // for all calls of one request to the store
)

// bodyKey is where takeBody leaves a request's body.
type bodyKey struct{}

// takeBody is the middleware of an operation that has a body: it refuses what is not declared as JSON, is too large or
// too slow, and hands the bytes on. The bytes are the request's own, so that tasks may keep parts of them.
func takeBody(maxBytes int64) func(huma.Context, func(huma.Context)) {
	return takeBodyAs(maxBytes, "application/json")
}

// takeBodyIfAny is takeBody for an operation whose body may be left out.
func takeBodyIfAny(ctx huma.Context, next func(huma.Context)) {
	if r, _ := humago.Unwrap(ctx); r.ContentLength == 0 {
		next(ctx)
		return
	}
	takeBody(maxTaskBytes)(ctx, next)
}

// takeBodyAs is takeBody for certain media types, the first of which is the usual one.
func takeBodyAs(maxBytes int64, mediaTypes ...string) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		r, w := humago.Unwrap(ctx)
		if p := checkEncoding(r.Header.Get("Content-Encoding")); p != nil {
			p.write(w)
			return
		}
		if p := checkContentType(r.Header.Get("Content-Type"), mediaTypes); p != nil {
			p.write(w)
			return
		}
		// A server without deadlines on its connections (a recorder in a test) cannot set one; then none is needed.
		connection := http.NewResponseController(w)
		_ = connection.SetReadDeadline(time.Now().Add(bodyTimeout))
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBytes))
		_ = connection.SetReadDeadline(time.Time{})
		if err != nil {
			bodyProblem(err, maxBytes).write(w)
			return
		}
		next(huma.WithValue(ctx, bodyKey{}, body))
	}
}

func bodyProblem(err error, maxBytes int64) *Problem {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		fault := newFault("body", nil, fmt.Sprintf("has more than %d bytes, which is the limit here", maxBytes))
		return kindTooLarge.problem(fault.Location+" "+fault.Message, fault)
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return kindTimeout.problem(fmt.Sprintf("the body did not arrive within %v", bodyTimeout))
	}
	return kindMalformed.problem("the body broke off before its end")
}

// checkEncoding refuses a compressed body, which would be read as if it were none. Tasks are small, and a body that has to be
// unpacked to know its size is a way to exhaust a server.
func checkEncoding(header string) *Problem {
	if header == "" || strings.EqualFold(header, "identity") {
		return nil
	}
	return kindMediaType.problem(fmt.Sprintf("the body is encoded with %s; send it as it is", quote(header)),
		newFault("header.Content-Encoding", header, "must be left out")).withHeader("Accept-Encoding", "identity")
}

func checkContentType(header string, mediaTypes []string) *Problem {
	want := `; send "Content-Type: ` + mediaTypes[0] + `"`
	if header == "" {
		return kindMediaType.problem("the request has no Content-Type" + want)
	}
	mediaType, params, err := mime.ParseMediaType(header)
	if err != nil || !slices.Contains(mediaTypes, mediaType) {
		return kindMediaType.problem(fmt.Sprintf("the Content-Type is %q", header)+want, newFault("header.Content-Type", header, "must be "+strings.Join(mediaTypes, " or ")))
	}
	if charset, ok := params["charset"]; ok && !strings.EqualFold(charset, "utf-8") {
		return kindMediaType.problem(fmt.Sprintf("the charset is %q; JSON is UTF-8", charset), newFault("header.Content-Type", header, "must have no charset but utf-8"))
	}
	return nil
}

// checkReachable refuses names that no URL can carry: as a path's segment they mean "here" and "up".
func checkReachable(name string) error {
	if name == "." || name == ".." {
		return fmt.Errorf("is %q, which cannot stand in a URL; choose another name", name)
	}
	return nil
}
