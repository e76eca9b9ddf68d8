package schedule

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/seri-queue/seri"
)

// MaxIDBytes limits the ID of a schedule, which is a part of the ID of each of its tasks.
const MaxIDBytes = 200

// Fault is one thing that is wrong in a file of schedules.
type Fault struct {
	Line     int    // from 1; 0: not known
	Schedule string // its ID, or "#3" for the third one if it has none; empty: the file as a whole
	Field    string // of the schedule, such as "cron" or "solar.event"; empty: the schedule as a whole
	Err      error
}

func (f *Fault) Error() string {
	text := f.Err.Error()
	if f.Schedule != "" {
		text = "schedule " + f.Schedule + ": " + text
	}
	if f.Line > 0 {
		text = fmt.Sprintf("line %d: %s", f.Line, text)
	}
	return text
}

func (f *Fault) Unwrap() error { return f.Err }

// File is what a file of schedules says.
type File struct {
	// Revision orders the versions of a file: beats do not go back to a lower one. 0: not given.
	Revision  uint64
	Schedules []Schedule // in the order of the file, the disabled ones too
}

// Load reads a file of schedules; see [Read].
func Load(r io.Reader) ([]Schedule, error) {
	f, err := Read(r)
	return f.Schedules, err
}

// Read reads a file of schedules. docs/schedules.md describes the format. The error joins a [*Fault] for everything that
// is wrong, in the order of the lines; then no schedule is returned. Text that is not YAML at all is reported up to its
// first fault.
//
// An empty file is a fault: it is more likely half a deployment than the wish to have no schedules, which is written
// as "schedules: []".
func Read(r io.Reader) (File, error) {
	document, err := parseYAML(r)
	if err != nil {
		return File{}, fmt.Errorf("read schedules: %w", err)
	}
	l := newLoader()
	f := l.file(document)
	if err := l.err(); err != nil {
		return File{}, err
	}
	return f, nil
}

// ReadAny reads a file of schedules, or a single one, in YAML or JSON. Its errors are those of [Read].
func ReadAny(r io.Reader) ([]Schedule, error) {
	document, err := parseYAML(r)
	if err != nil {
		return nil, fmt.Errorf("read schedules: %w", err)
	}
	l := newLoader()
	var schedules []Schedule
	if valueOf(document, "schedules") != nil {
		schedules = l.file(document).Schedules
	} else {
		l.about = "?"
		schedules = []Schedule{l.schedule(document)}
	}
	if err := l.err(); err != nil {
		return nil, err
	}
	return schedules, nil
}

// parseYAML returns the root of the only document in r. An empty one yields an empty mapping.
func parseYAML(r io.Reader) (*yaml.Node, error) {
	decoder := yaml.NewDecoder(r)
	var document, second yaml.Node
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF):
		return &yaml.Node{Kind: yaml.MappingNode}, nil
	case err != nil:
		return nil, err
	}
	switch err := decoder.Decode(&second); {
	case err == nil:
		return nil, &Fault{Line: second.Line, Err: errors.New("a second document begins here, a file has one")}
	case !errors.Is(err, io.EOF):
		return nil, err
	}
	return document.Content[0], nil
}

// loader collects the faults of a file, so that the reader learns of all of them at once.
type loader struct {
	faults []*Fault
	zones  map[string]*time.Location // a zone is read from disk once, not for every schedule
	about  string                    // the schedule being read, for its faults
	within *yaml.Node                // the same, as it stands there
}

func newLoader() *loader { return &loader{zones: make(map[string]*time.Location)} }

// err joins the faults in the order of their lines; nil if there are none.
func (l *loader) err() error {
	slices.SortFunc(l.faults, func(a, b *Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Error(), b.Error()))
	})
	errs := make([]error, len(l.faults))
	for i, f := range l.faults {
		errs[i] = f
	}
	return errors.Join(errs...)
}

func (l *loader) fault(n *yaml.Node, format string, args ...any) {
	l.faultIn(fieldOf(l.within, n), n, format, args...)
}

// faultIn is fault where n does not tell the field: it is missing.
func (l *loader) faultIn(field string, n *yaml.Node, format string, args ...any) {
	l.faults = append(l.faults, &Fault{Line: n.Line, Schedule: l.about, Field: field, Err: fmt.Errorf(format, args...)})
}

