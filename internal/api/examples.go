package api

import (
	"encoding/json"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/client"
	"github.com/seri-queue/seri/internal/wire"
)

// The examples of the documentation: one task on its way, so that they tell a story from operation to operation.
var (
	exampleAt = time.Date(2026, 1, 31, 13, 45, 0, 0, time.UTC)

	exampleRequest = map[string]any{
		"type":    "image.thumbnail",
		"payload": map[string]any{"source": "https://example.com/photo.jpeg", "sizes": []int{64, 512}},
		"owner":   "user:42",
	}
	exampleBatchRequest = map[string]any{"tasks": []any{exampleRequest, map[string]any{"type": "image.thumbnial", "payload": struct{}{}}}}

	exampleTask     = exampleStage(seri.Pending, 1, func(*wire.Task) {})
	exampleRunning  = exampleStage(seri.Active, 3, func(t *wire.Task) { t.Progress = &seri.ProgressInfo{Done: 1, Total: 2, Message: "64 px"} })
	exampleFinished = exampleStage(seri.Succeeded, 5, func(t *wire.Task) {
		t.Result = json.RawMessage(`{"thumbnails":[{"size":64,"url":"/files/photo-64.jpeg"},{"size":512,"url":"/files/photo-512.jpeg"}]}`)
	})
	exampleRevoked = exampleStage(seri.Revoked, 2, func(t *wire.Task) { t.Reason = seri.ReasonRevoked })

	exampleBatch = BatchAnswer{Items: []BatchItem{
		{Status: 202, Task: &exampleTask},
		refusedItem(kindUnknownType.problem(
			`body.tasks[1].type is not a type that any worker knows; did you mean image.thumbnail?`,
			newFault("body.tasks[1].type", "image.thumbnial", "is not a type that any worker knows; did you mean image.thumbnail?"))),
	}}

	exampleLog = Log{Lines: []client.LogLine{{
		Time: time.Date(2026, 11, 24, 9, 0, 1, 0, time.UTC), Level: "INFO", Message: "scaled the image", Attempt: 1,
		Attrs: map[string]json.RawMessage{"size": json.RawMessage("512")},
	}}}

	exampleQueue  = Queue{Name: "default", Pending: 3, Active: 10, Succeeded: 120, Latency: 0.4, Processed: 2048, Failed: 17}
	examplePaused = Queue{Name: "default", Paused: true, Pending: 3, Succeeded: 120, Latency: 61.2, Processed: 2048, Failed: 17}
	exampleQueues = Queues{Queues: []Queue{exampleQueue}}
	examplePage   = Page{Tasks: []wire.Task{exampleRunning}, Next: "50"}
	exampleTypes  = Types{Types: []Type{{
		Name:    "image.thumbnail",
		Args:    json.RawMessage(`{"type":"object","properties":{"source":{"type":"string"},"sizes":{"type":"array","items":{"type":"integer"}}},"required":["source","sizes"],"additionalProperties":false}`),
		Queues:  []string{"default"},
		Workers: 2,
	}}}
)

var (
	exampleDefinition = json.RawMessage(`{"cron":"0 3 * * *","timezone":"Europe/Berlin","task":"csv.profile","payload":{"source":"https://example.com/sales.csv"},"expires_after":"1h"}`)
	exampleSchedule   = Schedule{
		ID: "nightly-report", Queue: "default", Source: "api", Revision: "8f2f6a0d3c5b9e71",
		Definition: json.RawMessage(`{"id":"nightly-report","cron":"0 3 * * *","timezone":"Europe/Berlin","task":"csv.profile","payload":{"source":"https://example.com/sales.csv"},"queue":"default","max_retries":25,"timeout":"30m0s","retention":"24h0m0s","expires_after":"1h0m0s","enabled":true}`),
		Next:       new(exampleTick.Add(24 * time.Hour)), Last: &exampleTick, LastTask: "sched:nightly-report:1769824800", State: seri.Succeeded, Runs: 31,
	}
	examplePausedSchedule = func() Schedule {
		s := exampleSchedule
		s.Next, s.Paused = nil, &Pause{Since: exampleAt, Note: "the report is being repaired"}
		return s
	}()
	exampleSchedules = SchedulePage{Schedules: []Schedule{exampleSchedule}}
	exampleTick      = time.Date(2026, 1, 31, 2, 0, 0, 0, time.UTC)
	exampleRun       = Run{exampleAt, "sched:nightly-report:1769867100", "enqueued"}
	exampleBackfill  = Backfill{Ticks: 2, Enqueued: 1, Exist: 1, Runs: []Run{
		{exampleTick.Add(-24 * time.Hour), "sched:nightly-report:1769738400", "enqueued"}, {exampleTick, "sched:nightly-report:1769824800", "exists"},
	}}
	exampleHistory = History{Ticks: []Past{
		{Tick: exampleTick, Task: "sched:nightly-report:1769824800", State: seri.Succeeded, LateMs: new(int64(3))},
		{Tick: exampleTick.Add(-48 * time.Hour), Missed: 2, Last: new(exampleTick.Add(-24 * time.Hour)), Reason: seri.ReasonOutage},
	}}
	exampleUpcoming = Upcoming{
		Timezone: "Europe/Berlin", Ticks: []Tick{{Tick: time.Date(2026, 3, 29, 1, 0, 0, 0, time.UTC), Local: "2026-03-29T03:00:00+02:00"}},
		Calendar: []CalendarDay{{Date: "2026-03-29", Ticks: 1, ClockChange: 3600}},
	}
)

const exampleFrame = "id: default@1763800000123-0:0\n" +
	"event: dev.seri.task.started\n" +
	`data: {"specversion":"1.0","id":"default/1763800000123-0:0","source":"/v1/queues/default","type":"dev.seri.task.started",` +
	`"subject":"R4ZFQ2M5KXW7TJ3NB6VYAH2CLE","time":"2026-01-31T13:45:00.123Z","datacontenttype":"application/json",` +
	`"data":{"task":"R4ZFQ2M5KXW7TJ3NB6VYAH2CLE","type":"image.thumbnail","queue":"default","state":"active","seq":2,"attempt":1}}` + "\n\n"

func exampleStage(state seri.State, seq uint64, change func(*wire.Task)) wire.Task {
	info := seri.Info{
		ID: "R4ZFQ2M5KXW7TJ3NB6VYAH2CLE", Type: "image.thumbnail", Queue: seri.DefaultQueue, Owner: "user:42", State: state,
		Payload:    []byte(`{"source":"https://example.com/photo.jpeg","sizes":[64,512]}`),
		MaxRetries: seri.DefaultMaxRetries, Timeout: seri.DefaultTimeout, Retention: seri.DefaultRetention,
		EnqueuedAt: exampleAt, Seq: seq,
	}
	if state == seri.Active || state == seri.Succeeded {
		info.Attempt, info.StartedAt = 1, exampleAt.Add(20*time.Millisecond)
	}
	if state.Terminal() {
		info.FinishedAt = exampleAt.Add(300 * time.Millisecond)
	}
	t := wire.NewTask(info)
	change(&t)
	return t
}

var (
	exampleTokenRequest = map[string]any{"tasks": []string{"R4ZFQ2M5KXW7TJ3NB6VYAH2CLE"}, "ttl": 900, "origin": "https://app.example.com"}
	exampleToken        = Token{Token: "eyJhbGciOiJIUzI1NiIsImtpZCI6ImEiLCJ0eXAiOiJzZXJpLWxpdmUrand0In0.eyJpc3MiOiJzZXJpIn0.c2lnbmF0dXJl", ExpiresAt: exampleAt.Add(15 * time.Minute)}
)
