package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/seri-queue/seri/internal/token"
)

// contract is the part of an OpenAPI document that the tests look at.
type contract struct {
	OpenAPI string                          `json:"openapi"`
	Paths   map[string]map[string]operation `json:"paths"`
}

type operation struct {
	ID          string                `json:"operationId"`
	Summary     string                `json:"summary"`
	Description string                `json:"description"`
	Tags        []string              `json:"tags"`
	Security    []map[string][]string `json:"security"`
	Parameters  []struct {
		Name, In, Description string
		Required              bool
	} `json:"parameters"`
	Body      *content           `json:"requestBody"`
	Responses map[string]content `json:"responses"`
}

type content struct {
	Description string `json:"description"`
	Content     map[string]struct {
		Schema  json.RawMessage `json:"schema"`
		Example json.RawMessage `json:"example"`
	} `json:"content"`
}

func contractOf(t *testing.T) (raw []byte, doc contract) {
	t.Helper()
	live := http.NotFoundHandler()
	w := do(newServer(t, Config{Tasks: &fakeTasks{}, Schedules: noSchedules, Events: live, WebSocket: live, Tokens: token.Development()}), "GET", "/openapi.json", "")
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	return w.Body.Bytes(), doc
}

func TestEveryOperationIsDescribedByExamplesThatFit(t *testing.T) {
	t.Parallel()
	raw, doc := contractOf(t)
	if doc.OpenAPI != "3.1.0" {
		t.Errorf("OpenAPI %q", doc.OpenAPI)
	}
	compiler := jsonschema.NewCompiler()
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	if err := compiler.AddResource("contract.json", parsed); err != nil {
		t.Fatal(err)
	}
	escape := strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D")
	ids := map[string]bool{}
	for path, operations := range doc.Paths {
		for method, op := range operations {
			at := method + " " + path
			if op.ID == "" || ids[op.ID] || op.Summary == "" || op.Description == "" || len(op.Tags) != 1 {
				t.Errorf("%s is not described well: %+v", at, op)
			}
			ids[op.ID] = true
			if public := len(op.Security) == 0; public == strings.HasPrefix(path, "/v1/") {
				t.Errorf("%s: security is %v", at, op.Security)
			}
			for _, p := range op.Parameters {
				if p.Description == "" || p.In == "path" != p.Required && p.Name != "state" {
					t.Errorf("%s: parameter %+v", at, p)
				}
			}
			check := func(where, pointer string, c content) {
				for mediaType, m := range c.Content {
					if len(m.Schema) == 0 || len(m.Example) == 0 {
						t.Errorf("%s: %s lacks a schema or an example", at, where)
						continue
					}
					schema, err := compiler.Compile("contract.json#" + pointer + "/content/" + escape.Replace(mediaType) + "/schema")
					if err != nil {
						t.Errorf("%s: %s: %v", at, where, err)
						continue
					}
					example, err := jsonschema.UnmarshalJSON(bytes.NewReader(m.Example))
					if err != nil {
						t.Fatal(err)
					}
					if err := schema.Validate(example); err != nil {
						t.Errorf("%s: the example of %s does not fit: %v", at, where, err)
					}
				}
			}
			base := "/paths/" + escape.Replace(path) + "/" + method
			if op.Body != nil {
				check("the body", base+"/requestBody", *op.Body)
			}
			for status, r := range op.Responses {
				if r.Description == "" {
					t.Errorf("%s: response %s has no description", at, status)
				}
				check("response "+status, base+"/responses/"+status, r)
			}
		}
	}
}

