package api

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/wire"
)

func TestNewNamesEveryFaultOfItsConfiguration(t *testing.T) {
	t.Parallel()

	_, err := New(Config{})

	for _, want := range []string{"Tasks is missing", "no API keys"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want one with %q", err, want)
		}
	}
}

func TestRefusalsSayWhatAndWhere(t *testing.T) {
	t.Parallel()
	server := newServer(t, Config{Tasks: &fakeTasks{}})
	deep := strings.Repeat("[", 31) + strings.Repeat("]", 31) // below the body and its field
	for name, c := range map[string]struct {
		body    string
		headers []string
		status  int
		typ     string
		faults  []string // "location: message"
	}{
		"nothing":                   {" ", nil, 400, "malformed", []string{"body: the body is empty; send a JSON object"}},
		"not JSON":                  {"{", nil, 400, "malformed", []string{"body: the JSON breaks off before its end"}},
		"a comma too many":          {`{"type":"free.form",}`, nil, 400, "malformed", nil},
		"two values":                {goodTask + "{}", nil, 400, "malformed", nil},
		"a key twice":               {`{"type":"free.form","payload":{"a":{"b":1,"b":2}}}`, nil, 400, "malformed", []string{`body: body.payload.a has the key "b" twice; which one counts would be a guess`}},
		"a key twice, once escaped": {`{"type":"free.form","payload":{"a":1,"\u0061":2}}`, nil, 400, "malformed", nil},
		"not UTF-8":                 {"{\"type\":\"\xff\"}", nil, 400, "malformed", []string{"body: the body is not valid UTF-8 at byte 9"}},
		"nested too deep":           {`{"type":"free.form","payload":[` + deep + `]}`, nil, 400, "malformed", nil},
		"too deep and open":         {strings.Repeat("[", 500_000), nil, 400, "malformed", nil},
		"not an object":             {"[]", nil, 422, "invalid", []string{"body: must be an object"}},
		"null":                      {"null", nil, 422, "invalid", []string{"body: must be an object"}},
		"no fields":                 {"{}", nil, 422, "invalid", []string{"body.payload: is missing; send {} if the task takes no arguments", "body.type: is missing"}},
		"a misspelt field": {`{"type":"free.form","payload":{},"retension":1}`, nil, 422, "invalid", []string{
			"body.retension: is not a known field; did you mean retention?"}},
		"every field wrong": {`{"type":1,"payload":{},"queue":[],"id":true,"owner":{},"eta":"soon","expires":5,"timeout":"1","max_retries":1.5,"retention":-1,"unique_for":1e300,"headers":{"a":1}}`, nil, 422, "invalid", []string{
			"body.eta: must be a time such as 2026-01-31T13:45:00Z (RFC 3339)",
			"body.expires: must be a time such as 2026-01-31T13:45:00Z (RFC 3339)",
			"body.headers: must be an object of strings",
			"body.id: must be a string",
			"body.max_retries: must be a whole number from 0 to 2147483647",
			"body.owner: must be a string",
			"body.queue: must be a string",
			"body.retention: must be a number of seconds from 0 to 316224000 (10 years)",
			"body.timeout: must be a number of seconds, without quotes",
			"body.type: must be a string",
			"body.unique_for: must be a number of seconds from 0 to 316224000 (10 years)",
		}},
		"both eta and countdown": {`{"type":"free.form","payload":{},"eta":"2126-01-01T00:00:00Z","countdown":5}`, nil, 422, "invalid", []string{
			"body.countdown: stands beside eta; give one of the two"}},
		"expired already":     {`{"type":"free.form","payload":{},"expires":"2001-01-01T00:00:00Z"}`, nil, 422, "invalid", []string{"body.expires: is in the past, so the task could never start"}},
		"expires before eta":  {`{"type":"free.form","payload":{},"eta":"2126-01-02T00:00:00Z","expires":"2126-01-01T00:00:00Z"}`, nil, 422, "invalid", nil},
		"no timeout at all":   {`{"type":"free.form","payload":{},"timeout":0}`, nil, 422, "invalid", []string{"body.timeout: must be more than 0 seconds"}},
		"an id of no URL":     {`{"type":"free.form","payload":{},"id":".."}`, nil, 422, "invalid", []string{`body.id: is "..", which cannot stand in a URL; choose another name`}},
		"a queue with braces": {`{"type":"free.form","payload":{},"queue":"a}b"}`, nil, 422, "invalid", []string{`body.queue: "a}b" contains a brace, which would break its hash tag in Redis`}},
		"a control character": {`{"type":"free.form","payload":{},"owner":"a\nb"}`, nil, 422, "invalid", []string{`body.owner: "a\nb" contains a control character`}},
		"an empty id":         {`{"type":"free.form","payload":{},"id":""}`, nil, 422, "invalid", []string{`body.id: is empty`}},
		"a large payload":     {`{"type":"free.form","payload":"` + strings.Repeat("x", 256<<10) + `"}`, nil, 422, "invalid", []string{"body.payload: has 262146 bytes, the limit is 262144; store large data elsewhere and pass a reference"}},
		"large headers":       {`{"type":"free.form","payload":{},"headers":{"a":"` + strings.Repeat("x", 16<<10) + `"}}`, nil, 422, "invalid", []string{"body.headers: have 16385 bytes, the limit is 16384"}},
		"a large body":        {`{"type":"free.form","payload":"` + strings.Repeat("x", 1<<20) + `"}`, nil, 413, "too-large", []string{"body: has more than 1048576 bytes, which is the limit here"}},
		"an unknown type": {`{"type":"image.thumbnial","payload":{}}`, nil, 422, "unknown-type", []string{
			"body.type: is not a type that any worker knows; did you mean image.thumbnail?"}},
		"half of a type": {`{"type":"thumbnail","payload":{}}`, nil, 422, "unknown-type", []string{
			"body.type: is not a type that any worker knows; did you mean image.thumbnail?"}},
		"a type like no other": {`{"type":"zzz","payload":{}}`, nil, 422, "unknown-type", []string{
			"body.type: is not a type that any worker knows; GET /v1/types lists 2 types"}},
		"a payload that does not fit": {`{"type":"image.thumbnail","payload":{"source":"a","sizes":["64"],"size":1}}`, nil, 422, "invalid", []string{
			"body.payload.size: is not a known field; known are sizes, source", "body.payload.sizes[0]: is a string, must be an integer"}},
		"no content type":              {goodTask, []string{"Content-Type", ""}, 415, "unsupported-media-type", nil},
		"a form":                       {goodTask, []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, "unsupported-media-type", []string{"header.Content-Type: must be application/json"}},
		"another charset":              {goodTask, []string{"Content-Type", "application/json; charset=latin1"}, 415, "unsupported-media-type", nil},
		"a header without a name":      {`{"type":"free.form","payload":{},"headers":{"":"x"}}`, nil, 422, "invalid", []string{`body.headers: "" has no name`}},
		"a header's name of two lines": {`{"type":"free.form","payload":{},"headers":{"a\r\nb":"x"}}`, nil, 422, "invalid", []string{`body.headers: "a\r\nb" has a control character in its name`}},
		"half of a character": {`{"type":"free.form","payload":{},"id":"a\ud800b","headers":{"x":"\udc00"}}`, nil, 422, "invalid", []string{
			"body.headers: " + halfMessage, "body.id: " + halfMessage}},
		"an id of a schedule":   {`{"type":"free.form","payload":{},"id":"sched:nightly:1"}`, nil, 422, "invalid", []string{"body.id: begins with sched: as those of schedules' tasks do: a tick would be taken for enqueued; choose another id"}},
		"a body that is packed": {goodTask, []string{"Content-Encoding", "gzip"}, 415, "unsupported-media-type", []string{"header.Content-Encoding: must be left out"}},
		"an empty key":          {goodTask, []string{"Idempotency-Key", ""}, 422, "invalid", []string{"header.Idempotency-Key: is empty, must have 1 to 255 characters; leave the header out to go without a key"}},
		"a key without store":   {goodTask, []string{"Idempotency-Key", "k"}, 422, "invalid", []string{"header.Idempotency-Key: is not supported by this server; give the task an id instead"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			w := do(server, "POST", "/v1/tasks", c.body, c.headers...)

			p := problemOf(t, w)
			if w.Code != c.status || p.Type != "/problems/"+c.typ || p.Detail == "" {
				t.Errorf("answer is %d %s", w.Code, w.Body)
			}
			if w.Body.Len() > 4096 {
				t.Errorf("the answer has %d bytes: it repeats too much", w.Body.Len())
			}
			if c.faults == nil {
				return
			}
			var got []string
			for _, f := range p.Errors {
				got = append(got, f.Location+": "+f.Message)
			}
			slices.Sort(got)
			if !slices.Equal(got, c.faults) {
				t.Errorf("faults\n got %q\nwant %q", got, c.faults)
			}
		})
	}
}

