package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/schedule"
)

// TaskRequest is the body that enqueues one task. The struct describes it for the documentation; [decodeTask] reads it
// field by field, so that every fault can be told with its place.
type TaskRequest struct {
	Type         string            `json:"type" doc:"What to run. GET /v1/types lists what is known." example:"image.thumbnail" minLength:"1" maxLength:"256"`
	Payload      json.RawMessage   `json:"payload" doc:"The arguments: any JSON up to 256 KiB that fits the type's schema. {} for a task without arguments."`
	Queue        string            `json:"queue,omitempty" doc:"Where the task waits. Default: the queue of the type, mostly default." example:"default" maxLength:"256"`
	ID           string            `json:"id,omitempty" doc:"Unique in its queue: a second task with the id is refused with 409 while the first one exists. Those that begin with sched: belong to schedules. Default: random." maxLength:"256"`
	Owner        string            `json:"owner,omitempty" doc:"A label by which tasks can be watched." example:"user:42" maxLength:"256"`
	PartitionKey string            `json:"partition_key,omitempty" doc:"In a queue that is divided: tasks with the same key go to the same partition. Default: the id decides, or, with unique_for, type and payload." example:"user:42" maxLength:"256"`
	ETA          *time.Time        `json:"eta,omitempty" doc:"Earliest start, RFC 3339. Not together with countdown. Default: now."`
	Countdown    float64           `json:"countdown,omitempty" doc:"Seconds from now to the earliest start." minimum:"0"`
	Expires      *time.Time        `json:"expires,omitempty" doc:"A task that has not started by then is revoked, RFC 3339. Default: never."`
	Timeout      float64           `json:"timeout,omitempty" doc:"Seconds that one attempt may take, rounded up to whole ones. Default: that of the type, mostly 1800." exclusiveMinimum:"0"`
	MaxRetries   int               `json:"max_retries,omitempty" doc:"How often a failed attempt is repeated. Default: that of the type, mostly 25." minimum:"0" maximum:"2147483647"`
	Retention    float64           `json:"retention,omitempty" doc:"Seconds for which the result is kept after success, rounded up to whole ones; 0 deletes the task at once. Default: that of the type, mostly 86400." minimum:"0"`
	UniqueFor    float64           `json:"unique_for,omitempty" doc:"Seconds for which an equal task (type, payload, queue) is refused, unless this one has succeeded before. Default: that of the type, mostly 0: no such rule." minimum:"0"`
	Headers      map[string]string `json:"headers,omitempty" doc:"For the handler, up to 16 KiB."`
}

var taskFields = []string{"type", "payload", "queue", "id", "owner", "partition_key", "eta", "countdown", "expires", "timeout", "max_retries", "retention", "unique_for", "headers"}

// decodeTask reads one task from JSON that has passed [scan]. at is where it stands, such as "body.tasks[3]".
// terms tells the terms of a type, for what the request leaves out. It returns every fault.
func decodeTask(raw json.RawMessage, at string, now time.Time, terms func(typ string) seri.Message) (seri.Message, []Fault) {
	o := newObject(raw, at)
	if o.fields == nil {
		return seri.Message{}, o.faults
	}
	o.onlyKnown(taskFields)

	typ := o.text("type")
	m := terms(typ)
	m.Type, m.ID, m.Payload, m.Headers = typ, o.text("id"), o.payload(), o.texts("headers")
	m.Owner, m.ETA, m.Expires = o.text("owner"), o.time("eta"), o.time("expires")
	m.PartitionKey = o.text("partition_key")
	if o.has("queue") {
		m.Queue = o.text("queue")
	}
	if !o.has("id") {
		m.ID = seri.NewID()
	}
	if o.has("timeout") {
		m.Timeout = o.seconds("timeout", time.Nanosecond)
	}
	if o.has("retention") {
		m.Retention = o.seconds("retention", 0)
	}
	if o.has("unique_for") {
		m.UniqueFor = o.seconds("unique_for", 0)
	}
	if o.has("max_retries") {
		m.MaxRetries = o.count("max_retries")
	}
	if o.has("countdown") {
		if o.has("eta") {
			o.fault("countdown", nil, "stands beside eta; give one of the two")
		}
		if wait := o.seconds("countdown", 0); wait > 0 { // 0 means now by the store's clock, not by ours
			m.ETA = now.Add(wait)
		}
	}
	if !m.Expires.IsZero() && !m.Expires.After(now) {
		o.fault("expires", m.Expires, "is in the past, so the task could never start")
	}
	if strings.HasPrefix(m.ID, schedule.TaskPrefix) {
		o.fault("id", m.ID, "begins with "+schedule.TaskPrefix+" as those of schedules' tasks do: a tick would be taken for enqueued; choose another id")
	}
	o.check(m)
	return m, o.faults
}

// object reads the fields of a JSON object and collects their faults. A null counts as absent, except as a payload.
type object struct {
	at     string
	fields map[string]json.RawMessage // nil: it was no object
	faults []Fault
}

func newObject(raw json.RawMessage, at string) *object {
	o := &object{at: at}
	if err := json.Unmarshal(raw, &o.fields); err != nil || o.fields == nil {
		o.fields = nil
		o.faults = []Fault{newFault(at, raw, "must be an object")}
	}
	return o
}