// faulty reports whether a fault of a field of the schedule that is being read has been told, from the given one on.
func (l *loader) faulty(from int, field string) bool {
	return slices.ContainsFunc(l.faults[from:], func(f *Fault) bool {
		return f.Field == field || strings.HasPrefix(f.Field, field+".") || strings.HasPrefix(f.Field, field+"[")
	})
}

// fieldOf returns the path of the field of a mapping that n is a part of; empty if it is of none.
func fieldOf(mapping, n *yaml.Node) string {
	if mapping == nil || mapping.Kind != yaml.MappingNode {
		return ""
	}
	for pair := range slices.Chunk(mapping.Content, 2) {
		name, value := pair[0].Value, dealiased(pair[1])
		if n == pair[0] || n == pair[1] || n == value {
			return name
		}
		if value.Kind == yaml.MappingNode {
			for inner := range slices.Chunk(value.Content, 2) {
				if n == inner[0] || contains(inner[1], n) {
					return name + "." + inner[0].Value
				}
			}
		}
		if contains(value, n) {
			return name
		}
	}
	return ""
}

// contains reports whether n is a part of tree. It does not follow aliases.
func contains(tree, n *yaml.Node) bool {
	return tree == n || slices.ContainsFunc(tree.Content, func(child *yaml.Node) bool { return contains(child, n) })
}

func (l *loader) file(root *yaml.Node) (f File) {
	fields := l.mapping(root, "the file", "revision", "schedules")
	if n := fields["revision"]; n != nil {
		text, _ := l.text("revision", n)
		var err error
		if f.Revision, err = strconv.ParseUint(text, 10, 53); err != nil || f.Revision == 0 {
			l.fault(n, "revision is %q, must be a whole number from 1 on", text)
		}
	}
	list, ok := fields["schedules"]
	if !ok {
		if len(l.faults) == 0 {
			l.fault(root, "the file has no field schedules; to have no schedules, write schedules: []")
		}
		return File{}
	}
	if list.Kind != yaml.SequenceNode {
		l.fault(list, "schedules is %s, must be a list", kindOf(list))
		return File{}
	}
	schedules := make([]Schedule, 0, len(list.Content))
	lines := make(map[string]int, len(list.Content))
	for i, n := range list.Content {
		l.about = fmt.Sprintf("#%d", i+1)
		s := l.schedule(dealiased(n))
		if line, taken := lines[s.ID]; taken {
			l.fault(n, "the id is taken by the schedule on line %d", line)
		} else if s.ID != "" {
			lines[s.ID] = n.Line
		}
		schedules = append(schedules, s)
	}
	l.about = ""
	f.Schedules = schedules
	return f
}

func (l *loader) schedule(n *yaml.Node) (s Schedule) {
	l.within = n
	defer func() { l.within = nil }()
	from := len(l.faults)
	// The ID comes first, since it names the schedule in every fault of the others.
	if id := valueOf(n, "id"); id != nil {
		s.ID = l.id(id)
	}
	fields := l.mapping(n, "a schedule", fieldNames...)
	if fields == nil {
		return s
	}
	if fields["id"] == nil {
		l.faultIn("id", n, "id is missing")
	}
	s.Spec = l.spec(n, fields)
	s.Enabled = l.enabled(fields["enabled"])
	if d := fields["expires_after"]; d != nil {
		if s.ExpiresWithNext = d.Value == untilNext; !s.ExpiresWithNext {
			s.ExpiresAfter = l.duration("expires_after", d, time.Nanosecond)
		}
	}
	s.Policy = l.policy(fields, s.Spec)
	if err := s.expiresBeforeItStarts(); err != nil && !l.faulty(from, "jitter") && !l.faulty(from, "expires_after") {
		l.fault(fields["expires_after"], "%w", err)
	}
	s.Task = l.task(n, fields)
	l.checkTask(from, n, fields, s)
	return s
}

// fieldNames are the fields that a schedule can have.
var fieldNames = []string{
	"id", "cron", "every", "at", "solar", "rrule", "timezone", "day", "dst", "fold", "task", "payload", "payload_base64", "queue",
	"max_retries", "timeout", "retention", "expires_after", "owner", "headers", "enabled", "catchup", "deadline", "catchup_limit",
	"overlap", "jitter", "start", "end", "limit", "pause_after",
}

