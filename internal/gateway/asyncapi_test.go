package gateway_test

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/seri-queue/seri/internal/gateway"
)

// contract is the AsyncAPI document as JSON, and what compiles its schemas.
var contract = sync.OnceValue(func() (c struct {
	doc      map[string]any
	compiler *jsonschema.Compiler
	err      error
}) {
	if c.err = yaml.Unmarshal(gateway.AsyncAPI, &c.doc); c.err != nil {
		return c
	}
	c.compiler = jsonschema.NewCompiler()
	c.err = c.compiler.AddResource("contract.json", plain(c.doc))
	return c
})

// plain makes of what YAML has read what the validator takes.
func plain(v any) any {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	decoded, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		panic(err)
	}
	return decoded
}

// TestContractIsAsyncAPI holds the document against the specification's own schema (testdata has it as
// github.com/asyncapi/spec-json-schemas publishes it, under the Apache License 2.0).
func TestContractIsAsyncAPI(t *testing.T) {
	t.Parallel()
	c := contract()
	if c.err != nil {
		t.Fatal(c.err)
	}
	file, err := os.Open("testdata/asyncapi-3.0.0.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unpacked, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	meta, err := jsonschema.UnmarshalJSON(unpacked)
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("asyncapi.json", meta); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("asyncapi.json")
	if err != nil {
		t.Fatal(err)
	}

	if err := schema.Validate(plain(c.doc)); err != nil {
		t.Error(err)
	}
}

func TestReferencesOfTheContractLeadSomewhere(t *testing.T) {
	t.Parallel()
	doc := contract().doc
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok {
				var at any = doc
				for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
					m, _ := at.(map[string]any)
					at = m[part]
				}
				if at == nil {
					t.Errorf("%s leads nowhere", ref)
				}
			}
			for _, child := range v {
				walk(child)
			}
		case []any:
			for _, child := range v {
				walk(child)
			}
		}
	}
	walk(doc)
}

// TestContractHasEveryKindOfEvent holds the contract, and the manual, against the kinds that package seri has.
func TestContractHasEveryKindOfEvent(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("../../event.go")
	if err != nil {
		t.Fatal(err)
	}
	manual, err := os.ReadFile("../../docs/events.md")
	if err != nil {
		t.Fatal(err)
	}
	kinds := regexp.MustCompile(`EventKind = "([a-z.]+)"`).FindAllSubmatch(source, -1)
	if len(kinds) < 16 {
		t.Fatalf("%d kinds were found", len(kinds))
	}
	messages := contract().doc["components"].(map[string]any)["messages"].(map[string]any)
	known := fmt.Sprint(messages["task"], messages["schedule"])
	for _, found := range kinds {
		kind := string(found[1])
		full := "dev.seri." + kind
		if !strings.Contains(kind, ".") {
			full = "dev.seri.task." + kind
		}
		if !regexp.MustCompile(`[[ ]` + regexp.QuoteMeta(full) + `[] ]`).MatchString(known) {
			t.Errorf("asyncapi.yaml does not have %s", full)
		}
		if short := "`." + kind[strings.LastIndex(kind, ".")+1:] + "`"; !strings.Contains(string(manual), "`"+full+"`") && !strings.Contains(string(manual), short) {
			t.Errorf("docs/events.md does not have %s", full)
		}
	}
}

func TestExamplesOfTheContractAreCommands(t *testing.T) {
	t.Parallel()
	messages := contract().doc["components"].(map[string]any)["messages"].(map[string]any)
	for name, m := range messages {
		examples, _ := m.(map[string]any)["examples"].([]any)
		for _, e := range examples {
			payload := e.(map[string]any)["payload"]
			if err := fits(name, plain(payload)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if text, err := json.Marshal(payload); err != nil || gateway.CheckCommand(text) != nil {
				t.Errorf("%s: %v, %v", name, err, gateway.CheckCommand(text))
			}
		}
	}
}

// fits holds what was sent against a message's schema.
func fits(message string, v any) error {
	c := contract()
	if c.err != nil {
		return c.err
	}
	compiling.Lock()
	schema, err := c.compiler.Compile("contract.json#/components/messages/" + message + "/payload")
	compiling.Unlock()
	if err != nil {
		return err
	}
	return schema.Validate(v)
}

var compiling sync.Mutex

// checkFrame reports what a frame has that the contract does not say.
func checkFrame(frame []byte) error {
	var ce struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(frame, &ce); err != nil {
		return err
	}
	name := strings.TrimPrefix(ce.Type, "dev.seri.")
	if kind := path.Dir(strings.ReplaceAll(name, ".", "/")); slices.Contains([]string{"task", "schedule"}, kind) {
		name = kind
	}
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(string(frame)))
	if err != nil {
		return err
	}
	if err := fits(name, v); err != nil {
		return fmt.Errorf("%s: %w", frame, err)
	}
	return nil
}
