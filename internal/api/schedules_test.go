package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/client"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/internal/schedule"
	"github.com/seri-queue/seri/internal/store"
	"github.com/seri-queue/seri/internal/timetable"
)

// noSchedules are those of a Redis that is away.
var noSchedules = timetable.New(redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1, DialTimeout: time.Second, DialerRetries: 1}), store.Config{})

// office is a server on a real Redis, with a schedule ID that no other test has.
type office struct {
	http.Handler
	t         *testing.T
	rdb       redis.UniversalClient
	queue, id string
}

func onSchedules(t *testing.T, test func(o *office)) {
	t.Helper()
	t.Parallel()
	redistest.EachWithEmbedded(t, func(t *testing.T, rdb redis.UniversalClient) {
		server := newServer(t, Config{Tasks: client.New(rdb, client.Config{}), Schedules: timetable.New(rdb, store.Config{})})
		queue := redistest.Queue(t)
		test(&office{server, t, rdb, queue, "s." + queue})
	})
}

// ask sends a request about the schedule, and wants a status.
func (o *office) ask(status int, method, path, body string, headers ...string) (answer string, header http.Header) {
	o.t.Helper()
	w := do(o, method, "/v1/schedules/"+o.id+path, body, headers...)
	if w.Code != status {
		o.t.Fatalf("%s %s %s answers %d, want %d: %s", method, path, body, w.Code, status, w.Body)
	}
	if status >= 400 {
		problemOf(o.t, w)
	}
	return w.Body.String(), w.Header()
}

// is reads an answer.
func is[T any](o *office, answer string) (v T) {
	o.t.Helper()
	if err := json.Unmarshal([]byte(answer), &v); err != nil {
		o.t.Fatalf("%s: %v", answer, err)
	}
	return v
}

// hourly is the body of a schedule; more are further fields of it.
func (o *office) hourly(more ...string) string {
	return fmt.Sprintf(`{"every":"1h","task":"free.form","queue":%q%s}`, o.queue, strings.Join(append([]string{""}, more...), ","))
}

func TestASchedulesLife(t *testing.T) {
	onSchedules(t, func(o *office) {
		o.ask(404, "GET", "", "")
		answer, header := o.ask(201, "PUT", "", o.hourly(`"payload":{"b":1.10,"a":2}`), "If-None-Match", "*")
		made := is[Schedule](o, answer)
		if made.ID != o.id || made.Queue != o.queue || made.Source != "api" || made.Next == nil || made.Next.Minute() != 0 || header.Get("ETag") != `"`+made.Revision+`"` {
			o.t.Errorf("made %s, %v", answer, header)
		}
		if !strings.Contains(string(made.Definition), `"payload":{"b":1.10,"a":2}`) {
			o.t.Errorf("the payload has changed: %s", made.Definition)
		}
		if again, _ := o.ask(200, "GET", "?queue="+o.queue, ""); again != answer {
			o.t.Errorf("made %slooked at %s", answer, again)
		}
		o.ask(412, "PUT", "", o.hourly(), "If-None-Match", "*")
		o.ask(412, "PATCH", "", `{"every":"2h"}`, "If-Match", `"another"`)

		answer, _ = o.ask(200, "PATCH", "", `{"every":null,"cron":"30 2 * * *","timezone":"Europe/Berlin"}`, "If-Match", header.Get("ETag"), "Content-Type", "application/merge-patch+json")
		patched := is[Schedule](o, answer)
		if d := string(patched.Definition); !strings.Contains(d, `"cron":"30 2 * * *"`) || strings.Contains(d, "every") || !strings.Contains(d, `"payload":{"b":1.10,"a":2}`) {
			o.t.Errorf("patched: %s", d)
		}
		o.ask(412, "DELETE", "", "", "If-Match", header.Get("ETag"))
		o.ask(204, "DELETE", "", "", "If-Match", `"`+patched.Revision+`"`)
		o.ask(404, "DELETE", "", "")
		o.ask(404, "PATCH", "", `{}`)
	})
}

func TestAScheduleStaysInItsQueue(t *testing.T) {
	onSchedules(t, func(o *office) {
		o.ask(201, "PUT", "", o.hourly())
		answer, _ := o.ask(409, "PUT", "", `{"every":"1h","task":"free.form","queue":"elsewhere"}`)
		if p := is[Problem](o, answer); p.Type != "/problems/elsewhere" || !strings.Contains(p.Detail, o.queue) {
			o.t.Errorf("answer %s", answer)
		}
		o.ask(404, "GET", "?queue=elsewhere", "")
	})
}

