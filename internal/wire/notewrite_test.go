package wire

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/seri-queue/seri"
)

// notedAlike checks that a note is encoded as encoding/json does it, or refused as by it.
func notedAlike(t *testing.T, typ, id, subscription string, at time.Time, data any) {
	t.Helper()
	encoded, wantErr := json.Marshal(data)
	var want []byte
	if wantErr == nil {
		want, wantErr = json.Marshal(CloudEvent{
			SpecVersion: "1.0", ID: id, Source: "/v1/events", Type: typ, Time: at.UTC(), DataContentType: "application/json",
			Subscription: subscription, Data: encoded,
		})
	}

	got, err := AppendNote([]byte("before"), typ, id, subscription, at, data)

	switch {
	case (err == nil) != (wantErr == nil):
		t.Errorf("%+v: the error is %v, of encoding/json it is %v", data, err, wantErr)
	case err == nil && string(got) != "before"+string(want):
		t.Errorf("got  %s\nwant %s", got[len("before"):], want)
	}
}

func TestNotesAreWrittenAsEncodingJSONWritesThem(t *testing.T) {
	t.Parallel()
	at := time.UnixMilli(1_763_800_000_123)
	for name, data := range map[string]any{
		"nothing":         struct{}{},
		"null":            nil,
		"a reset":         Gap{Queue: "<q>", After: "1-0:0"},
		"dropped":         Dropped{Count: 3},
		"refused":         Refused{Op: "subscribe", Status: 404, Title: "Not Found", Detail: `no "task"`},
		"log lines":       LogLines{Lines: []LogLine{{}}, Cut: true},
		"no names":        Subscribed{},
		"an empty list":   Subscribed{Subscriptions: []string{}},
		"a consumer":      Subscribed{Subscriptions: oddTexts, Resumed: true, Consumer: "<me>", Token: math.MaxUint64},
		"no tasks":        Snapshot{},
		"none at all":     Snapshot{Tasks: []Task{}, Truncated: true},
		"an empty task":   Snapshot{Tasks: []Task{{}}},
		"what is no JSON": Snapshot{Tasks: []Task{{Payload: []byte("{")}}},
		"no number":       Snapshot{Tasks: []Task{{Retention: math.NaN()}}},
		"a time too late": Snapshot{Tasks: []Task{{DueAt: new(time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC))}}},
		"nothing at all":  make(chan int),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			notedAlike(t, "dev.seri.alive", "note/1", "", at, data)
			notedAlike(t, "dev.<seri>", "„id“", "own & other", at, data)
		})
	}
	notedAlike(t, TypeAlive, "alive/1", "", time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC), struct{}{})
}

// randomTask sets each field to nothing, to something ordinary or to something odd.
func randomTask(random *rand.Rand) Task {
	text := func() string { return oddTexts[random.IntN(len(oddTexts))*random.IntN(2)] }
	number := func() int { return []int{0, 0, 1, -1, 12_345_678, math.MaxInt, math.MinInt}[random.IntN(7)] }
	seconds := func() float64 {
		return []float64{
			0, math.Copysign(0, -1), 30, 0.25, -1.5, 1e-6, 9.9e-7, 1e-9, 123_456_789.012, 1e20, 1e21, 1.5e300, math.MaxFloat64, math.SmallestNonzeroFloat64,
		}[random.IntN(14)]
	}
	at := func() *time.Time {
		if random.IntN(2) > 0 {
			return nil
		}
		if random.IntN(30) > 0 {
			return &oddTimes[random.IntN(7)]
		}
		return &oddTimes[random.IntN(len(oddTimes))]
	}
	raw := func() json.RawMessage {
		if random.IntN(2) > 0 {
			return nil
		}
		if random.IntN(10) > 0 {
			return json.RawMessage(oddResults[random.IntN(9)])
		}
		return json.RawMessage(oddResults[random.IntN(len(oddResults))])
	}
	t := Task{
		ID: text(), Type: text(), Queue: text(), Partition: number(), Owner: text(), State: seri.State(text()), Reason: seri.Reason(text()),
		Payload: raw(), PayloadBase64: []byte(text()), Attempt: number(), MaxRetries: number(), Crashes: number(),
		Timeout: seconds(), Retention: seconds(), Result: raw(), Error: text(), EnqueuedAt: at(), DueAt: at(), StartedAt: at(),
		FinishedAt: at(), ExpiresAt: at(), Deadline: at(), Seq: uint64(number()),
	}
	if random.IntN(2) > 0 {
		t.Headers = map[string]string{}
		for range random.IntN(4) {
			t.Headers[text()] = text()
		}
	}
	if random.IntN(2) > 0 {
		t.Progress = &seri.ProgressInfo{Done: int64(number()), Total: int64(number()), Message: text()}
	}
	return t
}

func TestRandomSnapshotsAreWrittenAsEncodingJSONWritesThem(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	for range 2000 {
		s := Snapshot{Tasks: make([]Task, random.IntN(3)), Truncated: random.IntN(2) > 0}
		for i := range s.Tasks {
			s.Tasks[i] = randomTask(random)
		}
		notedAlike(t, TypeSnapshot, "snapshot/q@1-0:0", "own", time.UnixMilli(1_763_800_000_123), s)
	}
}

func FuzzAppendNote(f *testing.F) {
	for i, text := range oddTexts {
		f.Add(text, []byte(oddResults[i%len(oddResults)]), float64(i), int64(i))
	}
	f.Add("a", []byte(nil), 1e-7, int64(math.MinInt64))
	f.Add("b", []byte("1"), math.Inf(1), int64(math.MaxInt64))
	f.Fuzz(func(t *testing.T, text string, raw []byte, seconds float64, n int64) {
		at := time.UnixMilli(n)
		notedAlike(t, text, text, text, time.UnixMilli(0), Subscribed{Subscriptions: []string{text, ""}, Consumer: text, Token: uint64(n)})
		notedAlike(t, TypeSnapshot, text, "", time.UnixMilli(0), Snapshot{Tasks: []Task{{
			ID: text, Type: text, Queue: text, Owner: text, State: seri.State(text), Payload: raw, PayloadBase64: raw, Headers: map[string]string{text: text},
			Attempt: int(n), Timeout: seconds, Retention: -seconds, Error: text, DueAt: &at, Seq: uint64(n),
		}}})
	})
}
