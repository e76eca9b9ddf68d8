package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/safehttp"
	"github.com/seri-queue/seri/seritest"
	"github.com/seri-queue/seri/tasks/web"
)

// newCaller returns a caller for which this machine's ports are open.
func newCaller(t *testing.T) *web.Caller {
	t.Helper()
	client, err := safehttp.New(safehttp.Config{Allow: []string{"127.0.0.1:*"}, MaxBodyBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	return &web.Caller{Client: client}
}

func serve(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s
}

// echo answers with the request, as the server has seen it.
func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Set-Cookie", "session=secret")
	w.Header().Set("X-Request-Id", "r1")
	json.NewEncoder(w).Encode(map[string]any{"method": r.Method, "headers": r.Header, "body": string(body)})
}

type echoed struct {
	Method  string
	Headers http.Header
	Body    string
}

func TestRequestSendsWhatItIsTold(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		args  web.RequestArgs
		check func(echoed) error
	}{
		"GET by default": {
			check: func(e echoed) error {
				return want(e.Method == "GET" && e.Headers.Get("Idempotency-Key") == "" && e.Headers.Get("Seri-Token") == "")
			},
		},
		"POST if there is a body, as JSON if it is JSON": {
			args: web.RequestArgs{Body: ` {"a": 1}`},
			check: func(e echoed) error {
				return want(e.Method == "POST" && e.Body == ` {"a": 1}` && e.Headers.Get("Content-Type") == "application/json")
			},
		},
		"a body that is no JSON, as text": {
			args:  web.RequestArgs{Body: `{"a": 1`},
			check: func(e echoed) error { return want(e.Headers.Get("Content-Type") == "text/plain; charset=utf-8") },
		},
		"the caller's own headers": {
			args: web.RequestArgs{Method: "put", Body: "x", Headers: map[string]string{"content-type": "text/csv", "X-Api-Key": "k", "Idempotency-Key": "mine"}},
			check: func(e echoed) error {
				return want(e.Method == "PUT" && e.Headers.Get("Content-Type") == "text/csv" && e.Headers.Get("X-Api-Key") == "k" && e.Headers.Get("Idempotency-Key") == "mine")
			},
		},
		"who asks, and under which token": {
			args: web.RequestArgs{Method: "DELETE"},
			check: func(e echoed) error {
				return want(e.Headers.Get("Idempotency-Key") == "t1" && e.Headers.Get("Seri-Token") == "1763800000000001" && e.Headers.Get("User-Agent") == "seri")
			},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.args.URL = serve(t, echo).URL

			got, err := seritest.Run(t, web.Request, newCaller(t).Do, c.args,
				seritest.With(seri.ID("t1")), seritest.Token(1763800000000001))

			if err != nil || got.Status != 200 || !got.OK {
				t.Fatalf("got %+v, %v", got, err)
			}
			var e echoed
			if err := json.Unmarshal([]byte(got.Body), &e); err != nil {
				t.Fatal(err)
			}
			if err := c.check(e); err != nil {
				t.Errorf("%v: %+v", err, e)
			}
			if got.Headers["x-request-id"] != "r1" || got.Headers["content-type"] != "application/json" || got.Headers["set-cookie"] != "" {
				t.Errorf("headers of the answer: %v", got.Headers)
			}
		})
	}
}

func want(ok bool) error {
	if !ok {
		return errors.New("the server saw something else")
	}
	return nil
}

func TestEveryAnswerIsAResultButThoseThatSayNotNow(t *testing.T) {
	t.Parallel()
	for status, retried := range map[int]bool{200: false, 201: false, 204: false, 301: false, 400: false, 401: false, 404: false, 409: false, 410: false, 422: false, 429: true, 500: true, 502: true, 503: true, 504: true} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "30")
				w.WriteHeader(status)
			})

			got, err := seritest.Run(t, web.Request, newCaller(t).Do, web.RequestArgs{URL: server.URL})

			if !retried {
				if err != nil || got.Status != status || got.OK != (status < 300) {
					t.Errorf("got %+v, %v", got, err)
				}
				return
			}
			if delay, ok := seri.RetryDelay(err); !ok || delay != 30*time.Second || seri.IsPermanent(err) {
				t.Errorf("got %v, want another attempt in 30 s", err)
			}
		})
	}
}

func TestRetryAfterMayBeADate(t *testing.T) {
	t.Parallel()
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
		w.WriteHeader(http.StatusServiceUnavailable)
	})

	_, err := seritest.Run(t, web.Request, newCaller(t).Do, web.RequestArgs{URL: server.URL})

	if delay, _ := seri.RetryDelay(err); delay < 59*time.Minute || delay > time.Hour {
		t.Errorf("got %v (%v), want about an hour", delay, err)
	}
}

