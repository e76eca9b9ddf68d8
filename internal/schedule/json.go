package schedule

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/seri-queue/seri"
)

// form is a schedule as JSON. Its fields are those of the file.
type form struct {
	ID           string            `json:"id"`
	Cron         string            `json:"cron,omitempty"`
	Every        string            `json:"every,omitempty"`
	At           string            `json:"at,omitempty"`
	Solar        *solarForm        `json:"solar,omitempty"`
	RRule        string            `json:"rrule,omitempty"`
	Timezone     string            `json:"timezone,omitempty"`
	Day          DayRule           `json:"day,omitempty"`
	DST          DSTRule           `json:"dst,omitempty"`
	Fold         FoldRule          `json:"fold,omitempty"`
	Task         string            `json:"task"`
	Payload      json.RawMessage   `json:"payload,omitempty"`
	PayloadBytes *string           `json:"payload_base64,omitempty"`
	Queue        string            `json:"queue"`
	MaxRetries   int               `json:"max_retries"`
	Timeout      string            `json:"timeout"`
	Retention    string            `json:"retention"`
	ExpiresAfter string            `json:"expires_after,omitempty"`
	Owner        string            `json:"owner,omitempty"`
	Headers      map[string]string `json:"headers,omitempty"`
	Enabled      bool              `json:"enabled"`
	Catchup      Catchup           `json:"catchup,omitempty"`
	Deadline     string            `json:"deadline,omitempty"`
	CatchupLimit int               `json:"catchup_limit,omitempty"`
	Overlap      Overlap           `json:"overlap,omitempty"`
	Jitter       string            `json:"jitter,omitempty"`
	Start        string            `json:"start,omitempty"`
	End          string            `json:"end,omitempty"`
	Limit        int               `json:"limit,omitempty"`
	PauseAfter   int               `json:"pause_after,omitempty"`
}

type solarForm struct {
	Event     string      `json:"event"`
	Latitude  json.Number `json:"latitude"`
	Longitude json.Number `json:"longitude"`
}

// MarshalJSON returns the schedule in the form of one in a file. Equal schedules have equal forms.
func (s Schedule) MarshalJSON() ([]byte, error) {
	f := form{
		ID: s.ID, Task: s.Task.Type, Queue: s.Task.Queue, MaxRetries: s.Task.MaxRetries, Timeout: s.Task.Timeout.String(),
		Retention: s.Task.Retention.String(), Owner: s.Task.Owner, Headers: s.Task.Headers, Enabled: s.Enabled, Catchup: s.Catchup,
		Deadline: durationForm(s.Deadline), CatchupLimit: s.CatchupLimit, Overlap: s.Overlap, Jitter: durationForm(s.Jitter),
		Start: timeForm(s.Start), End: timeForm(s.End), Limit: s.Limit, PauseAfter: s.PauseAfter,
		ExpiresAfter: durationForm(s.ExpiresAfter),
	}
	if s.ExpiresWithNext {
		f.ExpiresAfter = untilNext
	}
	s.Spec.fill(&f)
	if compact(s.Task.Payload) {
		f.Payload = s.Task.Payload
	} else {
		f.PayloadBytes = new(base64.StdEncoding.EncodeToString(s.Task.Payload))
	}
	text, err := f.append(make([]byte, 0, 256+len(f.Payload)))
	if err != nil {
		return nil, fmt.Errorf("schedule %s: %w", s.ID, err)
	}
	return text, nil
}