// checkTask adds what [seri.Message.Validate] finds, which says it in words that begin with the field's name.
func (l *loader) checkTask(from int, n *yaml.Node, fields map[string]*yaml.Node, s Schedule) {
	m := s.Task
	m.ID = s.taskID(time.Unix(0, 0))
	joined, ok := m.Validate().(interface{ Unwrap() []error })
	if !ok {
		return
	}
	for _, err := range joined.Unwrap() {
		field, _, _ := strings.Cut(err.Error(), " ")
		field = cmp.Or(map[string]string{"type": "task", "header": "headers"}[field], field)
		switch {
		case l.faulty(from, field): // what could not be read is told already
		case fields[field] != nil:
			l.fault(fields[field], "%w", err)
		default:
			l.faultIn(field, n, "%w", err)
		}
	}
}

// untilNext is what expires_after says for: until the next tick.
const untilNext = "next"

// policy reads what is to happen when something stands in the way of a tick.
func (l *loader) policy(fields map[string]*yaml.Node, spec Spec) (p Policy) {
	from := len(l.faults)
	for name, value := range fields {
		switch name {
		case "catchup":
			text, _ := l.text(name, value)
			p.Catchup = Catchup(text)
		case "overlap":
			text, _ := l.text(name, value)
			p.Overlap = Overlap(text)
		case "deadline":
			p.Deadline = l.duration(name, value, time.Nanosecond)
		case "jitter":
			p.Jitter = l.duration(name, value, 0)
		case "catchup_limit":
			p.CatchupLimit = l.positive(name, value)
		case "limit":
			p.Limit = l.positive(name, value)
		case "pause_after":
			p.PauseAfter = l.positive(name, value)
		case "start":
			p.Start = l.time(name, value, spec.Zone())
		case "end":
			p.End = l.time(name, value, spec.Zone())
		}
	}
	for _, f := range p.faults(spec) {
		if n := fields[f.field]; n != nil && !l.faulty(from, f.field) {
			l.fault(n, "%w", f.err)
		}
	}
	return p
}

// id returns the ID, and uses it for the faults to come even if it is not a valid one.
func (l *loader) id(n *yaml.Node) string {
	id, ok := l.text("id", n)
	if !ok {
		return ""
	}
	l.about = id
	if err := checkID(id); err != nil {
		if len(id) > MaxIDBytes {
			l.about = id[:16] + "…"
		} else {
			l.about = strconv.Quote(id)
		}
		l.fault(n, "%w", err)
		return ""
	}
	return id
}

const idCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

func (l *loader) spec(n *yaml.Node, fields map[string]*yaml.Node) Spec {
	options := Options{Zone: time.UTC}
	var kinds []string
	for _, kind := range []string{"cron", "every", "at", "solar", "rrule"} {
		if fields[kind] != nil {
			kinds = append(kinds, kind)
		}
	}
	kind := ""
	if len(kinds) > 0 {
		kind = kinds[0]
	}
	if z := fields["timezone"]; z != nil {
		switch kind {
		case "every":
			l.fault(z, "timezone has no meaning for every, which follows elapsed time; for a time of day, use cron")
		case "solar":
			l.fault(z, "timezone has no meaning for solar: the sun does not look at clocks")
		default:
			if zone := l.zone(z); zone != nil { // otherwise go on, to find the faults of the spec as well
				options.Zone = zone
			}
		}
	}
	for name, value := range map[string]*string{"day": (*string)(&options.Day), "dst": (*string)(&options.DST), "fold": (*string)(&options.Fold)} {
		if fields[name] != nil {
			*value, _ = l.text(name, fields[name])
		}
	}
	for _, fault := range options.faults() { // and go on without, to find the faults of the spec as well
		l.fault(fields[fault.Field], "%s %s; %s", fault.Field, fault.Problem, fault.Advice)
		switch fault.Field {
		case "day":
			options.Day = ""
		case "dst":
			options.DST = ""
		case "fold":
			options.Fold = ""
		}
	}
	switch {
	case kind == "":
		l.fault(n, "cron, every, at, solar or rrule is missing: one of them says when")
		return Spec{}
	case len(kinds) > 1:
		l.fault(fields[kinds[1]], "%s exclude each other", strings.Join(kinds, " and "))
		return Spec{}
	}
	text, ok := l.specText(kind, fields[kind])
	if !ok {
		return Spec{}
	}
	spec, err := ParseWith(text, options)
	if fault, ok := errors.AsType[*SpecError](err); ok {
		for f := fault; f != nil; f = f.also {
			l.fault(l.nodeOf(f, kind, fields), "%w", f.alone())
		}
	}
	return spec
}

