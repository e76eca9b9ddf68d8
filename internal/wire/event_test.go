package wire

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/seri-queue/seri"
)

func TestDecodeEventsReadsEveryKind(t *testing.T) {
	t.Parallel()
	at := time.UnixMilli(1_763_800_000_123)
	head := seri.Event{Task: "t1", Type: "csv.profile", Queue: "q", Owner: "user:42", Seq: 7, Time: at}
	about := About("t1", "csv.profile", "user:42")
	for sentence, c := range map[string]struct {
		rest string // from "kind" on
		kind seri.EventKind
		data seri.EventData
	}{
		"queued":             {`"kind":"queued",` + about, seri.EventQueued, seri.EventData{}},
		"handed back":        {HandedBackEvent(about), seri.EventQueued, seri.EventData{Reason: "handed_back"}},
		"scheduled":          {`"kind":"scheduled",` + about + `,"data":{"due":1763800000999}`, seri.EventScheduled, seri.EventData{Due: time.UnixMilli(1_763_800_000_999)}},
		"started":            {`"kind":"started",` + about + `,"data":{"attempt":2,"worker":"h:1:x"}`, seri.EventStarted, seri.EventData{Attempt: 2, Worker: "h:1:x"}},
		"progress":           {`"kind":"progress",` + about + `,"data":{"done":1,"total":3,"message":"m"}`, seri.EventProgress, seri.EventData{Progress: &seri.ProgressInfo{Done: 1, Total: 3, Message: "m"}}},
		"progress of none":   {`"kind":"progress",` + about + `,"data":{"done":0,"total":0}`, seri.EventProgress, seri.EventData{Progress: &seri.ProgressInfo{}}},
		"retrying":           {`"kind":"retrying",` + about + `,"data":{"due":5,` + FailedAttempt(3, `no "way"`) + `}`, seri.EventRetrying, seri.EventData{Due: time.UnixMilli(5), Attempt: 3, Error: `no "way"`}},
		"succeeded":          {succeeded(about, `{"a":[1]}`), seri.EventSucceeded, seri.EventData{Attempt: 1, Result: []byte(`{"a":[1]}`)}},
		"succeeded silently": {succeeded(about, ""), seri.EventSucceeded, seri.EventData{Attempt: 1}},
		"failed":             {EndedEvent(seri.EventFailed, about, 4, seri.ReasonExhausted, "boom"), seri.EventFailed, seri.EventData{Attempt: 4, Reason: seri.ReasonExhausted, Error: "boom"}},
		"revoked":            {EndedEvent(seri.EventRevoked, about, 1, seri.ReasonRevoked, ""), seri.EventRevoked, seri.EventData{Attempt: 1, Reason: seri.ReasonRevoked}},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			want := head
			want.Kind, want.Data = c.kind, c.data

			got, err := DecodeEvents("q", `[{"seq":7,"at":1763800000123,`+c.rest+`}]`)

			if err != nil || len(got) != 1 || !reflect.DeepEqual(got[0], want) {
				t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
			}
		})
	}
}