// append appends the form as [json.Encoder] writes it without escaping what is special in HTML. A beat that starts has to
// know the forms of all schedules of its file, and does it this way in a fifth of the time.
func (f *form) append(b []byte) ([]byte, error) {
	var errs []error
	open := byte('{')
	name := func(name string) {
		b = append(append(append(b, open, '"'), name...), '"', ':')
		open = ','
	}
	always := func(field, value string) {
		name(field)
		b = appendText(b, value)
	}
	text := func(field, value string) {
		if value != "" {
			always(field, value)
		}
	}
	encoded := func(field string, value any) {
		name(field)
		quoted, err := encode(value)
		b, errs = append(b, quoted...), append(errs, err)
	}
	number := func(field string, n int) {
		name(field)
		b = strconv.AppendInt(b, int64(n), 10)
	}
	always("id", f.ID)
	text("cron", f.Cron)
	text("every", f.Every)
	text("at", f.At)
	if f.Solar != nil {
		encoded("solar", f.Solar)
	}
	text("rrule", f.RRule)
	text("timezone", f.Timezone)
	text("day", string(f.Day))
	text("dst", string(f.DST))
	text("fold", string(f.Fold))
	always("task", f.Task)
	if len(f.Payload) > 0 {
		name("payload")
		b = append(b, f.Payload...) // it is compact
	}
	if f.PayloadBytes != nil {
		always("payload_base64", *f.PayloadBytes)
	}
	always("queue", f.Queue)
	number("max_retries", f.MaxRetries)
	always("timeout", f.Timeout)
	always("retention", f.Retention)
	text("expires_after", f.ExpiresAfter)
	text("owner", f.Owner)
	if len(f.Headers) > 0 {
		encoded("headers", f.Headers)
	}
	name("enabled")
	b = strconv.AppendBool(b, f.Enabled)
	text("catchup", string(f.Catchup))
	text("deadline", f.Deadline)
	if f.CatchupLimit != 0 {
		number("catchup_limit", f.CatchupLimit)
	}
	text("overlap", string(f.Overlap))
	text("jitter", f.Jitter)
	text("start", f.Start)
	text("end", f.End)
	if f.Limit != 0 {
		number("limit", f.Limit)
	}
	if f.PauseAfter != 0 {
		number("pause_after", f.PauseAfter)
	}
	return append(b, '}'), errors.Join(errs...)
}

// appendText appends text as JSON.
func appendText(b []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, err := encode(text)
			if err != nil {
				panic(err) // text always encodes
			}
			return append(b, quoted...)
		}
	}
	return append(append(append(b, '"'), text...), '"')
}

func encode(value any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(value)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// compact reports whether a payload is JSON that comes back as it is: encoders drop spaces, and escape what is special in
// HTML, which [readable] undoes.
func compact(payload []byte) bool {
	var b bytes.Buffer
	return json.Compact(&b, payload) == nil && bytes.Equal(readable(b.Bytes()), payload)
}

// readable writes out what Go's encoder escapes in JSON although JSON does not ask for it.
func readable(text []byte) []byte {
	if !bytes.Contains(text, []byte(`\u`)) {
		return text
	}
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' || i+1 == len(text) {
			out = append(out, text[i])
			continue
		}
		if i+6 <= len(text) {
			if plain, ok := escaped[string(text[i:i+6])]; ok {
				out = append(out, plain...)
				i += 5
				continue
			}
		}
		out = append(out, text[i], text[i+1])
		i++
	}
	return out
}

var escaped = map[string]string{`\u003c`: "<", `\u003e`: ">", `\u0026`: "&", `\u2028`: "\u2028", `\u2029`: "\u2029"}

