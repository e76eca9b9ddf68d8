package role

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/seri-queue/seri/internal/partition"
)

// The types of settings below keep what is wrong with a value instead of refusing it, so that a program that is
// configured wrongly can say everything at once; see [faults].

// Duration is a setting in Go's notation: 500ms, 30s, 1h30m.
type Duration struct {
	time.Duration
	wrong string
}

// UnmarshalText implements [encoding.TextUnmarshaler].
func (d *Duration) UnmarshalText(text []byte) (err error) {
	d.wrong = ""
	if d.Duration, err = time.ParseDuration(string(text)); err != nil {
		d.wrong = fmt.Sprintf("is %q, must be a duration such as 500ms, 30s or 1h30m", text)
	}
	return nil
}

// Count is a setting that is a whole number, at least 1.
type Count struct {
	N     int
	wrong string
}

// UnmarshalText implements [encoding.TextUnmarshaler].
func (c *Count) UnmarshalText(text []byte) (err error) {
	c.wrong = ""
	if c.N, err = strconv.Atoi(string(text)); err != nil || c.N < 1 {
		c.wrong = fmt.Sprintf("is %q, must be a whole number, at least 1", text)
	}
	return nil
}

// Weights is a setting that names queues with their weights: mail=3,default=1. A name alone has the weight 1.
type Weights struct {
	ByQueue map[string]int
	wrong   string
}

// UnmarshalText implements [encoding.TextUnmarshaler].
func (w *Weights) UnmarshalText(text []byte) error {
	w.ByQueue = make(map[string]int)
	var wrong []string
	for item := range strings.SplitSeq(string(text), ",") {
		// A queue's name may itself contain an equals sign; its weight cannot.
		name, weight, weighted := strings.TrimSpace(item), 1, false
		if i := strings.LastIndex(name, "="); i >= 0 {
			n, err := strconv.Atoi(name[i+1:])
			name, weight, weighted = name[:i], n, err == nil
			if !weighted || n < 1 {
				wrong = append(wrong, fmt.Sprintf("has %q, must be queues with whole weights from 1 on, such as mail=3,default=1", item))
			}
		}
		if name == "" || strings.ContainsAny(name, "{}") {
			wrong = append(wrong, fmt.Sprintf("has %q, must be queues whose names are not empty and have no braces", item))
		}
		if _, twice := w.ByQueue[name]; twice {
			wrong = append(wrong, fmt.Sprintf("names the queue %q twice", name))
		}
		w.ByQueue[name] = weight
	}
	w.wrong = strings.Join(wrong, "; ")
	return nil
}

// Partitions is a setting that divides queues: images=8,mail=4.
type Partitions struct {
	ByQueue map[string]int
	wrong   string
}

// UnmarshalText implements [encoding.TextUnmarshaler].
func (p *Partitions) UnmarshalText(text []byte) error {
	p.ByQueue, p.wrong = make(map[string]int), ""
	if len(bytes.TrimSpace(text)) == 0 {
		return nil
	}
	var wrong []string
	for item := range strings.SplitSeq(string(text), ",") {
		name, n, divided := strings.TrimSpace(item), 0, false
		if i := strings.LastIndex(name, "="); i >= 0 { // a queue's name may itself contain an equals sign
			var err error
			n, err = strconv.Atoi(name[i+1:])
			name, divided = name[:i], err == nil
		}
		if !divided {
			wrong = append(wrong, fmt.Sprintf("has %q, must be queues with their numbers of partitions, such as images=8,mail=4", item))
			continue
		}
		if _, twice := p.ByQueue[name]; twice {
			wrong = append(wrong, fmt.Sprintf("names the queue %q twice", name))
		}
		p.ByQueue[name] = n
	}
	if _, err := partition.New(p.ByQueue); err != nil {
		wrong = append(wrong, "is wrong: "+strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	p.wrong = strings.Join(wrong, "; ")
	return nil
}

// table returns the table that the setting, which has been checked, asks for.
func (p Partitions) table() *partition.Table {
	table, _ := partition.New(p.ByQueue) // checked when it was read
	return table
}

// Switch is a setting that is on or off. As a flag it needs no value.
type Switch struct {
	On    bool
	wrong string
}

// IsBool implements [kong.BoolMapperValue].
func (s *Switch) IsBool() bool { return true }

// Decode implements [kong.MapperValue].
func (s *Switch) Decode(ctx *kong.DecodeContext) error {
	s.On, s.wrong = true, ""
	if ctx.Scan.Peek().Type != kong.FlagValueToken {
		return nil
	}
	var text string
	if err := ctx.Scan.PopValueInto("bool", &text); err != nil {
		return err
	}
	switch strings.ToLower(text) {
	case "true", "1", "yes", "on":
	case "false", "0", "no", "off", "":
		s.On = false
	default:
		s.wrong = fmt.Sprintf("is %q, must be true or false", text)
	}
	return nil
}

// faults gathers what is wrong with settings.
type faults []string

func (f *faults) add(setting, wrong string) {
	if wrong != "" {
		*f = append(*f, fmt.Sprintf("--%s (%s) %s", setting, variableOf(setting), wrong))
	}
}

// variableOf is the environment variable of a setting.
func variableOf(setting string) string {
	return "SERI_" + strings.ToUpper(strings.ReplaceAll(setting, "-", "_"))
}

// limit adds what is wrong with a duration, which must be at least low, and at most high unless that is zero.
func (f *faults) limit(setting string, d Duration, low, high time.Duration) {
	switch {
	case d.wrong != "":
		f.add(setting, d.wrong)
	case d.Duration < low || high > 0 && d.Duration > high:
		bounds := fmt.Sprintf("at least %v", low)
		if high > 0 {
			bounds = fmt.Sprintf("between %v and %v", low, high)
		}
		f.add(setting, fmt.Sprintf("is %v, must be %s", d.Duration, bounds))
	}
}

// check adds err under a setting, one line for each of its lines.
func (f *faults) check(setting string, err error) {
	if err == nil {
		return
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		f.add(setting, "is wrong: "+line)
	}
}

// checkBoth checks a setting together with the file that may hold more of it, and adds what is wrong under the one of the two
// that it is in. It reports whether all is right; then the last text that was parsed is all of it.
func (f *faults) checkBoth(setting, text, name string, parse func(text string) error) bool {
	before := len(*f)
	f.check(setting, parse(text))
	file, err := withFile("", name)
	if err == nil {
		err = parse(file)
	}
	f.check(setting+"-file", err)
	if len(*f) > before {
		return false
	}
	both, err := withFile(text, name)
	f.check(setting+"-file", errors.Join(err, parse(both))) // an ID may be in both
	return len(*f) == before
}

func (f faults) err() error {
	switch len(f) {
	case 0:
		return nil
	case 1:
		return errors.New(f[0])
	}
	return fmt.Errorf("the configuration has %d faults:\n  %s", len(f), strings.Join(f, "\n  "))
}
