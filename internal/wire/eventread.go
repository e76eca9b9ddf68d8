package wire

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/seri-queue/seri"
)

// DecodeEvents decodes the field e of an entry of a queue's event stream.
func DecodeEvents(queue, entry string) ([]seri.Event, error) {
	if events, ok := readEvents(queue, entry); ok {
		return events, nil
	}
	return decodeEvents(queue, entry)
}

// decodeEvents does what DecodeEvents does, of any JSON, and says what is wrong with what is none.
func decodeEvents(queue, entry string) ([]seri.Event, error) {
	var frames []frame
	if err := json.Unmarshal([]byte(entry), &frames); err != nil {
		return nil, fmt.Errorf("decode events of queue %q: %w", queue, err)
	}
	events := make([]seri.Event, len(frames))
	for i, f := range frames {
		events[i] = f.event(queue)
	}
	return events, nil
}

// readEvents does what DecodeEvents does, of entries as we write them: every gateway reads every event, and by reflection
// that takes four times as long. It returns false for what is written otherwise: white space, a field that is not known or
// is null, a number that is no integer or a large one.
func readEvents(queue, entry string) ([]seri.Event, bool) {
	r := eventReader{scanner[string]{text: entry}}
	if !r.is('[') {
		return nil, false
	}
	var events []seri.Event
	for {
		var f frame
		if !r.frame(&f) {
			return nil, false
		}
		f.own()
		if events == nil { // the others are likely to be about as long; whatever the first is, the guess is of the entry's order
			events = make([]seri.Event, 0, min(1000, 1+(len(entry)-r.at)*9/8/r.at)) // a call of ours writes no more
		}
		events = append(events, f.event(queue))
		if r.is(']') {
			break
		}
		if !r.is(',') {
			return nil, false
		}
	}
	if r.at < len(entry) {
		return nil, false
	}
	if spare := cap(events) - len(events); spare > len(events)/4 { // they are kept for long
		events = append(make([]seri.Event, 0, len(events)), events...)
	}
	return events, true
}

// own gives the frame's texts memory of their own, one piece for all of them. As parts of the entry they would keep all of
// it, and an entry may hold a thousand events of which somebody who is slow to read has one waiting.
func (f *frame) own() {
	d := &f.Data
	texts := [...]*string{
		(*string)(&f.Kind), &f.Task, &f.Type, &f.Owner, &f.Schedule,
		&d.Worker, &d.Error, (*string)(&d.Reason), (*string)(&d.State), &d.Message, &d.TaskID, &d.Note,
	}
	size := 0
	for _, text := range texts {
		size += len(*text)
	}
	var b strings.Builder
	b.Grow(size)
	for _, text := range texts {
		b.WriteString(*text)
	}
	all := b.String()
	for _, text := range texts {
		*text, all = all[:len(*text)], all[len(*text):]
	}
}

// eventReader reads frames. The texts that it reads are parts of the entry.
type eventReader struct{ scanner[string] }

func (r *eventReader) frame(f *frame) bool {
	if !r.is('{') {
		return false
	}
	for {
		ok := false
		switch r.key() {
		case "seq":
			ok = r.natural(&f.Seq)
		case "at":
			ok = r.integer(&f.At)
		case "kind":
			ok = r.string((*string)(&f.Kind))
		case "task":
			ok = r.string(&f.Task)
		case "type":
			ok = r.string(&f.Type)
		case "owner":
			ok = r.string(&f.Owner)
		case "data":
			ok = r.data(&f.Data)
		case "schedule":
			ok = r.string(&f.Schedule)
		}
		if !ok {
			return false
		}
		if r.is('}') {
			return true
		}
		if !r.is(',') {
			return false
		}
	}
}

func (r *eventReader) data(d *frameData) bool {
	if r.word("{}") {
		return true
	}
	if !r.is('{') {
		return false
	}
	for {
		if !r.datum(d) {
			return false
		}
		if r.is('}') {
			return true
		}
		if !r.is(',') {
			return false
		}
	}
}

func (r *eventReader) datum(d *frameData) bool {
	switch r.key() {
	case "attempt":
		n := int64(0)
		ok := r.integer(&n)
		d.Attempt = int(n)
		return ok && int64(d.Attempt) == n
	case "worker":
		return r.string(&d.Worker)
	case "due":
		return r.integer(&d.Due)
	case "error":
		return r.string(&d.Error)
	case "reason":
		return r.string((*string)(&d.Reason))
	case "state":
		return r.string((*string)(&d.State))
	case "result":
		from := r.at
		ok := r.value(maxDepth)
		d.Result = json.RawMessage(r.text[from:r.at])
		return ok
	case "truncated":
		return r.truth(&d.Truncated)
	case "done":
		return r.integer(&d.Done)
	case "total":
		return r.integer(&d.Total)
	case "message":
		return r.string(&d.Message)
	case "task_id":
		return r.string(&d.TaskID)
	case "tick":
		return r.integer(&d.Tick)
	case "late":
		return r.integer(&d.Late)
	case "count":
		return r.integer(&d.Count)
	case "more":
		return r.truth(&d.More)
	case "first":
		return r.integer(&d.First)
	case "last":
		return r.integer(&d.Last)
	case "note":
		return r.string(&d.Note)
	}
	return false
}

// key reads the name of a field and the colon; empty: there is none. Of a name with escapes it returns no field's name.
func (r *eventReader) key() string {
	if !r.is('"') {
		return ""
	}
	n := strings.IndexByte(r.text[r.at:], '"')
	if n < 0 {
		return ""
	}
	name := r.text[r.at : r.at+n]
	r.at += n + 1
	if !r.is(':') {
		return ""
	}
	return name
}

// string reads a string. One with escapes, or of bytes that are no UTF-8, is left to encoding/json.
func (r *eventReader) string(to *string) bool {
	from := r.at
	r.seen = 0
	if !r.quoted() {
		return false
	}
	text := r.text[from+1 : r.at-1]
	if r.seen&escape != 0 || r.seen&wide != 0 && !utf8.ValidString(text) {
		return unquote(r.text[from:r.at], to)
	}
	*to = text
	return true
}

// unquote reads a string by encoding/json.
func unquote(quoted string, to *string) bool {
	var text string // which has to move to the heap, where to has not
	if json.Unmarshal([]byte(quoted), &text) != nil {
		return false
	}
	*to = text
	return true
}

// natural reads an integer of at most 18 digits that has no sign.
func (r *eventReader) natural(to *uint64) bool {
	from := r.at
	if !r.digits() || r.at-from > 18 || r.text[from] == '0' && r.at-from > 1 {
		return false
	}
	n := uint64(0)
	for _, digit := range []byte(r.text[from:r.at]) {
		n = n*10 + uint64(digit-'0')
	}
	*to = n
	return true
}

// integer reads one that may be negative.
func (r *eventReader) integer(to *int64) bool {
	negative := r.is('-')
	n := uint64(0)
	if !r.natural(&n) {
		return false
	}
	*to = int64(n)
	if negative {
		*to = -*to
	}
	return true
}

func (r *eventReader) truth(to *bool) bool {
	*to = r.word("true")
	return *to || r.word("false")
}