// What an older version has stored, and this one does not take.
func TestAScheduleAtFaultSaysWhy(t *testing.T) {
	onSchedules(t, func(o *office) {
		definition := `{"id":"` + o.id + `","jitter":"2h",` + o.hourly()[1:]
		written, err := store.New(o.rdb, store.Config{}).Plan(o.t.Context(), keys.Queue(o.queue), store.Leader{}, []store.Plan{{
			Schedule: o.id, Revision: "r", Origin: store.OriginAPI, Definition: []byte(definition), Next: time.Now(),
		}})
		if err != nil || !written[0] {
			o.t.Fatal(written, err)
		}
		const fault = "jitter is 2h0m0s, must be no longer than the interval of 1h0m0s"

		answer, _ := o.ask(200, "GET", "", "")
		if got := is[Schedule](o, answer); got.Fault != fault || got.Next != nil || string(got.Definition) != definition {
			o.t.Errorf("it is shown as %s", answer)
		}
		for path, method := range map[string]string{"/trigger": "POST", "/next": "GET"} {
			answer, _ := o.ask(409, method, path, "")
			if p := is[Problem](o, answer); p.Type != "/problems/unusable" || !strings.Contains(p.Detail, fault) {
				o.t.Errorf("%s answers %s", path, answer)
			}
		}
		answer, _ = o.ask(200, "PATCH", "", `{"jitter":null}`)
		if got := is[Schedule](o, answer); got.Fault != "" || got.Next == nil {
			o.t.Errorf("mended: %s", answer)
		}
	})
}

func TestAFilesScheduleIsManagedByItsFile(t *testing.T) {
	onSchedules(t, func(o *office) {
		var s schedule.Schedule
		if err := json.Unmarshal([]byte(`{"id":"`+o.id+`",`+o.hourly()[1:]), &s); err != nil {
			o.t.Fatal(err)
		}
		definition, err := s.MarshalJSON()
		if err != nil {
			o.t.Fatal(err)
		}
		written, err := store.New(o.rdb, store.Config{}).Plan(o.t.Context(), keys.Queue(o.queue), store.Leader{Lock: "beat", Token: 7}, []store.Plan{{
			Schedule: o.id, Revision: schedule.Digest(definition), Origin: store.OriginFile, Definition: definition, Timing: s.Timing(), Next: s.Next(time.Now()),
		}})
		if err != nil || !written[0] {
			o.t.Fatal(written, err)
		}

		for method, body := range map[string]string{"PUT": o.hourly(), "PATCH": `{"every":"2h"}`, "DELETE": ""} {
			answer, _ := o.ask(409, method, "", body)
			if p := is[Problem](o, answer); p.Type != "/problems/managed" {
				o.t.Errorf("%s answers %s", method, answer)
			}
		}
		answer, _ := o.ask(200, "POST", "/pause", `{"note":"while the file is mended"}`)
		if got := is[Schedule](o, answer); got.Source != "file" || got.Paused == nil || got.Paused.Note != "while the file is mended" || got.Next != nil {
			o.t.Errorf("paused: %s", answer)
		}
		o.ask(200, "POST", "/pause", "")
		o.ask(202, "POST", "/trigger", "")
		answer, _ = o.ask(200, "POST", "/resume", "")
		if got := is[Schedule](o, answer); got.Paused != nil || got.Next == nil {
			o.t.Errorf("resumed: %s", answer)
		}
	})
}

func TestARunByRequestHasTheIDOfItsTick(t *testing.T) {
	onSchedules(t, func(o *office) {
		o.ask(201, "PUT", "", o.hourly(`"overlap":"skip"`))
		answer, _ := o.ask(202, "POST", "/trigger", "")
		run := is[Run](o, answer)
		if run.Outcome != "enqueued" || run.Task != fmt.Sprintf("sched:%s:%d", o.id, run.Tick.Unix()) {
			o.t.Errorf("run %s", answer)
		}
		var second Run
		for second.Task == "" || second.Task == run.Task { // until that second is over
			answer, _ = o.ask(202, "POST", "/trigger", `{"overlap":"allow"}`)
			second = is[Run](o, answer)
			if want := map[bool]string{true: "exists", false: "enqueued"}[second.Task == run.Task]; second.Outcome != want {
				o.t.Errorf("run %s, want %s", answer, want)
			}
		}
		for {
			w := do(o, "POST", "/v1/schedules/"+o.id+"/trigger", "")
			if w.Code == 202 { // still in the second of the one before
				continue
			}
			if p := problemOf(o.t, w); p.Type != "/problems/overlap" {
				o.t.Errorf("while others run: %d %s", w.Code, w.Body)
			}
			break
		}
		answer, _ = o.ask(200, "GET", "/history", "")
		past := is[History](o, answer).Ticks
		if len(past) != 3 || past[0].Missed != 1 || past[0].Reason != "overlap" || past[2].Task != run.Task || past[2].State != seri.Pending || !past[2].Asked || past[2].LateMs == nil {
			o.t.Errorf("history %s", answer)
		}
		o.ask(422, "POST", "/trigger", `{"overlap":"skip"}`)
		o.ask(422, "POST", "/trigger", `{"now":true}`)
	})
}

