package wire

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
)

// marshalled is the CloudEvent of an event as encoding/json makes it.
func marshalled(e seri.Event, position string) ([]byte, error) {
	ce := CloudEvent{
		SpecVersion: "1.0", ID: string(keys.Queue(e.Queue).Partition(e.Partition)) + "/" + position, Source: "/v1/queues/" + e.Queue,
		Type: "dev.seri.task." + string(e.Kind), Subject: e.Task, Time: e.Time.UTC(), DataContentType: "application/json",
		Sequence: strconv.FormatUint(e.Seq, 10),
	}
	var data any = TaskEvent{
		Task: e.Task, Type: e.Type, Queue: e.Queue, Partition: e.Partition, Owner: e.Owner, State: e.State(), Seq: e.Seq,
		Attempt: e.Data.Attempt, Worker: e.Data.Worker, Progress: e.Data.Progress, DueAt: optional(e.Data.Due),
		Error: e.Data.Error, Reason: e.Data.Reason, Result: e.Data.Result, Truncated: e.Data.Truncated,
	}
	if s := e.Data.Schedule; s != nil {
		ce.ID, ce.Type, ce.Subject, ce.Sequence = e.Queue+"/"+position, "dev.seri."+string(e.Kind), s.ID, ""
		of := ScheduleEvent{
			Schedule: s.ID, Queue: e.Queue, Task: s.Task, Tick: optional(s.Tick), Count: s.Count, More: s.More,
			First: optional(s.First), Last: optional(s.Last), Reason: s.Reason, Note: s.Note,
		}
		if e.Kind == seri.EventScheduleFired {
			of.LateMs = new(s.Late.Milliseconds())
		}
		data = of
	}
	var err error
	if ce.Data, err = json.Marshal(data); err != nil {
		return nil, err
	}
	return json.Marshal(ce)
}

// writtenAlike checks that an event is encoded as encoding/json does it, or refused as by it.
func writtenAlike(t *testing.T, e seri.Event, position string) {
	t.Helper()
	want, wantErr := marshalled(e, position)

	got, err := AppendCloudEvent([]byte("before"), &e, position)

	switch {
	case (err == nil) != (wantErr == nil):
		t.Errorf("%+v: the error is %v, of encoding/json it is %v", e, err, wantErr)
	case err == nil && string(got) != "before"+string(want):
		t.Errorf("got  %s\nwant %s", got[len("before"):], want)
	}
}

// oddTexts are texts that do not stand in JSON as they are, and some that nearly do not.
var oddTexts = []string{
	"", "a", "user:42", "größe 日本 🦉", `"quoted" \ /`, "<a href='x'>&amp;</a>", "line\nfeed\ttab\r\b\f", "\x00\x1f\x7f", "bad\xff", "\xe2\x80", "\xe2\x80\xa8",
	"\u2027\u2028\u2029\u202a", "\xed\xa0\x80", "\ufffd", strings.Repeat("é", 900), strings.Repeat("x", 3000),
}

var oddResults = []string{
	"", "null", "true", `{"a":[1,-2.5e+7,"b"]}`, " [ 1 ,\n2 ] ", `"<&>"`, "\"\u2028\"", `"\u2028\u003c"`, "\"\xff\"", "{", "1 2", "01", "\"\x01\"",
	`{"a" :1}`, `{"a": 1}`, `{"a":1 }`, `[ ]`, `"` + strings.Repeat("é", 2000) + `"`, strings.Repeat("[", maxDepth+1) + "1" + strings.Repeat("]", maxDepth+1),
}

var oddTimes = []time.Time{
	{}, time.UnixMilli(1_763_800_000_123), time.UnixMilli(0), time.UnixMilli(-1), time.Unix(1_763_800_000, 0), time.Unix(1, 20),
	time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC), time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC),
	time.Date(2025, 2, 3, 4, 5, 6, 700, time.FixedZone("", -5*3600)), time.Date(0, 1, 1, 0, 0, 0, 0, time.FixedZone("", 3600)),
}

var kinds = []seri.EventKind{
	seri.EventQueued, seri.EventScheduled, seri.EventStarted, seri.EventProgress, seri.EventRetrying, seri.EventSucceeded, seri.EventFailed,
	seri.EventRevoked, seri.EventRepaired, seri.EventTrimmed, seri.EventScheduleFired, seri.EventScheduleMissed, seri.EventSchedulePaused,
	seri.EventScheduleResumed, seri.EventScheduleChanged, seri.EventScheduleRemoved, "sung", "",
}