// nodeOf returns the value that a fault of a spec is about: the spec, unless it is about what beside it has no meaning.
func (l *loader) nodeOf(f *SpecError, kind string, fields map[string]*yaml.Node) *yaml.Node {
	if f.Problem == localZone && fields["timezone"] != nil {
		return fields["timezone"]
	}
	for _, name := range []string{"day", "dst", "fold"} {
		if fields[name] != nil && slices.Contains(f.options, name) {
			return fields[name]
		}
	}
	return fields[kind]
}

// specText returns a spec as [Parse] reads it.
func (l *loader) specText(kind string, n *yaml.Node) (string, bool) {
	if kind == "solar" {
		fields := l.mapping(n, "solar", "event", "latitude", "longitude")
		if fields == nil {
			return "", false
		}
		text, whole := "@solar", true
		for _, name := range []string{"event", "latitude", "longitude"} {
			if fields[name] == nil {
				l.faultIn("solar."+name, n, "solar has no %s; write {event: sunset, latitude: 52.52, longitude: 13.405}", name)
				whole = false
				continue
			}
			part, ok := l.text(name, fields[name])
			text, whole = text+" "+part, whole && ok
		}
		return text, whole
	}
	text, ok := l.text(kind, n)
	switch kind {
	case "every":
		text = "@every " + text
	case "at":
		text = "@at " + text
	case "rrule":
		if ok && !strings.Contains(text, "RRULE:") {
			l.fault(n, "rrule has not both of DTSTART and RRULE; "+recurrenceAdvice)
			return "", false
		}
	}
	return text, ok
}

func (l *loader) zone(n *yaml.Node) *time.Location {
	name, ok := l.text("timezone", n)
	if !ok {
		return nil
	}
	if zone, ok := l.zones[name]; ok {
		return zone
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		l.fault(n, "timezone %q is not known; use a name from the IANA database, such as Europe/Berlin or UTC", name)
		return nil
	}
	l.zones[name] = zone
	return zone
}

// task reads what is enqueued at each tick.
func (l *loader) task(n *yaml.Node, fields map[string]*yaml.Node) seri.Message {
	m, _ := seri.NewMessage("t", []byte("{}"))
	m.ID, m.Type = "", ""
	for name, value := range fields {
		switch name {
		case "task":
			m.Type, _ = l.text(name, value)
		case "payload":
			m.Payload = l.payload(value)
		case "payload_base64":
			decoded, err := base64.StdEncoding.DecodeString(dealiased(value).Value)
			switch {
			case value.Kind != yaml.ScalarNode:
				l.fault(value, "payload_base64 is %s, must be text", kindOf(value))
			case fields["payload"] != nil:
				l.fault(value, "payload and payload_base64 exclude each other")
			case err != nil:
				l.fault(value, "payload_base64 is not base64: %v", err)
			default:
				m.Payload = decoded
			}
		case "queue":
			m.Queue, _ = l.text(name, value)
		case "owner":
			m.Owner, _ = l.text(name, value)
		case "max_retries":
			m.MaxRetries = l.count(name, value)
		case "timeout":
			m.Timeout = l.duration(name, value, time.Nanosecond)
		case "retention":
			m.Retention = l.duration(name, value, 0)
		case "headers":
			for key, text := range l.mapping(value, "headers") {
				if header, ok := l.text("header "+key, text); ok {
					if m.Headers == nil {
						m.Headers = make(map[string]string)
					}
					m.Headers[key] = header
				}
			}
		}
	}
	if fields["task"] == nil {
		l.faultIn("task", n, "task is missing: the type of the task to enqueue")
	}
	return m
}
