package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/api"
	"github.com/seri-queue/seri/internal/wire"
)

const (
	callTimeout    = 30 * time.Second // of a call that answers at once; the server gives itself 10 s
	maxAnswerBytes = 256 << 20        // of a page of 200 tasks with their payloads and results
)

// Server is an API that is reached by HTTP. It is safe for concurrent use.
type Server struct {
	base string // without a slash at its end
	key  string
	http *http.Client
}

// Open returns the API at a base URL. key is the API key; empty: none is sent. It connects to nothing yet.
func Open(base, key string) (*Server, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("--api-url (SERI_API_URL) is %q, must be a URL such as http://127.0.0.1:8080", base)
	}
	if strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("--api-key (SERI_API_KEY) holds white space or letters beyond ASCII, so it is no key; \"seri key\" makes one")
	}
	return &Server{
		base: strings.TrimRight(base, "/"),
		key:  key,
		http: &http.Client{
			// A redirect would turn a POST into a GET, or carry the key elsewhere.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// Enqueue stores a task.
func (s *Server) Enqueue(ctx context.Context, request map[string]any) (t wire.Task, err error) {
	return t, s.call(ctx, http.MethodPost, "/v1/tasks", request, &t)
}

// Task looks at a task; an empty queue stands for all.
func (s *Server) Task(ctx context.Context, queue, id string) (t wire.Task, err error) {
	return t, s.call(ctx, http.MethodGet, taskPath(queue, id), nil, &t)
}

// Revoke withdraws a task. The answer is active if a worker has yet to let go of it.
func (s *Server) Revoke(ctx context.Context, queue, id string) (t wire.Task, err error) {
	return t, s.call(ctx, http.MethodDelete, taskPath(queue, id), nil, &t)
}

// Queues lists the queues.
func (s *Server) Queues(ctx context.Context) ([]api.Queue, error) {
	var all api.Queues
	return all.Queues, s.call(ctx, http.MethodGet, "/v1/queues", nil, &all)
}

// Types lists the types that can be enqueued.
func (s *Server) Types(ctx context.Context) ([]api.Type, error) {
	var all api.Types
	return all.Types, s.call(ctx, http.MethodGet, "/v1/types", nil, &all)
}

// maxPage is the most tasks that the API returns at once.
const maxPage = 200

// Tasks lists up to limit tasks of a queue in one state. more tells that there are others.
func (s *Server) Tasks(ctx context.Context, queue string, state seri.State, limit int) (tasks []wire.Task, more bool, err error) {
	cursor := ""
	for {
		query := url.Values{"state": {string(state)}, "limit": {strconv.Itoa(min(maxPage, limit-len(tasks)))}}
		if cursor != "" {
			query.Set("cursor", cursor)
		}
		var page api.Page
		if err := s.call(ctx, http.MethodGet, "/v1/queues/"+url.PathEscape(queue)+"/tasks?"+query.Encode(), nil, &page); err != nil {
			return nil, false, err
		}
		tasks, cursor = append(tasks, page.Tasks...), page.Next
		if cursor == "" || len(tasks) >= limit {
			return tasks, cursor != "", nil
		}
	}
}

// Pause keeps workers from taking tasks out of a queue.
func (s *Server) Pause(ctx context.Context, queue string) (q api.Queue, err error) {
	return q, s.call(ctx, http.MethodPost, "/v1/queues/"+url.PathEscape(queue)+"/pause", nil, &q)
}

// Resume ends a pause.
func (s *Server) Resume(ctx context.Context, queue string) (q api.Queue, err error) {
	return q, s.call(ctx, http.MethodPost, "/v1/queues/"+url.PathEscape(queue)+"/resume", nil, &q)
}

func taskPath(queue, id string) string {
	path := "/v1/tasks/" + url.PathEscape(id)
	if queue != "" {
		path += "?queue=" + url.QueryEscape(queue)
	}
	return path
}

// call makes one request, with body as JSON unless it is nil, and decodes the answer.
func (s *Server) call(ctx context.Context, method, path string, body, into any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var encoded io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("encode the request: %w", err)
		}
		encoded = bytes.NewReader(text)
	}
	answer, err := s.do(ctx, method, path, encoded, nil)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if err := json.NewDecoder(io.LimitReader(answer.Body, maxAnswerBytes)).Decode(into); err != nil {
		if ctx.Err() != nil || isNet(err) || errors.Is(err, io.ErrUnexpectedEOF) {
			return s.unreachable(err)
		}
		return fmt.Errorf("%s does not answer as Seri's API does: %s %s: %w", s.base, method, path, err)
	}
	return nil
}

// do makes one request and returns its answer, if it is a success. The caller closes the body.
func (s *Server) do(ctx context.Context, method, path string, body io.Reader, header http.Header) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, s.base+path, body)
	if err != nil {
		return nil, fmt.Errorf("--api-url (SERI_API_URL) is %q: %w", s.base, err)
	}
	maps.Copy(r.Header, header)
	r.Header.Set("User-Agent", "seri-cli")
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if s.key != "" {
		r.Header.Set("Authorization", "Bearer "+s.key)
	}
	answer, err := s.http.Do(r)
	if err != nil {
		return nil, s.unreachable(err)
	}
	if answer.StatusCode/100 == 2 {
		return answer, nil
	}
	defer answer.Body.Close()
	if answer.StatusCode/100 == 3 {
		return nil, fmt.Errorf("%s redirects to %s; set SERI_API_URL to where the API is", s.base, show(answer.Header.Get("Location")))
	}
	return nil, s.refusal(answer)
}

// refusal reads an answer that is no success.
func (s *Server) refusal(answer *http.Response) error {
	mediaType, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	refusal := &Refusal{}
	err := json.NewDecoder(io.LimitReader(answer.Body, 4<<20)).Decode(&refusal.Problem)
	if mediaType != "application/problem+json" || err != nil {
		if answer.StatusCode >= 500 { // a load balancer whose servers are away
			return s.unreachable(fmt.Errorf("it answers %s", answer.Status))
		}
		return fmt.Errorf("%s does not answer as Seri's API does (%s, %s); is SERI_API_URL right?", s.base, answer.Status, show(mediaType))
	}
	refusal.Status = answer.StatusCode
	return refusal
}

// Unreachable tells that no API has answered.
type Unreachable struct {
	Base string
	// NotSent: the request has not left; otherwise it may have been carried out.
	NotSent bool
	Err     error
}

func (e *Unreachable) Error() string {
	cause := e.Err
	if wrapped, ok := errors.AsType[*url.Error](cause); ok {
		cause = wrapped.Err // without the method and the URL
	}
	hint := "is SERI_API_URL right?"
	if u, err := url.Parse(e.Base); err == nil && isLoopback(u.Hostname()) {
		hint = "is `seri dev` running? If it has another address, set SERI_API_URL, or SERI_HTTP_ADDR here too"
	}
	return fmt.Sprintf("the API at %s cannot be reached: %s; %s", e.Base, show(cause.Error()), hint)
}

func (e *Unreachable) Unwrap() error { return e.Err }

func (s *Server) unreachable(err error) error {
	op, ok := errors.AsType[*net.OpError](err)
	return &Unreachable{Base: s.base, NotSent: ok && op.Op == "dial", Err: err}
}

func isNet(err error) bool {
	_, ok := errors.AsType[net.Error](err)
	return ok
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