// randomEvent sets each field to nothing, to something ordinary or to something odd.
func randomEvent(random *rand.Rand) seri.Event {
	text := func() string { return oddTexts[random.IntN(len(oddTexts))*random.IntN(2)] }
	at := func() time.Time { // most are such as can be encoded, or few events would be
		if random.IntN(30) > 0 {
			return oddTimes[random.IntN(7)]
		}
		return oddTimes[random.IntN(len(oddTimes))]
	}
	number := func() int64 {
		return []int64{0, 0, 1, -1, 12_345_678_901, math.MaxInt64, math.MinInt64}[random.IntN(7)]
	}
	e := seri.Event{
		Kind: kinds[random.IntN(len(kinds))], Task: text(), Type: text(), Queue: text(), Owner: text(), Seq: uint64(number()), Time: at(),
		Partition: []int{0, 0, 3, 128, -1}[random.IntN(5)],
		Data: seri.EventData{
			Attempt: int(number()), Worker: text(), Due: at(), Error: text(), Reason: seri.Reason(text()), State: seri.State(text()),
			Truncated: random.IntN(2) > 0,
		},
	}
	if random.IntN(2) > 0 {
		e.Data.Result = []byte(oddResults[random.IntN(len(oddResults))])
	}
	if random.IntN(2) > 0 {
		e.Data.Progress = &seri.ProgressInfo{Done: number(), Total: number(), Message: text()}
	}
	if e.Kind.OfSchedule() || random.IntN(20) == 0 {
		e.Data.Schedule = &seri.ScheduleEvent{
			ID: text(), Task: text(), Tick: at(), Late: time.Duration(number()), Count: number(), More: random.IntN(2) > 0,
			First: at(), Last: at(), Reason: seri.Reason(text()), Note: text(),
		}
	}
	return e
}

func TestRandomEventsAreWrittenAsEncodingJSONWritesThem(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	for range 3000 {
		writtenAlike(t, randomEvent(random), "1795404418446-0:3")
	}
}

// Every event that we write is read and written again as by encoding/json.
func TestEveryKindOfEventIsWrittenAsEncodingJSONWritesIt(t *testing.T) {
	t.Parallel()
	for name, rest := range frames() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			events, err := DecodeEvents("mail", entryOf(rest))
			if err != nil {
				t.Fatal(err)
			}
			writtenAlike(t, events[0], "1795404418446-0:3")
		})
	}
}

func FuzzAppendCloudEvent(f *testing.F) {
	for i, text := range oddTexts {
		f.Add(string(kinds[i%len(kinds)]), text, "mail", []byte(oddResults[i%len(oddResults)]), int64(1_763_800_000_123), int64(i))
	}
	for i, result := range oddResults {
		f.Add("succeeded", "t", oddTexts[i%len(oddTexts)], []byte(result), int64(-i), int64(0))
	}
	f.Fuzz(func(t *testing.T, kind, text, queue string, result []byte, ms, n int64) {
		e := seri.Event{
			Kind: seri.EventKind(kind), Task: text, Type: text, Queue: queue, Owner: text, Seq: uint64(n), Partition: int(n), Time: time.UnixMilli(ms),
			Data: seri.EventData{Attempt: int(n), Worker: text, Error: text, Reason: seri.Reason(text), State: seri.State(text), Result: result},
		}
		writtenAlike(t, e, text)
		e.Data.Progress = &seri.ProgressInfo{Done: n, Total: ms, Message: text}
		e.Data.Due = time.UnixMilli(ms)
		writtenAlike(t, e, "1-0:0")
		e.Data.Schedule = &seri.ScheduleEvent{ID: text, Task: queue, Tick: e.Time, Late: time.Duration(n), Count: n, Reason: e.Data.Reason, Note: text}
		writtenAlike(t, e, "1-0:0")
	})
}

func TestACursorIsAddedAtTheEnd(t *testing.T) {
	t.Parallel()
	if got := string(WithCursor([]byte(`{"id":"a"}`), `q@1-0:0`)); got != `{"id":"a","cursor":"q@1-0:0"}` {
		t.Errorf("got %s", got)
	}
}