func TestAnAcceptedTaskIsShownAsItWasAccepted(t *testing.T) {
	t.Parallel()
	soon := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	for name, c := range map[string]struct {
		body  string
		check func(m seri.Message) bool
		state seri.State
	}{
		"defaults": {goodTask, func(m seri.Message) bool {
			return m.Queue == "default" && len(m.ID) == 26 && m.MaxRetries == 25 && m.Timeout == 30*time.Minute && m.Retention == 24*time.Hour && m.UniqueFor == 0 && m.ETA.IsZero()
		}, seri.Pending},
		"everything": {`{"type":"free.form","payload":[1, 2],"queue":"q","id":"i/ä","owner":"user:42","eta":"` + soon.Format(time.RFC3339) + `","expires":"2126-01-01T00:00:00Z","timeout":1.5,"max_retries":0,"retention":0,"unique_for":60,"headers":{"a":"b"}}`,
			func(m seri.Message) bool {
				return m.Queue == "q" && m.ID == "i/ä" && m.Owner == "user:42" && m.ETA.Equal(soon) && m.Timeout == 1500*time.Millisecond &&
					m.MaxRetries == 0 && m.Retention == 0 && m.UniqueFor == time.Minute && m.Headers["a"] == "b" && string(m.Payload) == "[1,2]"
			}, seri.Scheduled},
		"a countdown":          {`{"type":"free.form","payload":{},"countdown":0.25}`, func(m seri.Message) bool { return time.Until(m.ETA) <= 250*time.Millisecond && !m.ETA.IsZero() }, seri.Scheduled},
		"an eta gone by":       {`{"type":"free.form","payload":{},"eta":"2001-01-01T00:00:00Z"}`, func(m seri.Message) bool { return m.ETA.Year() == 2001 }, seri.Pending},
		"nulls":                {`{"type":"free.form","payload":null,"queue":null,"id":null,"eta":null,"timeout":null,"headers":null}`, func(m seri.Message) bool { return m.Queue == "default" && string(m.Payload) == "null" }, seri.Pending},
		"a wild number":        {`{"type":"free.form","payload":1e400}`, func(m seri.Message) bool { return string(m.Payload) == "1e400" }, seri.Pending},
		"nested 32 deep":       {`{"type":"free.form","payload":` + strings.Repeat("[", 31) + strings.Repeat("]", 31) + `}`, func(m seri.Message) bool { return len(m.Payload) == 62 }, seri.Pending},
		"a pair of surrogates": {`{"type":"free.form","payload":"\ud800","id":"\ud83d\ude00 \ufffd"}`, func(m seri.Message) bool { return m.ID == "😀 \uFFFD" }, seri.Pending},
		"a charset given":      {goodTask, func(seri.Message) bool { return true }, seri.Pending},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var sent seri.Message
			server := newServer(t, Config{Tasks: &fakeTasks{enqueue: func(m seri.Message) error { sent = m; return nil }}})

			w := do(server, "POST", "/v1/tasks", c.body, "Content-Type", "application/json; charset=UTF-8")

			if w.Code != http.StatusAccepted {
				t.Fatalf("answer is %d %s", w.Code, w.Body)
			}
			if !c.check(sent) {
				t.Errorf("enqueued %+v", sent)
			}
			got := decode[wire.Task](t, w)
			if got.ID != sent.ID || got.State != c.state || got.Queue != sent.Queue || string(got.Payload) != string(sent.Payload) {
				t.Errorf("answered %+v for %+v", got, sent)
			}
			if want := taskPath(sent.Queue, sent.ID); w.Header().Get("Location") != want {
				t.Errorf("Location is %q, want %q", w.Header().Get("Location"), want)
			}
		})
	}
}

