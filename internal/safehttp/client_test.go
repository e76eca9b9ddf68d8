package safehttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"
)

// opened returns a client whose allow-list has the servers in it.
func opened(t *testing.T, cfg Config, servers ...*httptest.Server) *http.Client {
	t.Helper()
	for _, s := range servers {
		cfg.Allow = append(cfg.Allow, s.Listener.Addr().String())
	}
	client, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	return client
}

func serve(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s
}

func get(t *testing.T, client *http.Client, url string) (string, error) {
	t.Helper()
	resp, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

func TestEveryRedirectIsCheckedAgain(t *testing.T) {
	t.Parallel()
	inside := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the inside was reached") })
	_, insidePort, _ := net.SplitHostPort(inside.Listener.Addr().String())
	cases := map[string]string{
		"to an inner port":          inside.URL,
		"to an inner address":       "http://169.254.169.254/latest/meta-data/",
		"to a number":               "http://2130706433:80/",
		"to a mapped address":       "http://[::ffff:127.0.0.1]:" + insidePort + "/",
		"to another scheme":         "file:///etc/passwd",
		"to gopher":                 "gopher://127.0.0.1:6379/_FLUSHALL",
		"after a harmless redirect": "/again",
	}
	for name, location := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			outside := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if location == "/again" && r.URL.Path == "/again" {
					http.Redirect(w, r, "http://10.0.0.1/", http.StatusFound)
					return
				}
				w.Header().Set("Location", location)
				w.WriteHeader(http.StatusFound)
			})

			_, err := get(t, opened(t, Config{}, outside), outside.URL)

			if _, ok := errors.AsType[*BlockedError](err); !ok {
				t.Errorf("got %v, want a *BlockedError", err)
			}
		})
	}
}

func TestRedirectsEnd(t *testing.T) {
	t.Parallel()
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
		if n == 0 {
			io.WriteString(w, "arrived")
			return
		}
		http.Redirect(w, r, fmt.Sprintf("/%d", n-1), http.StatusFound)
	})
	client := opened(t, Config{}, server)

	body, err := get(t, client, server.URL+"/5")
	_, beyond := get(t, client, server.URL+"/6")

	if err != nil || body != "arrived" {
		t.Errorf("%d redirects: got %q, %v", MaxRedirects, body, err)
	}
	if !errors.Is(beyond, ErrTooManyRedirects) || !Refused(beyond) {
		t.Errorf("one more: got %v, want ErrTooManyRedirects", beyond)
	}
}

func TestHeadersStayWithTheirOrigin(t *testing.T) {
	t.Parallel()
	var home *httptest.Server
	seen := make(chan http.Header, 3)
	abroad := serve(t, func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header
		http.Redirect(w, r, home.URL+"/back", http.StatusFound)
	})
	home = serve(t, func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header
		if r.URL.Path == "/" {
			http.Redirect(w, r, abroad.URL, http.StatusFound)
		}
	})
	req, _ := http.NewRequest(http.MethodGet, home.URL+"/?token=secret", nil)
	for _, name := range []string{"X-Api-Key", "Authorization", "Cookie", "Idempotency-Key", "Accept"} {
		req.Header.Set(name, "v")
	}

	resp, err := opened(t, Config{}, home, abroad).Do(req)

	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	first, second, third := <-seen, <-seen, <-seen
	if first.Get("X-Api-Key") == "" {
		t.Error("the first origin did not get the headers meant for it")
	}
	for where, h := range map[string]http.Header{"abroad": second, "back home by a foreign word": third} {
		for _, name := range []string{"X-Api-Key", "Authorization", "Cookie", "Idempotency-Key", "Referer"} {
			if h.Get(name) != "" {
				t.Errorf("%s: %s arrived", where, name)
			}
		}
		if h.Get("Accept") != "v" {
			t.Errorf("%s: Accept did not arrive", where)
		}
	}
}

