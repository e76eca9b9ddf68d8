package api

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/client"
)

// FuzzRequest holds that no body makes the server fail: every answer is an acceptance or a refusal that says why.
func FuzzRequest(f *testing.F) {
	for _, seed := range []string{
		goodTask, freeTask, `{"tasks":[` + freeTask + `]}`, `{"type":"free.form","payload":{},"eta":"2126-01-01T00:00:00Z","headers":{"a":"b"}}`,
		`{"type":"free.form","payload":{},"countdown":1e3,"timeout":1.5,"max_retries":3,"unique_for":null}`,
		`{"a":{"a":1,"a":2}}`, "\xff", strings.Repeat("[", 40), `{"type":"\ud800"}`, `"`, `{"a"`, `{"type":"free.form","payload":"\u0000","id":"%2e%2e/"}`,
	} {
		f.Add([]byte(seed))
	}
	server := newServer(f, Config{Tasks: &fakeTasks{}, Idempotency: &fakeIdempotency{}})
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, target := range []string{"/v1/tasks", "/v1/tasks/batch"} {
			w := do(server, "POST", target, string(body), "Content-Type", "application/json")
			switch {
			case w.Code >= 500:
				t.Fatalf("%s answers %d %s", target, w.Code, w.Body)
			case w.Code >= 400:
				if p := problemOf(t, w); p.Detail == "" {
					t.Errorf("%s refuses without a reason: %s", target, w.Body)
				}
			case w.Code == http.StatusAccepted:
				if look := do(server, "GET", w.Header().Get("Location"), ""); look.Code != 200 {
					t.Errorf("Location %q of an accepted task answers %d", w.Header().Get("Location"), look.Code)
				}
			}
		}
	})
}

// FuzzScan holds that what passes is JSON, and no deeper than the limit.
func FuzzScan(f *testing.F) {
	for _, seed := range []string{`{"a":[1,{"b":null}]}`, `[`, `]`, `{"a":1}}`, `{"a":1,"a":2}`, `1 2`, `"\ud83d"`, strings.Repeat(`{"a":`, 33)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if scan(body) != nil {
			return
		}
		if !json.Valid(body) {
			t.Errorf("passed, but is not JSON: %q", body)
		}
		if d := depth(body); d > maxDepth {
			t.Errorf("passed with depth %d: %q", d, body)
		}
		if m, faults := decodeTask(body, "body", time.Unix(0, 0), defaults); len(faults) == 0 && m.Validate() != nil {
			t.Errorf("no fault was found, but the message is not valid: %v", m.Validate())
		}
	})
}

func depth(body []byte) (deepest int) {
	open, inString, escaped := 0, false, false
	for _, c := range body {
		switch {
		case escaped:
			escaped = false
		case inString:
			escaped, inString = c == '\\', c != '"'
		case c == '"':
			inString = true
		case c == '{' || c == '[':
			open++
			deepest = max(deepest, open)
		case c == '}' || c == ']':
			open--
		}
	}
	return deepest
}

func BenchmarkScanBatch(b *testing.B) {
	body := []byte(`{"tasks":[` + strings.Repeat(goodTask+",", 999) + goodTask + `]}`)
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if err := scan(body); err != nil {
			b.Fatal(err)
		}
	}
}

func defaults(typ string) seri.Message { return client.TypeOf(&seri.Handler{Type: typ}).Terms }