func TestABackfillTellsWhatBecameOfEachTick(t *testing.T) {
	onSchedules(t, func(o *office) {
		o.ask(201, "PUT", "", o.hourly())
		span := func(from, to time.Duration) string {
			hour := time.Now().Truncate(time.Hour)
			return fmt.Sprintf(`{"from":%q,"to":%q}`, hour.Add(from).Format(time.RFC3339), hour.Add(to).Format(time.RFC3339))
		}
		answer, _ := o.ask(200, "POST", "/backfill", span(-3*time.Hour, -time.Hour))
		if got := is[Backfill](o, answer); got.Ticks != 3 || got.Enqueued != 3 || len(got.Runs) != 3 || got.Runs[0].Tick.After(got.Runs[2].Tick) {
			o.t.Errorf("backfill %s", answer)
		}
		answer, _ = o.ask(200, "POST", "/backfill", span(-4*time.Hour, -time.Hour))
		if got := is[Backfill](o, answer); got.Ticks != 4 || got.Enqueued != 1 || got.Exist != 3 {
			o.t.Errorf("a longer one: %s", answer)
		}
		for body, location := range map[string]string{
			span(-1001*time.Hour, 0): "body.to", span(0, 2*time.Hour): "body.to", span(-1*time.Hour, -2*time.Hour): "body.to",
			`{"to":"2026-01-01T00:00:00Z"}`: "body.from", `{"from":"x","to":"2026-01-01T00:00:00Z"}`: "body.from",
		} {
			answer, _ := o.ask(422, "POST", "/backfill", body)
			if p := is[Problem](o, answer); p.Errors[0].Location != location {
				o.t.Errorf("%s is answered with %s", body, answer)
			}
		}
	})
}

func TestFaultsOfAScheduleNameTheirFields(t *testing.T) {
	onSchedules(t, func(o *office) {
		answer, _ := o.ask(422, "PUT", "", `{"id":"other","cron":"61 25 * * *","timezone":"Berlin","taks":"free.form","limit":0,"fold":"never","solar":{"event":"noon"}}`)
		var places []string
		for _, f := range is[Problem](o, answer).Errors {
			places = append(places, f.Location)
		}
		slices.Sort(places)
		if got := strings.Join(places, " "); got != "body.fold body.id body.limit body.solar body.taks body.task body.timezone" {
			o.t.Errorf("faults at %s\n%s", got, answer)
		}
		for body, location := range map[string]string{
			`{"every":"1h","task":"free.fro"}`:                                        "body.task",
			`{"every":"1h","task":"image.thumbnail","payload":{"sizes":["1"]}}`:       "body.payload.sizes[0]",
			`{"every":"1h","task":"free.form","payload":{},"timeout":60}`:             "body.timeout",
			`{"every":"1h","task":"free.form","solar":{"event":"sunset"}}`:            "body.solar",
			`{"solar":{"event":"sunset","latitude":1,"lenght":2},"task":"free.form"}`: "body.solar.lenght",
		} {
			answer, _ := o.ask(422, "PUT", "", body)
			if p := is[Problem](o, answer); !slices.ContainsFunc(p.Errors, func(f Fault) bool { return f.Location == location }) {
				o.t.Errorf("%s is answered with %s, want a fault of %s", body, answer, location)
			}
		}
		o.ask(400, "PUT", "", `{"every":"1h","every":"2h"}`)
		o.ask(415, "PUT", "", o.hourly(), "Content-Type", "text/yaml")
		o.ask(422, "PUT", "", `[]`)
		o.ask(404, "GET", "", "")
	})
}