func durationForm(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

func timeForm(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func (s Spec) fill(f *form) {
	kind, rest, _ := strings.Cut(s.text, " ")
	switch {
	case kind == "@every":
		f.Every = rest
	case kind == "@at":
		f.At = rest
	case kind == "@solar":
		event, place, _ := strings.Cut(rest, " ")
		latitude, longitude, _ := strings.Cut(place, " ")
		f.Solar = &solarForm{event, json.Number(latitude), json.Number(longitude)}
	case strings.Contains(s.text, "RRULE:"):
		f.RRule = s.text
	default:
		f.Cron = s.text
	}
	if s.clockAsked() && s.Zone() != time.UTC {
		f.Timezone = s.Zone().String()
	}
	f.Day, f.DST, f.Fold = s.options.Day, s.options.DST, s.options.Fold
}

// clockAsked reports whether the spec is about what a clock shows, so that its zone matters.
func (s Spec) clockAsked() bool {
	switch s.rule.(type) {
	case timeOfDay, rhythm:
		return true
	}
	return false
}

// UnmarshalJSON reads the form of one schedule in a file, as JSON. The error joins a [*Fault] for everything that is wrong.
func (s *Schedule) UnmarshalJSON(text []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var fields map[string]any
	var raw struct {
		Payload json.RawMessage `json:"payload"`
	}
	if err := errors.Join(decoder.Decode(&fields), json.Unmarshal(text, &raw)); err != nil {
		return fmt.Errorf("read schedule: %w", err)
	}
	if fields == nil {
		return errors.New("read schedule: null is no schedule")
	}
	payload := raw.Payload
	if payload != nil { // taken as it is: no digit and no escape of it may change
		fields["payload"] = map[string]any{}
	}
	l := newLoader()
	l.about = "?"
	read := l.schedule(nodeOf(fields))
	switch {
	case len(payload) > seri.MaxPayloadBytes:
		l.faultIn("payload", &yaml.Node{}, "payload has %d bytes, the limit is %d", len(payload), seri.MaxPayloadBytes)
	case payload != nil && depthOf(payload) > MaxPayloadDepth:
		l.faultIn("payload", &yaml.Node{}, "payload is nested more than %d levels deep", MaxPayloadDepth)
	case payload != nil:
		var b bytes.Buffer
		if err := json.Compact(&b, payload); err != nil {
			return fmt.Errorf("read schedule: payload: %w", err)
		}
		read.Task.Payload = readable(b.Bytes())
	}
	if err := l.err(); err != nil {
		return err
	}
	*s = read
	return nil
}

// nodeOf returns a value of JSON as YAML's reader would.
func nodeOf(v any) *yaml.Node {
	scalar := func(tag, value string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: value} }
	switch v := v.(type) {
	case nil:
		return scalar("!!null", "null")
	case bool:
		return scalar("!!bool", strconv.FormatBool(v))
	case json.Number:
		if _, err := v.Int64(); err == nil {
			return scalar("!!int", v.String())
		}
		return scalar("!!float", v.String())
	case string:
		return scalar("!!str", v)
	case []any:
		n := &yaml.Node{Kind: yaml.SequenceNode}
		for _, item := range v {
			n.Content = append(n.Content, nodeOf(item))
		}
		return n
	case map[string]any:
		n := &yaml.Node{Kind: yaml.MappingNode}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			n.Content = append(n.Content, scalar("!!str", key), nodeOf(v[key]))
		}
		return n
	}
	panic(fmt.Sprintf("schedule: JSON has no %T", v))
}

// depthOf returns how deep lists and objects are nested in JSON.
func depthOf(text []byte) (deepest int) {
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[', c == '{':
			depth++
			deepest = max(deepest, depth)
		case c == ']', c == '}':
			depth--
		}
	}
	return deepest
}

// Digest names a definition: of two that differ, the digests differ too.
func Digest(definition []byte) string {
	sum := sha256.Sum256(definition)
	return hex.EncodeToString(sum[:8])
}

// Timing digests what decides when a schedule ticks. While it stays, so does the next tick.
func (s Schedule) Timing() string {
	o := s.Spec.options
	return Digest([]byte(s.Spec.text + "\n" + s.Zone().String() + "\n" + string(o.Day) + "\n" + string(o.DST) + string(o.Fold) + "\n" +
		timeForm(s.Start) + "\n" + timeForm(s.End) + "\n" + strconv.FormatBool(s.Enabled)))
}

// Zone returns the time zone of the schedule's spec.
func (s Schedule) Zone() *time.Location { return s.Spec.Zone() }
