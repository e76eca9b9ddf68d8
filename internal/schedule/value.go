package schedule

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// The values of a file are read from YAML's nodes rather than decoded into structs: a node knows its line, reading can
// go on after a fault, and a fault can name the schedule that it is in.

// mapping returns the values of a mapping by their names, nil if n is none. Only the known names are allowed; without
// any, every name is.
func (l *loader) mapping(n *yaml.Node, what string, known ...string) map[string]*yaml.Node {
	n = dealiased(n)
	if n.Kind != yaml.MappingNode {
		l.fault(n, "%s is %s, must be a mapping of names to values", what, kindOf(n))
		return nil
	}
	values := make(map[string]*yaml.Node, len(n.Content)/2)
	lines := make(map[string]int, len(n.Content)/2)
	for pair := range slices.Chunk(n.Content, 2) {
		key, value := dealiased(pair[0]), dealiased(pair[1])
		if !l.isKey(key) {
			continue
		}
		if line, taken := lines[key.Value]; taken {
			l.fault(pair[0], "%s is set on line %d already", key.Value, line)
			continue
		}
		lines[key.Value] = pair[0].Line
		if len(known) > 0 && !slices.Contains(known, key.Value) {
			l.fault(pair[0], "field %q is not known; %s can have %s", key.Value, what, strings.Join(known, ", "))
			continue
		}
		values[key.Value] = value
	}
	return values
}

// isKey reports whether key can be a key in JSON, and in this file: a string.
func (l *loader) isKey(key *yaml.Node) bool {
	switch {
	case key.Kind != yaml.ScalarNode:
		l.fault(key, "a key is %s, must be text", kindOf(key))
	case key.ShortTag() == "!!merge":
		l.fault(key, "merge keys (<<) are not supported: write the fields out")
	case key.ShortTag() != "!!str":
		l.fault(key, "the key %s is %s, must be text: put it in quotes", key.Value, kindOf(key))
	default:
		return true
	}
	return false
}

// text returns a scalar as it is written, so that neither an id 007 nor a header "1.10" changes on the way.
func (l *loader) text(name string, n *yaml.Node) (string, bool) {
	n = dealiased(n)
	switch {
	case n.Kind != yaml.ScalarNode:
		l.fault(n, "%s is %s, must be text", name, kindOf(n))
	case n.ShortTag() == "!!null", strings.TrimSpace(n.Value) == "":
		l.fault(n, "%s is empty; give it a value or leave it out", name)
	default:
		return n.Value, true
	}
	return "", false
}

func (l *loader) count(name string, n *yaml.Node) int {
	text, ok := l.text(name, n)
	if !ok {
		return 0
	}
	count, err := strconv.ParseInt(text, 10, 32)
	if err != nil || count < 0 {
		l.fault(n, "%s is %q, must be a whole number from 0 to 2147483647", name, text)
	}
	return int(count)
}

// positive reads a whole number from 1 on.
func (l *loader) positive(name string, n *yaml.Node) int {
	faults := len(l.faults)
	count := l.count(name, n)
	if count == 0 && len(l.faults) == faults {
		l.fault(n, "%s must be at least 1; to have no such limit, leave it out", name)
	}
	return count
}

// time reads an instant: a time with its offset, or one that the zone's clock shows.
func (l *loader) time(name string, n *yaml.Node, zone *time.Location) time.Time {
	text, ok := l.text(name, n)
	if !ok {
		return time.Time{}
	}
	rule, _, fault := parseOnce(text, Options{Zone: zone})
	if fault != nil {
		l.fault(n, "%s: %s; %s", name, fault.Problem, fault.Advice)
		return time.Time{}
	}
	at, _ := rule.next(-1)
	return time.Unix(int64(at), 0).UTC()
}

func (l *loader) duration(name string, n *yaml.Node, least time.Duration) time.Duration {
	text, ok := l.text(name, n)
	if !ok {
		return 0
	}
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		l.fault(n, "%s is %q, must be a duration: a number with its unit (s, m or h), such as 90s or 1h30m", name, text)
	case d < 0:
		l.fault(n, "%s is %v, must not be negative", name, d)
	case d < least:
		l.fault(n, "%s is %v, must be positive; to have no such limit, leave it out", name, d)
	}
	return d
}

// enabled reads the switch of a schedule; n is nil where there is none.
func (l *loader) enabled(n *yaml.Node) bool {
	if n == nil {
		return true
	}
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!bool" {
		l.fault(n, "enabled must be true or false")
		return false
	}
	return strings.EqualFold(n.Value, "true")
}

// valueOf returns the value of the first field of that name; nil if there is none.
func valueOf(mapping *yaml.Node, name string) *yaml.Node {
	if mapping.Kind != yaml.MappingNode {
		return nil
	}
	for pair := range slices.Chunk(mapping.Content, 2) {
		if pair[0].Value == name {
			return dealiased(pair[1])
		}
	}
	return nil
}

// dealiased returns what an alias stands for, and every other node as it is.
func dealiased(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// kindOf names what a node is, for a person.
func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	switch tag := n.ShortTag(); tag {
	case "!!null":
		return "empty"
	case "!!str":
		return "text"
	case "!!bool":
		return "true or false"
	case "!!int", "!!float":
		return "a number"
	case "!!timestamp":
		return "a date"
	default:
		return fmt.Sprintf("of the type %s", tag)
	}
}
