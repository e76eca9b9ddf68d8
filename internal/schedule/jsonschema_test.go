package schedule

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(FileSchema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schedules.schema.json", parsed); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("schedules.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// fits tells whether the schema takes a file, which is seen as an editor sees it.
func fits(t *testing.T, s *jsonschema.Schema, text string) error {
	t.Helper()
	var value any
	if err := yaml.Unmarshal([]byte(text), &value); err != nil {
		t.Fatal(err)
	}
	encoded, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(encoded))
	if err != nil {
		t.Fatal(err)
	}
	return s.Validate(parsed)
}

func TestTheSchemaKnowsTheFieldsThatTheReaderKnows(t *testing.T) {
	t.Parallel()
	var one struct {
		Properties map[string]struct{ Description string }
	}
	if err := json.Unmarshal(Schema(), &one); err != nil {
		t.Fatal(err)
	}
	for _, name := range fieldNames {
		if one.Properties[name].Description == "" {
			t.Errorf("the schema does not describe %s", name)
		}
		delete(one.Properties, name)
	}
	for name := range one.Properties {
		t.Errorf("the reader does not know %s", name)
	}
}

func TestTheSchemaTakesWhatTheReaderTakes(t *testing.T) {
	t.Parallel()
	s := compiled(t)
	files := map[string]string{
		"nothing": "schedules: []",
		"everything": `
revision: 42
schedules:
- {id: a, cron: "0 3 * * *", timezone: Europe/Berlin, day: and, dst: skip, fold: both, task: t, payload: [1, null], queue: q, max_retries: 0}
- {id: b, every: 1h30m, task: t, payload_base64: aGk=, timeout: 1.5h, retention: 0s, expires_after: next, owner: o, headers: {a: b}, enabled: false}
- {id: c, at: "2036-12-24T18:00:00", task: t, catchup: all, deadline: 2h, catchup_limit: 5, overlap: buffer_one, jitter: 30s}
- {id: d, solar: {event: sunset, latitude: 52.52, longitude: -13.4}, task: t, start: "2026-01-01T00:00:00Z", end: "2027-01-01T00:00:00Z"}
- {id: e, rrule: "DTSTART:20260105T090000 RRULE:FREQ=DAILY", task: t, limit: 5, pause_after: 3, expires_after: 90s}
`,
	}
	for _, name := range []string{"../../docs/schedules.md", "../../deploy/ecs/examples/complete/schedules.yml"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		blocks := []string{string(text)}
		if strings.HasSuffix(name, ".md") {
			blocks = nil
			for _, m := range regexp.MustCompile("(?s)```yaml\n(schedules:.*?)```").FindAllStringSubmatch(string(text), -1) {
				blocks = append(blocks, m[1])
			}
		}
		if len(blocks) == 0 {
			t.Errorf("%s has no file of schedules", name)
		}
		for _, block := range blocks {
			files[name+" "+block[:min(len(block), 60)]] = block
		}
	}
	for name, text := range files {
		schedules, err := Load(strings.NewReader(text))
		if err != nil {
			t.Errorf("%s: the reader refuses it: %v", name, err)
		}
		if err := fits(t, s, text); err != nil {
			t.Errorf("%s: the schema refuses it: %v", name, err)
		}
		for i := range schedules { // as it stands in Redis
			definition, err := schedules[i].MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			if err := fits(t, s, `{"schedules": [`+string(definition)+`]}`); err != nil {
				t.Errorf("%s: the schema refuses the definition %s: %v", name, definition, err)
			}
		}
	}
}

func TestTheReaderRefusesWhatTheSchemaRefuses(t *testing.T) {
	t.Parallel()
	s := compiled(t)
	one := func(fields string) string { return "schedules:\n- {id: a, every: 5s, task: t, " + fields + "}" }
	for _, text := range []string{
		"{}", "schedules:", "schedules: {}", "schedules: []\nversion: 2", "schedules: []\nrevision: 0", "schedules: []\nrevision: x",
		"schedules: [5]", "schedules: [{id: a, every: 5s}]", "schedules: [{every: 5s, task: t}]", "schedules: [{id: a, task: t}]",
		"schedules: [{id: a b, every: 5s, task: t}]", "schedules: [{id: a, cron: '', task: t}]",
		one("cron: '@daily'"), one("at: '2026-01-01T00:00:00Z'"), one("timeot: 5s"), one("timeout: 5"), one("timeout: -5s"), one("retention: x"),
		one("max_retries: -1"), one("queue: 'a{b'"), one("queue: ''"), one("owner: [a]"), one("headers: [a]"), one("headers: {a: [b]}"),
		one("enabled: maybe"), one("catchup: some"), one("overlap: maybe"), one("deadline: soon"), one("catchup_limit: 1001"), one("limit: 0"),
		one("pause_after: -1"), one("jitter: 1us"), one("jitter: x"), one("expires_after: later"), one("payload_base64: [1]"), one("day: both"),
		"schedules: [{id: a, solar: {event: noon, latitude: 1, longitude: 1}, task: t}]", "schedules: [{id: a, solar: {event: sunset, latitude: 1}, task: t}]",
		"schedules: [{id: a, solar: {event: sunset, latitude: 91, longitude: 1}, task: t}]", "schedules: [{id: a, every: 500ms, task: t}]",
	} {
		_, read := Read(strings.NewReader(text))
		if schema := fits(t, s, text); schema == nil || read == nil {
			t.Errorf("%s\nthe schema says %v, the reader %v", text, schema, read)
		}
	}
	if !slices.Contains(fieldNames, "id") {
		t.Error("the reader does not know id")
	}
}