func TestBodiesAreKeptUpTo64KiB(t *testing.T) {
	t.Parallel()
	euros := strings.Repeat("€", web.MaxBodyBytes/3+1) // the limit falls into the middle of a rune
	cases := map[string]struct {
		body      string
		text      string
		binary    int // bytes
		truncated bool
	}{
		"nothing":                         {},
		"text":                            {body: "grüß dich", text: "grüß dich"},
		"text, exactly the limit":         {body: strings.Repeat("x", web.MaxBodyBytes), text: strings.Repeat("x", web.MaxBodyBytes)},
		"text, one byte more":             {body: strings.Repeat("x", web.MaxBodyBytes+1), text: strings.Repeat("x", web.MaxBodyBytes), truncated: true},
		"text, cut between runes":         {body: euros, text: euros[:web.MaxBodyBytes/3*3], truncated: true},
		"binary":                          {body: "\xff\xfe\x00", binary: 3},
		"binary, more than the limit":     {body: strings.Repeat("\xff", 3*web.MaxBodyBytes), binary: web.MaxBodyBytes, truncated: true},
		"text that ends inside of a rune": {body: "x\xe2\x82", binary: 3},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := serve(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, c.body) })

			got, err := seritest.Run(t, web.Request, newCaller(t).Do, web.RequestArgs{URL: server.URL})

			if err != nil || got.Body != c.text || len(got.BodyBase64) != c.binary || got.Truncated != c.truncated {
				t.Errorf("got %d bytes of text, %d of other, truncated %t, error %v", len(got.Body), len(got.BodyBase64), got.Truncated, err)
			}
			if c.binary > 0 && !bytes.HasPrefix([]byte(c.body), got.BodyBase64) {
				t.Error("the bytes are not the server's")
			}
		})
	}
}

func TestWhatMakesNoSenseIsPermanent(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		args web.RequestArgs
		says string
	}{
		"no URL":                  {web.RequestArgs{}, "scheme"},
		"another scheme":          {web.RequestArgs{URL: "file:///etc/passwd"}, "write an http or https URL"},
		"a private address":       {web.RequestArgs{URL: "http://169.254.169.254/latest/meta-data/"}, "allow-list"},
		"a URL that is none":      {web.RequestArgs{URL: "http://user:password@[::1/"}, "url cannot be read"},
		"an unknown method":       {web.RequestArgs{URL: "http://127.0.0.1/", Method: "CONNECT"}, "not one of GET"},
		"the connection's header": {web.RequestArgs{URL: "http://127.0.0.1/", Headers: map[string]string{"host": "x"}}, `header "host" belongs to the connection`},
		"a proxy's header":        {web.RequestArgs{URL: "http://127.0.0.1/", Headers: map[string]string{"Proxy-Authorization": "x"}}, "belongs to the connection"},
		"an injected header":      {web.RequestArgs{URL: "http://127.0.0.1/", Headers: map[string]string{"X": "1\r\nY: 2"}}, "control character"},
		"a name that is none":     {web.RequestArgs{URL: "http://127.0.0.1/", Headers: map[string]string{"X Y": "1"}}, "not a header name"},
		"a header twice":          {web.RequestArgs{URL: "http://127.0.0.1/", Headers: map[string]string{"x-a": "1", "X-A": "2"}}, "twice"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := seritest.Run(t, web.Request, newCaller(t).Do, c.args)

			if !seri.IsPermanent(err) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want a permanent error that says %q", err, c.says)
			}
			if strings.Contains(fmt.Sprint(err), "password") {
				t.Errorf("the error tells the password: %v", err)
			}
		})
	}
}

func TestANetworkThatFailsIsTriedAgain(t *testing.T) {
	t.Parallel()
	gone := serve(t, nil)
	gone.Close()
	broken := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, "short")
	})
	for _, url := range []string{gone.URL, broken.URL} {
		_, err := seritest.Run(t, web.Request, newCaller(t).Do, web.RequestArgs{URL: url})

		if err == nil || seri.IsPermanent(err) {
			t.Errorf("got %v, want an error that is not permanent", err)
		}
	}
}

func TestRedirectsAreFollowedOnlyWhereNothingIsLost(t *testing.T) {
	t.Parallel()
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			http.Redirect(w, r, "/moved", http.StatusFound)
			return
		}
		fmt.Fprint(w, r.Method)
	})

	read, err1 := seritest.Run(t, web.Request, newCaller(t).Do, web.RequestArgs{URL: server.URL})
	sent, err2 := seritest.Run(t, web.Request, newCaller(t).Do, web.RequestArgs{URL: server.URL, Body: "x"})

	if err1 != nil || read.Body != "GET" || read.URL != server.URL+"/moved" {
		t.Errorf("GET: got %+v, %v", read, err1)
	}
	if err2 != nil || sent.Status != http.StatusFound || sent.Headers["location"] != "/moved" {
		t.Errorf("POST: got %+v, %v", sent, err2)
	}
}

func TestARevokedRequestEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	server := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel(seri.ErrRevoked)
		<-r.Context().Done()
	})

	_, err := seritest.Run(t, web.Request, newCaller(t).Do, web.RequestArgs{URL: server.URL}, seritest.Context(ctx))

	if !errors.Is(err, seri.ErrRevoked) {
		t.Errorf("got %v", err)
	}
}

func ExampleRequest() {
	message, err := web.Request.Message(web.RequestArgs{
		URL:     "https://shop.example/hooks/paid",
		Headers: map[string]string{"X-Signature": "v1,g0hM9"},
		Body:    `{"order": 17}`,
	}, seri.ID("paid-17"), seri.Delay(time.Minute))

	fmt.Println(message.Type, string(message.Payload), err)
	// Output: http.request {"url":"https://shop.example/hooks/paid","headers":{"X-Signature":"v1,g0hM9"},"body":"{\"order\": 17}"} <nil>
}