func (o *object) fault(field string, value any, message string) {
	o.faults = append(o.faults, newFault(o.at+"."+field, value, message))
}

func (o *object) faulty(field string) bool {
	return slices.ContainsFunc(o.faults, func(f Fault) bool { return f.Location == o.at+"."+field })
}

// has reports whether a field is there. What is there and wrong has been reported by whoever read it.
func (o *object) has(field string) bool {
	raw, ok := o.fields[field]
	return ok && (string(raw) != "null" || field == "payload")
}

func (o *object) onlyKnown(known []string) {
	for _, field := range slices.Sorted(maps.Keys(o.fields)) {
		if slices.Contains(known, field) {
			continue
		}
		message := "is not a known field; known are " + strings.Join(known, ", ")
		if near := nearest(field, known); len(near) > 0 {
			message = "is not a known field; did you mean " + strings.Join(near, " or ") + "?"
		}
		o.fault(clip(field), nil, message)
	}
}

// read decodes a field, if it is there. want says what it should be.
func (o *object) read(field string, into any, want string) bool {
	if !o.has(field) {
		return false
	}
	if err := json.Unmarshal(o.fields[field], into); err != nil {
		o.fault(field, o.fields[field], "must be "+want)
		return false
	}
	return true
}

func (o *object) text(field string) (s string) {
	if o.read(field, &s, "a string") && halfCharacter(o.fields[field], s) {
		o.fault(field, nil, halfMessage)
	}
	return s
}

func (o *object) texts(field string) (m map[string]string) {
	o.read(field, &m, "an object of strings")
	for name, value := range m {
		if halfCharacter(o.fields[field], name+value) {
			o.fault(field, nil, halfMessage)
			break
		}
	}
	return m
}

const halfMessage = `has half of a surrogate pair, such as \ud800 alone, which is no character`

// halfCharacter tells whether something in text stands for half of a surrogate pair in the raw JSON: what is decoded has the
// replacement character in its place, and the caller could not find again what he has named.
func halfCharacter(raw json.RawMessage, text string) bool {
	return strings.ContainsRune(text, utf8.RuneError) && !bytes.ContainsRune(raw, utf8.RuneError) && !bytes.Contains(bytes.ToLower(raw), []byte(`\ufffd`))
}

func (o *object) count(field string) (n int) {
	o.read(field, &n, "a whole number from 0 to 2147483647")
	return n
}

func (o *object) time(field string) (t time.Time) {
	var text string
	if !o.read(field, &text, "a time such as 2026-01-31T13:45:00Z (RFC 3339)") {
		return t
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		o.fault(field, text, "must be a time such as 2026-01-31T13:45:00Z (RFC 3339)")
	}
	return t
}

func (o *object) seconds(field string, least time.Duration) time.Duration {
	var n json.Number
	if raw := o.fields[field]; len(raw) > 0 && raw[0] == '"' || !o.read(field, &n, "a number of seconds") {
		if !o.faulty(field) && o.has(field) { // a number in quotes, which json.Number would take
			o.fault(field, raw, "must be a number of seconds, without quotes")
		}
		return least
	}
	seconds, err := strconv.ParseFloat(string(n), 64)
	d := time.Duration(0)
	if err == nil && seconds >= 0 && seconds <= maxSeconds {
		d = time.Duration(seconds * float64(time.Second))
	} else {
		err = errors.New("out of range")
	}
	switch {
	case err != nil:
		o.fault(field, n, fmt.Sprintf("must be a number of seconds from 0 to %d (10 years)", maxSeconds))
		return least
	case d < least:
		o.fault(field, n, "must be more than 0 seconds")
		return least
	}
	return d
}

// payload returns the arguments without the white space between them, which counts neither for the limit nor for what
// is equal under unique_for. The bytes are the message's own.
func (o *object) payload() []byte {
	raw, ok := o.fields["payload"]
	if !ok {
		o.fault("payload", nil, "is missing; send {} if the task takes no arguments")
		return nil
	}
	var compact bytes.Buffer
	compact.Grow(len(raw))
	if err := json.Compact(&compact, raw); err != nil {
		o.fault("payload", nil, "must be JSON")
	}
	return compact.Bytes()
}

// check adds what [seri.Message.Validate] finds, which says it in words that begin with the field's name.
func (o *object) check(m seri.Message) {
	for _, name := range []struct{ field, value string }{{"id", m.ID}, {"queue", m.Queue}} {
		if err := checkReachable(name.value); err != nil {
			o.fault(name.field, name.value, err.Error())
		}
	}
	joined, ok := m.Validate().(interface{ Unwrap() []error })
	if !ok {
		return
	}
	for _, err := range joined.Unwrap() {
		field, message, _ := strings.Cut(err.Error(), " ")
		if field == "header" {
			field = "headers"
		}
		switch {
		case o.faulty(field): // the field could not be read, so what stands in the message is not the caller's
		case !slices.Contains(taskFields, field):
			o.faults = append(o.faults, newFault(o.at, nil, err.Error()))
		case !o.has(field):
			o.fault(field, nil, "is missing")
		default:
			o.fault(field, o.fields[field], message)
		}
	}
}