// The struct that documents a task's fields and the code that reads them must not drift apart.
func TestTheDocumentedFieldsAreThoseThatAreRead(t *testing.T) {
	t.Parallel()
	var documented []string
	for f := range reflect.TypeFor[TaskRequest]().Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		documented = append(documented, name)
	}
	read := slices.Clone(taskFields)
	slices.Sort(documented)
	slices.Sort(read)

	if !slices.Equal(documented, read) {
		t.Errorf("documented %v, read %v", documented, read)
	}
}

func TestErrorsOfTheStoreBecomeProblemsWithoutItsInside(t *testing.T) {
	t.Parallel()
	secret := fmt.Errorf("WRONGTYPE at 10.0.0.5:6379")
	for name, c := range map[string]struct {
		err    error
		status int
		typ    string
		header string
	}{
		"a conflict":        {seri.ErrConflict, 409, "conflict", ""},
		"a duplicate":       {seri.ErrDuplicate, 409, "duplicate", ""},
		"a timeout":         {context.DeadlineExceeded, 503, "unavailable", "Retry-After"},
		"a lost connection": {fmt.Errorf("enqueue: %w", io.EOF), 503, "unavailable", "Retry-After"},
		"a full store":      {redisError("OOM command not allowed when used memory > 'maxmemory'."), 503, "unavailable", "Retry-After"},
		"a loading store":   {redisError("LOADING Redis is loading the dataset in memory"), 503, "unavailable", "Retry-After"},
		"anything else":     {secret, 500, "internal", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t, Config{Tasks: &fakeTasks{enqueue: func(seri.Message) error { return c.err }}})

			w := do(server, "POST", "/v1/tasks", freeTask)

			p := problemOf(t, w)
			if w.Code != c.status || p.Type != "/problems/"+c.typ {
				t.Errorf("answer is %d %s", w.Code, w.Body)
			}
			if c.header != "" && w.Header().Get(c.header) == "" {
				t.Errorf("header %s is missing", c.header)
			}
			if strings.Contains(w.Body.String(), "10.0.0.5") || strings.Contains(w.Body.String(), "maxmemory") {
				t.Errorf("the answer tells about the inside: %s", w.Body)
			}
		})
	}
}

