package schedule

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"testing"
)

// A definition is written by hand, for speed: it is what Go's encoder writes, or each schedule would seem changed.
func TestADefinitionIsWhatTheEncoderWrites(t *testing.T) {
	t.Parallel()
	texts := []string{"", "0 3 * * *", `a "b" \ c`, "<script>&", "Zürich\u2028\u2029", "line\nbreak\ttab\x00\x1f\x7f\b\f", "\xff\xc0", "🌱"}
	random := rand.New(rand.NewPCG(1, 2))
	some := func() string { return texts[random.IntN(len(texts))] }
	for range 5000 {
		var f form
		v := reflect.ValueOf(&f).Elem()
		for _, field := range v.Fields() {
			switch field.Kind() {
			case reflect.String:
				field.SetString(some())
			case reflect.Int:
				field.SetInt(random.Int64N(3) * 1000)
			case reflect.Bool:
				field.SetBool(random.IntN(2) == 0)
			}
		}
		switch random.IntN(3) {
		case 0:
			f.Payload = json.RawMessage(`{"b":1.10,"a":"<\u2028é"}`)
		case 1:
			f.PayloadBytes = new("AAE=")
		}
		if random.IntN(2) == 0 {
			f.Headers = map[string]string{"b": some(), "a": some()}
		}
		if random.IntN(4) == 0 {
			f.Solar = &solarForm{"sunset", "52.52", "-13.4"}
		}
		var want bytes.Buffer
		e := json.NewEncoder(&want)
		e.SetEscapeHTML(false)
		if err := e.Encode(f); err != nil {
			t.Fatal(err)
		}

		got, err := f.append(nil)

		if err != nil || string(got)+"\n" != want.String() {
			t.Fatalf("%s%s, %v", want.String(), got, err)
		}
	}
}

func TestTheTimingIsThatOfEarlierVersions(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"id":"s","task":"t","cron":"30 2 * * *","timezone":"Europe/Berlin","dst":"skip","fold":"both"}`: "dc15e19ad5370374",
		`{"id":"s","task":"t","every":"90s","start":"2026-01-01T00:00:00Z","end":"2027-01-01T00:00:00Z"}`: "3a28140d6578d60a",
		`{"id":"s","task":"t","cron":"0 0 13 * fri","day":"and","enabled":false}`:                         "368ca2620eee8d2c",
	} {
		var s Schedule
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			t.Fatal(err)
		}
		if got := s.Timing(); got != want {
			t.Errorf("the timing of %s is %s, want %s", text, got, want)
		}
	}
}
