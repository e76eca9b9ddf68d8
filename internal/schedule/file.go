package schedule

import (
	"cmp"
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

// Load reads a file of schedules, in the order of the file, the disabled ones too. docs/schedules.md describes the
// format. The error joins a [*Fault] for everything that is wrong, in the order of the lines; then no schedule is
// returned. Text that is not YAML at all is reported up to its first fault.
//
// An empty file is a fault: it is more likely half a deployment than the wish to have no schedules, which is written
// as "schedules: []".
func Load(r io.Reader) ([]Schedule, error) {
	document, err := parseYAML(r)
	if err != nil {
		return nil, fmt.Errorf("read schedules: %w", err)
	}
	l := loader{zones: make(map[string]*time.Location)}
	schedules := l.file(document)
	if len(l.faults) > 0 {
		slices.SortFunc(l.faults, func(a, b *Fault) int {
			return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Error(), b.Error()))
		})
		errs := make([]error, len(l.faults))
		for i, f := range l.faults {
			errs[i] = f
		}
		return nil, errors.Join(errs...)
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
}

func (l *loader) fault(n *yaml.Node, format string, args ...any) {
	l.faults = append(l.faults, &Fault{Line: n.Line, Schedule: l.about, Err: fmt.Errorf(format, args...)})
}

func (l *loader) file(root *yaml.Node) []Schedule {
	list, ok := l.mapping(root, "the file", "schedules")["schedules"]
	if !ok {
		if len(l.faults) == 0 {
			l.fault(root, "the file has no field schedules; to have no schedules, write schedules: []")
		}
		return nil
	}
	if list.Kind != yaml.SequenceNode {
		l.fault(list, "schedules is %s, must be a list", kindOf(list))
		return nil
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
	return schedules
}

func (l *loader) schedule(n *yaml.Node) (s Schedule) {
	// The ID comes first, since it names the schedule in every fault of the others.
	if id := valueOf(n, "id"); id != nil {
		s.ID = l.id(id)
	}
	fields := l.mapping(n, "a schedule", "id", "cron", "every", "timezone", "task", "payload", "queue", "max_retries",
		"timeout", "retention", "expires_after", "owner", "headers", "enabled")
	if fields == nil {
		return s
	}
	faults := len(l.faults)
	if fields["id"] == nil {
		l.fault(n, "id is missing")
	}
	s.Spec = l.spec(n, fields)
	s.Enabled = l.enabled(fields["enabled"])
	if d := fields["expires_after"]; d != nil {
		s.ExpiresAfter = l.duration("expires_after", d, time.Nanosecond)
	}
	typ, payload, options := l.task(n, fields)
	if len(l.faults) > faults {
		return s // what is wrong already would only be told again
	}
	var err error
	if s.Task, err = seri.NewMessage(typ, payload, options...); err == nil {
		_, err = s.Message(time.Unix(0, 0))
	}
	if err != nil {
		l.fault(n, "%s", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return s
}

// id returns the ID, and uses it for the faults to come even if it is not a valid one.
func (l *loader) id(n *yaml.Node) string {
	id, ok := l.text("id", n)
	if !ok {
		return ""
	}
	l.about = id
	switch {
	case len(id) > MaxIDBytes:
		l.about = id[:16] + "…"
		l.fault(n, "the id has %d bytes, the limit is %d", len(id), MaxIDBytes)
		return ""
	case strings.ContainsFunc(id, func(r rune) bool { return !strings.ContainsRune(idCharacters, r) }):
		l.about = strconv.Quote(id)
		l.fault(n, "the id may contain letters, digits, dots, underscores and hyphens only")
		return ""
	}
	return id
}

const idCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

func (l *loader) spec(n *yaml.Node, fields map[string]*yaml.Node) Spec {
	expression, every, zone := fields["cron"], fields["every"], time.UTC
	if z := fields["timezone"]; z != nil {
		if every != nil {
			l.fault(z, "timezone has no meaning for every, which follows elapsed time; for a time of day, use cron")
		} else if zone = l.zone(z); zone == nil {
			zone = time.UTC // to find the faults of the spec as well
		}
	}
	at, prefix, name := expression, "", "cron"
	switch {
	case expression == nil && every == nil:
		l.fault(n, "cron or every is missing: one of them says when")
		return Spec{}
	case expression != nil && every != nil:
		l.fault(every, "cron and every exclude each other")
		return Spec{}
	case every != nil:
		at, prefix, name = every, "@every ", "every"
	}
	text, ok := l.text(name, at)
	if !ok {
		return Spec{}
	}
	spec, err := Parse(prefix+text, zone)
	if err != nil {
		l.fault(at, "%w", err)
	}
	return spec
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
func (l *loader) task(n *yaml.Node, fields map[string]*yaml.Node) (typ string, payload []byte, options []seri.Option) {
	payload = []byte("{}")
	for name, value := range fields {
		switch name {
		case "task":
			typ, _ = l.text(name, value)
		case "payload":
			payload = l.payload(value)
		case "queue":
			if queue, ok := l.text(name, value); ok {
				options = append(options, seri.Queue(queue))
			}
		case "owner":
			if owner, ok := l.text(name, value); ok {
				options = append(options, seri.Owner(owner))
			}
		case "max_retries":
			options = append(options, seri.MaxRetries(l.count(name, value)))
		case "timeout":
			options = append(options, seri.Timeout(l.duration(name, value, time.Nanosecond)))
		case "retention":
			options = append(options, seri.Retention(l.duration(name, value, 0)))
		case "headers":
			for key, text := range l.mapping(value, "headers") {
				if header, ok := l.text("header "+key, text); ok {
					options = append(options, seri.Header(key, header))
				}
			}
		}
	}
	if fields["task"] == nil {
		l.fault(n, "task is missing: the type of the task to enqueue")
	}
	return typ, payload, options
}
