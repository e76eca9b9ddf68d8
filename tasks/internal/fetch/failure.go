// Package fetch opens what tasks are given as a source, an http or https URL or a file, and says for every way in
// which that can go wrong whether another attempt makes sense.
package fetch

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/safehttp"
)

// maxRetryAfter keeps a server from parking a task for years.
const maxRetryAfter = 24 * time.Hour

// Failure marks err for the worker: what package safehttp refuses is permanent, the network's doing is tried again.
// Failure(nil) is nil.
func Failure(err error) error {
	if safehttp.Refused(err) {
		return seri.Permanent(err)
	}
	return err
}

// Unsettled reports whether a status says "not now" rather than giving an answer: 429 and every 5xx.
func Unsettled(status int) bool {
	return status == http.StatusTooManyRequests || status >= 500
}

// StatusError turns a response that is not what was hoped for into an error with the status and the first words of the
// body, and closes the body. An [Unsettled] status is worth another attempt, no sooner than Retry-After says
// (within a day); any other is permanent.
func StatusError(resp *http.Response) error {
	defer resp.Body.Close()
	err := fmt.Errorf("%s %s: status %s%s", resp.Request.Method, resp.Request.URL.Redacted(), resp.Status, excerpt(resp.Body))
	if !Unsettled(resp.StatusCode) {
		return seri.Permanent(err)
	}
	if after, ok := safehttp.RetryAfter(resp.Header, time.Now()); ok {
		return seri.RetryAfter(err, min(after, maxRetryAfter))
	}
	return err
}

// excerpt returns the first words of a body as ": words", fit for one line of a log; empty for none.
func excerpt(body io.Reader) string {
	const most = 200
	data, _ := io.ReadAll(io.LimitReader(body, most)) // it is only an explanation: what cannot be read is left out
	text := strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return ' '
		}
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, string(data))
	text = strings.Join(strings.Fields(text), " ")
	if text == "" {
		return ""
	}
	return ": " + text
}
