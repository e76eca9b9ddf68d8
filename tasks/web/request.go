// Package web holds tasks that talk to the web. [Request] calls a URL: the way in which an application in any language
// offloads work to itself, or delivers a webhook, with retries, a schedule and a result that can be watched.
package web

import (
	"time"

	"github.com/seri-queue/seri"
)

// Request makes one HTTP request and returns the answer.
//
// Any answer with a status below 500, except 429, is a success of the task, and the result carries the status: the
// request was delivered and answered, and whether a 404 is bad news is for the caller to say ([Response.OK] is there to
// ask). 429, every 5xx, and a network that fails are tried again, no sooner than Retry-After asks for. A URL that leads
// to a private network, an argument that makes no sense: permanent.
//
// A request may arrive more than once, as with every queue that does not lose tasks. So each one that may change
// something (all but GET, HEAD and OPTIONS) carries
//
//	Idempotency-Key: <the task's ID>     the same in every attempt; a header of the caller's own goes before it
//	Seri-Token: <the fencing token>      rises with every attempt; refuse lower than the highest seen, and a late
//	                                     request of an attempt that was given up changes nothing
//
// GET and HEAD follow up to five redirects; for other methods a redirect is the answer, because following
// would turn most of them into a GET.
var Request = seri.NewTask[RequestArgs, Response]("http.request", seri.Timeout(Timeout))

// Timeout limits one attempt, unless the task is enqueued with a shorter one. Ten minutes is what comparable services
// grant (Google's Cloud Tasks), and long enough for work behind the URL to be done before it answers.
const Timeout = 10 * time.Minute

// MaxBodyBytes is how much of the answer's body is kept.
const MaxBodyBytes = 64 << 10

// RequestArgs says what to send.
type RequestArgs struct {
	URL     string            `json:"url" jsonschema:"The http or https URL to call. It must lead to a public address unless the worker's allow-list says otherwise." format:"http-url"`
	Method  string            `json:"method,omitempty" jsonschema:"GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS. Default: GET, or POST if there is a body." enum:"GET,HEAD,POST,PUT,PATCH,DELETE,OPTIONS"`
	Headers map[string]string `json:"headers,omitempty" jsonschema:"Headers to send. Those that belong to the connection (Host, Connection, Content-Length, …) are refused."`
	Body    string            `json:"body,omitempty" jsonschema:"The body to send, as text. Without a Content-Type header it is sent as application/json if it is JSON, else as text/plain."`
}

// Response is the answer.
type Response struct {
	URL        string            `json:"url" jsonschema:"The URL that answered: after redirects, and without credentials."`
	Status     int               `json:"status" jsonschema:"The HTTP status."`
	OK         bool              `json:"ok" jsonschema:"Whether the status is between 200 and 299."`
	Headers    map[string]string `json:"headers" jsonschema:"Selected headers of the answer, in lower case."`
	Body       string            `json:"body,omitempty" jsonschema:"The first 64 KiB of the body, if it is text in UTF-8."`
	BodyBase64 []byte            `json:"body_base64,omitempty" jsonschema:"The first 64 KiB of any other body, in Base64."`
	Truncated  bool              `json:"truncated,omitempty" jsonschema:"Whether the body was longer."`
}