// redisError is an error reply, as go-redis knows them.
type redisError string

func (e redisError) Error() string { return string(e) }
func (redisError) RedisError()     {}

func TestAPanicIsA500AndALogLineWithoutTheBody(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	server := newServer(t, Config{Tasks: &fakeTasks{panics: true}, Logger: slog.New(slog.NewJSONHandler(&log, nil))})

	w := do(server, "POST", "/v1/tasks", `{"type":"free.form","payload":"marker-7261"}`, "X-Request-Id", "req-1")

	p := problemOf(t, w)
	if w.Code != 500 || p.Type != "/problems/internal" || !strings.Contains(p.Detail, "req-1") || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("answer is %d %s", w.Code, w.Body)
	}
	if s := log.String(); !strings.Contains(s, "secret inside") || !strings.Contains(s, "server_test.go") || !strings.Contains(s, `"request_id":"req-1"`) || strings.Contains(s, "marker-7261") {
		t.Errorf("log is %s", s)
	}
}

func TestBatchesAnswerForEachTask(t *testing.T) {
	t.Parallel()
	store := &fakeTasks{}
	server := newServer(t, Config{Tasks: store})
	body := `{"tasks":[` + strings.Join([]string{goodTask, freeTask, freeTask, `{"type":"nope","payload":{}}`, `7`}, ",") + `]}`

	w := do(server, "POST", "/v1/tasks/batch", body)

	if w.Code != http.StatusOK {
		t.Fatalf("answer is %d %s", w.Code, w.Body)
	}
	var got []string
	for i, item := range decode[BatchAnswer](t, w).Items {
		text := fmt.Sprint(item.Status)
		if p := item.Problem; p != nil {
			text += " " + p.Type
			if len(p.Errors) > 0 {
				text += " " + p.Errors[0].Location
			}
			if p.Task != nil {
				text += " shows " + p.Task.ID
			}
		} else if item.Task == nil {
			t.Errorf("item %d has neither task nor problem", i)
		}
		got = append(got, text)
	}
	want := []string{"202", "202", "409 /problems/conflict shows a", "422 /problems/unknown-type body.tasks[3].type", "422 /problems/invalid body.tasks[4]"}
	if !slices.Equal(got, want) {
		t.Errorf("items\n got %q\nwant %q", got, want)
	}
	if len(store.tasks) != 2 {
		t.Errorf("%d tasks are stored, want 2", len(store.tasks))
	}
}

func TestBatchesThatAreNoneAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body    string
		headers []string
		tasks   *fakeTasks
		status  int
		typ     string
	}{
		"empty":             {`{"tasks":[]}`, nil, &fakeTasks{}, 422, "invalid"},
		"no list":           {`{"tasks":{}}`, nil, &fakeTasks{}, 422, "invalid"},
		"an array":          {`[` + freeTask + `]`, nil, &fakeTasks{}, 422, "invalid"},
		"1,001 tasks":       {`{"tasks":[` + strings.Repeat(freeTask+",", 1000) + freeTask + `]}`, nil, &fakeTasks{}, 422, "invalid"},
		"too many bytes":    {`{"tasks":["` + strings.Repeat("x", 8<<20) + `"]}`, nil, &fakeTasks{}, 413, "too-large"},
		"a key":             {`{"tasks":[` + freeTask + `]}`, []string{"Idempotency-Key", "k"}, &fakeTasks{}, 422, "invalid"},
		"the store is away": {`{"tasks":[` + freeTask + `,` + freeTask + `]}`, nil, &fakeTasks{enqueue: func(seri.Message) error { return io.EOF }}, 503, "unavailable"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t, Config{Tasks: c.tasks})

			w := do(server, "POST", "/v1/tasks/batch", c.body, c.headers...)

			if p := problemOf(t, w); w.Code != c.status || p.Type != "/problems/"+c.typ {
				t.Errorf("answer is %d %s", w.Code, w.Body)
			}
		})
	}
}

func TestRevokingAnswersByWhatBecameOfTheTask(t *testing.T) {
	t.Parallel()
	tasks := map[string]seri.Info{}
	for _, state := range seri.States {
		tasks["q/"+string(state)] = seri.Info{ID: string(state), Queue: "q", Type: "free.form", State: state, Payload: []byte("{}")}
	}
	for id, want := range map[string]int{"scheduled": 200, "pending": 200, "retrying": 200, "active": 202, "succeeded": 409, "failed": 409, "revoked": 409, "unheard-of": 404} {
		for _, query := range []string{"", "?queue=q"} {
			t.Run(id+query, func(t *testing.T) {
				t.Parallel()
				server := newServer(t, Config{Tasks: &fakeTasks{tasks: maps.Clone(tasks)}})

				w := do(server, "DELETE", "/v1/tasks/"+id+query, "")

				if w.Code != want {
					t.Errorf("answer is %d %s, want %d", w.Code, w.Body, want)
				}
				if want == 409 {
					if p := problemOf(t, w); p.Type != "/problems/ended" || p.Task == nil || string(p.Task.State) != id {
						t.Errorf("problem is %s", w.Body)
					}
				}
			})
		}
	}
}