func TestBodiesAreCapped(t *testing.T) {
	t.Parallel()
	const limit = 1000
	cases := map[string]struct {
		bytes    int
		announce bool
		wantErr  bool
		want     int // bytes read
	}{
		"exactly the limit":            {bytes: limit, announce: true, want: limit},
		"exactly the limit, chunked":   {bytes: limit, want: limit},
		"one byte more":                {bytes: limit + 1, announce: true, wantErr: true},
		"one byte more, chunked":       {bytes: limit + 1, wantErr: true, want: limit},
		"far more, chunked":            {bytes: 50 * limit, wantErr: true, want: limit},
		"nothing":                      {announce: true},
		"nothing, with its own ending": {},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				if c.announce {
					w.Header().Set("Content-Length", strconv.Itoa(c.bytes))
				} else {
					w.(http.Flusher).Flush()
				}
				io.WriteString(w, strings.Repeat("x", c.bytes))
			})

			body, err := get(t, opened(t, Config{MaxBodyBytes: limit}, server), server.URL)

			large, isLarge := errors.AsType[*TooLargeError](err)
			if isLarge != c.wantErr || isLarge && large.Limit != limit || !isLarge && err != nil {
				t.Errorf("got error %v, want one: %t", err, c.wantErr)
			}
			if len(body) != c.want {
				t.Errorf("read %d bytes, want %d", len(body), c.want)
			}
		})
	}
}

func TestHeadersAndTimeAreCapped(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/header":
			w.Header().Set("X-Large", strings.Repeat("x", 10_000))
		case "/slow":
			w.(http.Flusher).Flush()
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}
	})

	if _, err := get(t, opened(t, Config{MaxHeaderBytes: 4096}, server), server.URL+"/header"); err == nil {
		t.Error("a header of 10,000 bytes passed a limit of 4,096")
	}
	_, err := get(t, opened(t, Config{Timeout: 50 * time.Millisecond}, server), server.URL+"/slow")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a body that never ends: got %v, want the deadline", err)
	}
}

func TestProxySettingsAreIgnored(t *testing.T) {
	proxy := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the proxy was asked") })
	t.Setenv("HTTP_PROXY", proxy.URL)
	t.Setenv("http_proxy", proxy.URL)
	t.Setenv("ALL_PROXY", proxy.URL)

	_, err := get(t, newClient(t, names()), "http://public.test/")

	if !errors.Is(err, errReached) {
		t.Errorf("got %v, want a direct connection", err)
	}
}

func TestConfigurationFaultsAreListedTogether(t *testing.T) {
	t.Parallel()
	_, err := New(Config{Timeout: -1, MaxHeaderBytes: -1, Allow: []string{"http://x", "ok.test", "10.0.0.1/8"}})

	if err == nil {
		t.Fatal("it was accepted")
	}
	for _, want := range []string{"Timeout", "MaxHeaderBytes", `"http://x"`, "10.0.0.0/8"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in:\n%v", want, err)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	cases := map[string]struct {
		value string
		want  time.Duration
		ok    bool
	}{
		"seconds":             {value: "120", want: 2 * time.Minute, ok: true},
		"a date":              {value: "Fri, 20 Nov 2026 12:01:30 GMT", want: 90 * time.Second, ok: true},
		"no header":           {},
		"no time at all":      {value: "0"},
		"a date in the past":  {value: "Fri, 20 Nov 2026 11:59:59 GMT"},
		"negative":            {value: "-1"},
		"nonsense":            {value: "soon"},
		"more than there is":  {value: "99999999999999999999999"},
		"longer than an Age":  {value: "9223372036854775807", want: 9223372036 * time.Second, ok: true},
		"fractions, not HTTP": {value: "1.5"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := http.Header{}
			if c.value != "" {
				h.Set("Retry-After", c.value)
			}

			got, ok := RetryAfter(h, now)

			if ok != c.ok || ok && got != c.want {
				t.Errorf("got %v, %t; want %v, %t", got, ok, c.want, c.ok)
			}
		})
	}
}