func TestDecodeEventsKeepsTheOrderOfABatch(t *testing.T) {
	t.Parallel()
	got, err := DecodeEvents("q", `[{"seq":1,"at":1,"kind":"queued","task":"a","type":"x"},{"seq":1,"at":1,"kind":"queued","task":"b","type":"x"}]`)
	if err != nil || len(got) != 2 || got[0].Task != "a" || got[1].Task != "b" || got[0].Owner != "" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestDecodeEventsRefusesWhatIsNone(t *testing.T) {
	t.Parallel()
	for sentence, entry := range map[string]string{
		"nothing": "", "an object": "{}", "a cut array": `[{"seq":1`, "a negative number": `[{"seq":-1}]`, "a text for a time": `[{"at":"now"}]`,
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			if got, err := DecodeEvents("q", entry); err == nil {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestAboutQuotesAnyText(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"plain", `"\/`, "größe", "<a&b>", "\u2028", "tab\tnew\nline", "bad\xff", "\x00\x7f", "日本"} {
		var got struct{ Task, Type, Owner string }

		if err := json.Unmarshal([]byte("{"+About(text, text, text)+"}"), &got); err != nil {
			t.Errorf("%q: %v", text, err)
		}

		if want := strings.ToValidUTF8(text, "\ufffd"); got.Task != want || got.Type != want || got.Owner != want {
			t.Errorf("%q became %+v", text, got)
		}
	}
	if about := About("t", "x", ""); strings.Contains(about, "owner") {
		t.Errorf("a task without an owner: %s", about)
	}
}

// succeeded does the script's part of the event.
func succeeded(about, result string) string {
	event := SucceededEvent(about, 1, len(result))
	if result != "" && len(result) <= MaxEventResult {
		event += result + "}"
	}
	return event
}

func TestALargeResultStaysBehind(t *testing.T) {
	t.Parallel()
	for size, truncated := range map[int]bool{MaxEventResult: false, MaxEventResult + 1: true} {
		result := `"` + strings.Repeat("x", size-2) + `"`

		got, err := DecodeEvents("q", `[{"seq":1,"at":1,`+succeeded(About("t", "x", ""), result)+`}]`)

		if err != nil || got[0].Data.Truncated != truncated || (len(got[0].Data.Result) == 0) != truncated {
			t.Errorf("a result of %d bytes: truncated %t, %d bytes, %v", size, got[0].Data.Truncated, len(got[0].Data.Result), err)
		}
	}
}

func TestEventsOfSchedulesHaveNeitherTaskNorNumber(t *testing.T) {
	t.Parallel()
	at, tick := time.UnixMilli(1_763_800_000_123), time.Unix(1_763_800_000, 0)
	for sentence, c := range map[string]struct {
		data string
		kind seri.EventKind
		want seri.ScheduleEvent
		json string // of the CloudEvent's data
	}{
		"fired": {
			`{"task_id":"sched:s:1763800000","tick":1763800000,"late":12}`, seri.EventScheduleFired,
			seri.ScheduleEvent{Task: "sched:s:1763800000", Tick: tick, Late: 12 * time.Millisecond},
			`{"schedule":"s","queue":"q","task":"sched:s:1763800000","tick":"2025-11-22T08:26:40Z","late_ms":12}`,
		},
		"fired to the millisecond": {
			`{"task_id":"t","tick":1763800000,"late":0}`, seri.EventScheduleFired, seri.ScheduleEvent{Task: "t", Tick: tick},
			`{"schedule":"s","queue":"q","task":"t","tick":"2025-11-22T08:26:40Z","late_ms":0}`,
		},
		"missed": {
			MissedTicks(3, true, tick, tick.Add(2*time.Second)), seri.EventScheduleMissed,
			seri.ScheduleEvent{Count: 3, More: true, First: tick, Last: tick.Add(2 * time.Second), Reason: seri.ReasonOutage},
			`{"schedule":"s","queue":"q","count":3,"more":true,"first":"2025-11-22T08:26:40Z","last":"2025-11-22T08:26:42Z","reason":"outage"}`,
		},
		"paused":  {`{"note":"why"}`, seri.EventSchedulePaused, seri.ScheduleEvent{Note: "why"}, `{"schedule":"s","queue":"q","note":"why"}`},
		"resumed": {`{}`, seri.EventScheduleResumed, seri.ScheduleEvent{}, `{"schedule":"s","queue":"q"}`},
		"changed": {`{}`, seri.EventScheduleChanged, seri.ScheduleEvent{}, `{"schedule":"s","queue":"q"}`},
		"removed": {`{}`, seri.EventScheduleRemoved, seri.ScheduleEvent{}, `{"schedule":"s","queue":"q"}`},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			c.want.ID = "s"
			want := seri.Event{Kind: c.kind, Queue: "q", Time: at, Data: seri.EventData{Schedule: &c.want}}

			got, err := DecodeEvents("q", `[{"seq":0,"at":1763800000123,"kind":"`+string(c.kind)+`","schedule":"s","data":`+c.data+`}]`)

			if err != nil || len(got) != 1 || !reflect.DeepEqual(got[0], want) {
				t.Fatalf("got  %+v, %v\nwant %+v", got, err, want)
			}
			text, err := AppendCloudEvent(nil, &got[0], "1-0:0")
			if err != nil {
				t.Fatal(err)
			}
			var frame CloudEvent
			if err := json.Unmarshal(text, &frame); err != nil || frame.Type != "dev.seri."+string(c.kind) || frame.Subject != "s" || frame.Sequence != "" || string(frame.Data) != c.json {
				t.Errorf("frame %+v with %s, %v", frame, frame.Data, err)
			}
		})
	}
}
