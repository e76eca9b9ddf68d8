package wire

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
)

// LogLine is a line of a task's own log as the API and the page show it.
type LogLine struct {
	Time    time.Time                  `json:"time"`
	Level   string                     `json:"level" example:"INFO"`
	Message string                     `json:"message" example:"read the file"`
	Attempt int                        `json:"attempt,omitempty" doc:"Number of the attempt that wrote it."`
	Attrs   map[string]json.RawMessage `json:"attrs,omitempty" doc:"What the line says beside its message."`

	Token uint64 `json:"-"` // of the lease under which it was written; 0: the line does not tell
	Task  string `json:"-"` // its ID; empty: the line does not tell
}

// LogPlace is where the lines of an attempt are, in place of the lines themselves: in a stream of CloudWatch.
type LogPlace struct {
	Region string    `json:"region,omitempty"` // empty: that of who reads
	Group  string    `json:"group"`
	Stream string    `json:"stream"`
	From   time.Time `json:"from"`
	Token  uint64    `json:"-"`
}

// TaskLog is what is kept of a task's own log: lines, and places where further ones are.
type TaskLog struct {
	Lines  []LogLine
	Places []LogPlace
	Cut    bool // older lines are gone
}

// ParseTaskLog reads a task's log as a worker has written it. Lines that are none are passed over.
func ParseTaskLog(text string) (l TaskLog) {
	for line := range strings.Lines(text) {
		if parsed, ok := ParseLogLine(line); ok {
			l.Lines = append(l.Lines, parsed)
			continue
		}
		var mark struct {
			Cut   bool
			Place *LogPlace `json:"cloudwatch"`
			Token uint64
		}
		if json.Unmarshal([]byte(line), &mark) != nil {
			continue
		}
		if l.Cut = l.Cut || mark.Cut; mark.Place != nil {
			mark.Place.Token = mark.Token
			l.Places = append(l.Places, *mark.Place)
		}
	}
	return l
}

// Since returns the part of the log that belongs to leases whose token is not lower.
func (l TaskLog) Since(token uint64) TaskLog {
	return TaskLog{
		Lines:  slices.DeleteFunc(l.Lines, func(line LogLine) bool { return line.Token < token }),
		Places: slices.DeleteFunc(l.Places, func(p LogPlace) bool { return p.Token < token }),
		Cut:    l.Cut,
	}
}

// known are the members of a line that have a field of their own, or say the same on every line of a task.
var known = []string{slog.TimeKey, slog.LevelKey, slog.MessageKey, "attempt", "token", "task_id", "queue", "type", "worker"}

// ParseLogLine reads a line as slog's JSON handler writes it; false if it is none. Of members with the same name the first
// counts: it is the worker's, and what follows is what a handler has called by the same name.
func ParseLogLine(line string) (l LogLine, ok bool) {
	all, ok := members(line)
	if !ok || json.Unmarshal(all[slog.TimeKey], &l.Time) != nil || json.Unmarshal(all[slog.MessageKey], &l.Message) != nil {
		return LogLine{}, false
	}
	_ = json.Unmarshal(all[slog.LevelKey], &l.Level) // whoever has written it otherwise has left it out
	_ = json.Unmarshal(all["attempt"], &l.Attempt)
	_ = json.Unmarshal(all["token"], &l.Token)
	_ = json.Unmarshal(all["task_id"], &l.Task)
	for _, name := range known {
		delete(all, name)
	}
	if len(all) > 0 {
		l.Attrs = all
	}
	return l, true
}

// members returns those of a JSON object; of those with the same name the first.
func members(line string) (map[string]json.RawMessage, bool) {
	decoder := json.NewDecoder(strings.NewReader(line))
	if begin, err := decoder.Token(); err != nil || begin != json.Delim('{') {
		return nil, false
	}
	all := make(map[string]json.RawMessage)
	for decoder.More() {
		name, err := decoder.Token()
		var value json.RawMessage
		if err != nil || decoder.Decode(&value) != nil {
			return nil, false
		}
		if _, twice := all[name.(string)]; !twice {
			all[name.(string)] = value
		}
	}
	end, err := decoder.Token()
	return all, err == nil && end == json.Delim('}')
}

// Encode returns the place as a line of a task's log.
func (p *LogPlace) Encode(token uint64) []byte {
	encoded, err := json.Marshal(p)
	if err != nil {
		panic(fmt.Sprintf("wire: encode the place of a log: %v", err)) // texts and a time always encode
	}
	return fmt.Appendf(nil, "{\"cloudwatch\":%s,\"token\":%d}\n", encoded, token)
}
