package remote

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"strings"

	"github.com/seri-queue/seri/internal/api"
	"github.com/seri-queue/seri/internal/cli/term"
)

// Refusal is a problem (RFC 9457) that the API has answered with.
type Refusal struct {
	api.Problem
}

// Code is the last part of the problem's type, such as "unknown-type"; "blank" if it has none.
func (r *Refusal) Code() string { return path.Base(cmp.Or(r.Type, "blank")) }

// Passing reports whether another attempt may find what this one did not.
func (r *Refusal) Passing() bool {
	return r.Status >= 500 || r.Status == http.StatusTooManyRequests || r.Status == http.StatusRequestTimeout
}

// Error says what is wrong in words, each fault with its field in a line of its own.
func (r *Refusal) Error() string {
	text := cmp.Or(r.Detail, r.Title, http.StatusText(r.Status))
	if len(r.Errors) == 1 {
		text = faultText(r.Errors[0])
	} else if len(r.Errors) > 1 {
		text = fmt.Sprintf("%d things are wrong with the request:", len(r.Errors))
		for _, f := range r.Errors {
			text += "\n" + faultText(f)
		}
	}
	if r.Task != nil {
		text += fmt.Sprintf("; it is %s", r.Task.State)
	}
	if r.Status == http.StatusUnauthorized {
		text += "; set SERI_API_KEY to a key that the API knows (`seri key` makes one)"
	}
	return term.Text(text, "  ")
}

// faultText says what is wrong in one place: payload.sizes[0] ("a") is a string, must be an integer.
func faultText(f api.Fault) string {
	location := strings.TrimPrefix(f.Location, "body.")
	value := ""
	if encoded, err := json.Marshal(f.Value); err == nil && f.Value != nil && !strings.Contains(f.Message, string(encoded)) {
		value = " (" + string(encoded) + ")"
	}
	return strings.TrimSpace(location + value + " " + f.Message)
}

// show makes what a server or a network has said fit for an error message.
func show(text string) string { return term.Truncate(term.Line(cmp.Or(text, "nothing")), 300) }