func TestTicksAreForeseen(t *testing.T) {
	onSchedules(t, func(o *office) {
		o.ask(201, "PUT", "", fmt.Sprintf(`{"cron":"30 2 * * *","timezone":"Europe/Berlin","jitter":"1h","task":"free.form","queue":%q}`, o.queue))
		stored, _ := o.ask(200, "GET", "/next?n=3&calendar=true", "")
		got := is[Upcoming](o, stored)
		if len(got.Ticks) != 3 || got.Timezone != "Europe/Berlin" || got.Ticks[0].Due == nil || !strings.Contains(got.Ticks[0].Local, "T02:30:00+0") {
			o.t.Errorf("next %s", stored)
		}
		changes := 0
		for _, d := range got.Calendar {
			if d.ClockChange != 0 {
				changes++
			}
		}
		if len(got.Calendar) != 365 || changes != 2 {
			o.t.Errorf("a calendar of %d days with %d changes of the clock", len(got.Calendar), changes)
		}
		w := do(o, "POST", "/v1/schedules/preview?n=3&calendar=true", `{"cron":"30 2 * * *","timezone":"Europe/Berlin"}`)
		if preview := is[Upcoming](o, w.Body.String()); w.Code != 200 || len(preview.Ticks) != 3 || !preview.Ticks[0].Tick.Equal(got.Ticks[0].Tick) || preview.Ticks[0].Due != nil {
			o.t.Errorf("preview %d %s", w.Code, w.Body)
		}
		w = do(o, "POST", "/v1/schedules/preview?n=9&calendar=true", `{"cron":"30 2 * * *","limit":2}`)
		if preview := is[Upcoming](o, w.Body.String()); w.Code != 200 || len(preview.Ticks) != 2 || len(preview.Calendar) > 3 {
			o.t.Errorf("preview of two ticks: %d %s", w.Code, w.Body)
		}
		w = do(o, "POST", "/v1/schedules/preview", `{"cron":"0 0 31 2 *"}`)
		if p := problemOf(o.t, w); w.Code != 422 || p.Errors[0].Location != "body.cron" || !strings.Contains(p.Detail, "never ticks") {
			o.t.Errorf("preview of what never ticks: %d %s", w.Code, w.Body)
		}
	})
}

func TestSchedulesComeInPages(t *testing.T) {
	onSchedules(t, func(o *office) {
		for i := range 5 {
			if w := do(o, "PUT", fmt.Sprintf("/v1/schedules/%s-%d", o.id, i), o.hourly()); w.Code != 201 {
				o.t.Fatalf("%d %s", w.Code, w.Body)
			}
		}
		var seen []string
		for cursor := ""; ; {
			page := decode[SchedulePage](o.t, do(o, "GET", "/v1/schedules?limit=2&queue="+o.queue+"&cursor="+cursor, ""))
			for _, s := range page.Schedules {
				seen = append(seen, strings.TrimPrefix(s.ID, o.id))
			}
			if cursor = page.Next; cursor == "" {
				break
			}
		}
		if got := strings.Join(seen, ""); got != "-0-1-2-3-4" {
			o.t.Errorf("seen %s", got)
		}
	})
}

func TestSchedulesOfARedisThatIsAwayAre503(t *testing.T) {
	t.Parallel()
	server := newServer(t, Config{Tasks: &fakeTasks{}, Schedules: noSchedules})
	for _, target := range []string{"GET /v1/schedules", "GET /v1/schedules/a", "DELETE /v1/schedules/a", "GET /v1/schedules/a/next", "GET /v1/schedules/a/history?queue=q", "POST /v1/schedules/a/resume"} {
		method, path, _ := strings.Cut(target, " ")
		w := do(server, method, path, "")
		if p := problemOf(t, w); w.Code != 503 || w.Header().Get("Retry-After") == "" || strings.Contains(p.Detail, "127.0.0.1") {
			t.Errorf("%s answers %d %s", target, w.Code, w.Body)
		}
	}
}

func TestAFullStoreTakesNoNewScheduleAndNoRun(t *testing.T) {
	onSchedules(t, func(o *office) {
		o.ask(201, "PUT", "", o.hourly())
		rdb := o.rdb
		o.Handler = newServer(o.t, Config{Tasks: client.New(rdb, client.Config{}), Schedules: timetable.New(rdb, store.Config{}), Full: func() bool { return true }})
		o.ask(503, "POST", "/trigger", "")
		o.ask(503, "POST", "/backfill", `{"from":"2026-01-01T00:00:00Z","to":"2026-01-01T00:00:00Z"}`)
		o.ask(200, "PATCH", "", `{"every":"2h"}`)
		o.ask(204, "DELETE", "", "")
		o.ask(503, "PUT", "", o.hourly())
	})
}