func TestEveryReferenceLeadsSomewhereAndEverySchemaIsUsed(t *testing.T) {
	t.Parallel()
	raw, _ := contractOf(t)
	var doc map[string]any
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok {
				used[strings.TrimPrefix(ref, "#/components/schemas/")] = true
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

	schemas := doc["components"].(map[string]any)["schemas"].(map[string]any)
	if a, b := slices.Sorted(maps.Keys(used)), slices.Sorted(maps.Keys(schemas)); !slices.Equal(a, b) {
		t.Errorf("referred to %v\nthere are  %v", a, b)
	}
}

// The contract and the routes must not drift apart.
func TestTheContractListsTheRoutes(t *testing.T) {
	t.Parallel()
	_, doc := contractOf(t)
	var got []string
	for path, operations := range doc.Paths {
		for method := range operations {
			got = append(got, strings.ToUpper(method)+" "+path)
		}
	}
	slices.Sort(got)
	want := []string{
		"DELETE /v1/tasks/{id}", "GET /healthz", "GET /readyz", "GET /v1/events", "GET /v1/queues", "GET /v1/queues/{queue}/tasks",
		"GET /v1/tasks/{id}", "GET /v1/tasks/{id}/logs", "GET /v1/types", "GET /v1/ws", "POST /v1/queues/{queue}/pause", "POST /v1/queues/{queue}/resume",
		"POST /v1/tasks", "POST /v1/tasks/batch", "POST /v1/tokens",
		"GET /v1/schedules", "GET /v1/schedules/{id}", "PUT /v1/schedules/{id}", "PATCH /v1/schedules/{id}", "DELETE /v1/schedules/{id}",
		"POST /v1/schedules/{id}/pause", "POST /v1/schedules/{id}/resume", "POST /v1/schedules/{id}/trigger",
		"POST /v1/schedules/{id}/backfill", "GET /v1/schedules/{id}/next", "GET /v1/schedules/{id}/history", "POST /v1/schedules/preview",
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("contract\n got %v\nwant %v", got, want)
	}
}

// The examples of requests are taken by the server itself.
func TestTheExamplesOfRequestsWork(t *testing.T) {
	t.Parallel()
	server := newServer(t, Config{Tasks: &fakeTasks{}, Tokens: token.Development()})
	for path, want := range map[string]int{"/v1/tasks": 202, "/v1/tasks/batch": 200, "/v1/tokens": 201} {
		_, doc := contractOf(t)
		example := doc.Paths[path]["post"].Body.Content["application/json"].Example

		if w := do(server, "POST", path, string(example)); w.Code != want {
			t.Errorf("POST %s %s answers %d %s", path, example, w.Code, w.Body)
		}
	}
}

func TestTheDocumentationNeedsNothingFromElsewhere(t *testing.T) {
	t.Parallel()
	server := newServer(t, Config{Tasks: &fakeTasks{}})
	page := do(server, "GET", "/docs", "")
	if policy := page.Header().Get("Content-Security-Policy"); !strings.Contains(policy, "script-src 'self'") || strings.Contains(policy, "unsafe") {
		t.Errorf("policy is %q", policy)
	}
	if strings.Contains(page.Body.String(), "http") {
		t.Errorf("the page refers to another host: %s", page.Body)
	}
	for path, want := range map[string]string{
		"/docs/swagger-ui-bundle.js": "text/javascript", "/docs/swagger-ui.css": "text/css", "/docs/start.js": "text/javascript", "/openapi.yaml": "application/openapi+yaml",
	} {
		plain := do(server, "GET", path, "")
		if plain.Code != 200 || !strings.HasPrefix(plain.Header().Get("Content-Type"), want) || plain.Header().Get("Content-Encoding") != "" {
			t.Errorf("GET %s: %d %v", path, plain.Code, plain.Header())
		}
		if packed := do(server, "GET", path, "", "Accept-Encoding", "gzip"); packed.Header().Get("Content-Encoding") == "gzip" && packed.Body.Len() >= plain.Body.Len() {
			t.Errorf("GET %s: %d bytes packed, %d plain", path, packed.Body.Len(), plain.Body.Len())
		}
	}
}

func TestEveryKindOfProblemIsExplained(t *testing.T) {
	t.Parallel()
	server := newServer(t, Config{Tasks: &fakeTasks{}})
	for _, k := range problemKinds {
		w := do(server, "GET", problemsPath+k.code, "")
		if w.Code != 200 || !strings.Contains(w.Body.String(), k.help) || !strings.Contains(w.Body.String(), fmt.Sprint(k.status)) {
			t.Errorf("%s: %d %s", k.code, w.Code, w.Body)
		}
	}
}
