package docs_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/seri-queue/seri/internal/api"
	"github.com/seri-queue/seri/internal/keys"
)

func TestTestsThatAreNamedExist(t *testing.T) {
	t.Parallel()
	function := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	exists := make(map[string]bool)
	for _, name := range repository(t, "_test.go") {
		for _, match := range function.FindAllStringSubmatch(read(t, name), -1) {
			exists[match[1]] = true
		}
	}
	named := regexp.MustCompile(`\bTest[A-Z]\w+`)
	for _, p := range manual(t) {
		for _, test := range named.FindAllString(p.text, -1) {
			if !exists[test] {
				t.Errorf("%s names %s, which does not exist", p.name, test)
			}
		}
	}
}

func TestEveryPromiseNamesItsTest(t *testing.T) {
	t.Parallel()
	promises := 0
	for _, cells := range pageNamed(t, "docs/guarantees.md").table() {
		if cells[0] == "promise" {
			continue
		}
		if len(cells) == 3 { // what was measured, by which command
			if cells[1] == "" || !strings.ContainsAny(cells[2], "0123456789") {
				t.Errorf("no command or no figure is named for %q", cells[0])
			}
			continue
		}
		promises++
		if len(cells) != 2 || !strings.Contains(cells[1], "Test") {
			t.Errorf("no test is named for %q", cells[0])
		}
	}
	if promises < 20 {
		t.Errorf("found %d promises; is the page still in the form that is read here?", promises)
	}
}

// The server explains its problems itself; the manual lists the same ones.
func TestEveryProblemIsInTheManual(t *testing.T) {
	t.Parallel()
	handler, err := api.New(api.Config{Tasks: struct{ api.Tasks }{}, Insecure: true, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	get := func(path string) string {
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "http://localhost"+path, nil))
		return recorder.Body.String()
	}
	_, list, found := strings.Cut(get("/problems/none"), "known are ")
	if !found {
		t.Fatal("the server does not list its problems")
	}
	list, _, _ = strings.Cut(list, `"`)

	rows := make(map[string]string)
	for _, cells := range pageNamed(t, "docs/http-api.md").table() {
		if strings.HasPrefix(cells[0], "/problems/") {
			rows[cells[0]] = cells[1]
		}
	}
	for code := range strings.SplitSeq(list, ", ") {
		status := rows["/problems/"+code]
		if !strings.Contains(get("/problems/"+code), fmt.Sprintf("Status %s.", status)) || status == "" {
			t.Errorf("docs/http-api.md has the status %q for the problem %s", status, code)
		}
		delete(rows, "/problems/"+code)
	}
	for code := range rows {
		t.Errorf("docs/http-api.md has a row for %s, which does not exist", code)
	}
}

func TestEveryOptionIsInTheManual(t *testing.T) {
	t.Parallel()
	option := regexp.MustCompile(`(?m)^func (\w+)\(.*\) Option \{`)
	guide := read(t, "docs/getting-started.md")
	for _, match := range option.FindAllStringSubmatch(read(t, "option.go"), -1) {
		if !strings.Contains(guide, "`"+match[1]+"(") {
			t.Errorf("docs/getting-started.md does not list the option %s", match[1])
		}
	}
}

// Every module that the code imports is explained, and no other.
func TestEveryDependencyIsExplained(t *testing.T) {
	t.Parallel()
	required := regexp.MustCompile(`(?m)^\s*(?:require )?([a-z0-9.-]+\.[a-z]+/\S+) v\S+`)
	imported := regexp.MustCompile(`(?m)^\s*(?:import )?(?:[\w.]+ )?"([a-z0-9.-]+\.[a-z]+/[^"]+)"$`)
	used := make(map[string]string) // by module: a file that imports it
	for _, name := range repository(t, ".go") {
		if strings.HasPrefix(name, "bench/river/") { // a module of its own
			continue
		}
		for _, match := range imported.FindAllStringSubmatch(read(t, name), -1) {
			module := ""
			for _, m := range required.FindAllStringSubmatch(read(t, "go.mod"), -1) {
				if (match[1] == m[1] || strings.HasPrefix(match[1], m[1]+"/")) && len(m[1]) > len(module) {
					module = m[1]
				}
			}
			if module != "" {
				used[module] = name
			}
		}
	}
	explained := make(map[string]bool)
	for _, cells := range pageNamed(t, "docs/dependencies.md").table() {
		for module := range strings.SplitSeq(cells[0], ", ") {
			explained[module] = strings.Contains(module, ".")
		}
	}
	for module, name := range used {
		if !explained[module] {
			t.Errorf("docs/dependencies.md does not explain %s, which %s imports", module, name)
		}
	}
	for module, is := range explained {
		if is && used[module] == "" {
			t.Errorf("docs/dependencies.md explains %s, which nobody imports", module)
		}
	}
}

func TestKeysThatAreNamedAreDeclared(t *testing.T) {
	t.Parallel()
	key := regexp.MustCompile("(?:asynq|seri):[a-z0-9:]*\\{[^}`\n]*\\}[^\\s`,;)]*")
	for _, p := range manual(t) {
		for _, name := range key.FindAllString(p.text, -1) {
			if _, found := keys.Find(name); !found && p.name != "docs/keys.md" && !strings.HasSuffix(name, "}:") {
				t.Errorf("%s names the key %s, which internal/keys does not declare", p.name, name)
			}
		}
	}
}
