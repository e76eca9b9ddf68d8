package docs_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/seri-queue/seri/tasks"
)

// A snippet of Go is one or more pieces, with "// …" between them for what is left out. Each piece stands in some Go file
// of the repository, line by line, so it is compiled; most stand in examples, where it is run.
func TestGoSnippetsAreExcerpts(t *testing.T) {
	t.Parallel()
	var sources []string
	for _, name := range repository(t, ".go") {
		sources = append(sources, "\n"+trimLines(read(t, name))+"\n")
	}
	for _, p := range manual(t) {
		for _, b := range p.blocks {
			if b.language != "go" {
				continue
			}
			for piece := range strings.SplitSeq(trimLines(b.code), "// …\n") {
				piece = "\n" + strings.Trim(piece, "\n") + "\n"
				if !slices.ContainsFunc(sources, func(s string) bool { return strings.Contains(s, piece) }) {
					t.Errorf("%s:%d: this is in no Go file of the repository:%s", p.name, b.line, piece)
				}
			}
		}
	}
}

// trimLines takes the indentation away, which differs with the depth.
func trimLines(code string) string {
	var lines []string
	for line := range strings.SplitSeq(strings.TrimRight(code, "\n"), "\n") {
		lines = append(lines, strings.TrimSpace(line))
	}
	return strings.Join(lines, "\n")
}

var (
	typeInJSON = regexp.MustCompile(`"?type"?: ?"([a-z]+[.:][a-z.:]+)"`)
	enqueued   = regexp.MustCompile(`seri enqueue ([a-z.:]+)`)
	declared   = regexp.MustCompile(`seri\.NewTask\[[^\]]+\]\("([^"]+)"`)
)

func TestTypesOfTasksExist(t *testing.T) {
	t.Parallel()
	known := map[string]bool{"image.thumbnial": true} // the mistake by which the README shows what a mistake is answered with
	handlers, err := tasks.Handlers(tasks.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range handlers {
		known[h.Type] = true
		if !strings.Contains(read(t, "README.md"), "`"+h.Type+"`") {
			t.Errorf("README.md does not mention %s", h.Type)
		}
	}
	for _, name := range repository(t, ".go") {
		if strings.HasPrefix(name, "examples/") {
			for _, match := range declared.FindAllStringSubmatch(read(t, name), -1) {
				known[match[1]] = true
			}
		}
	}
	for _, p := range manual(t) {
		for _, b := range p.blocks {
			for _, match := range slices.Concat(typeInJSON.FindAllStringSubmatch(b.code, -1), enqueued.FindAllStringSubmatch(b.code, -1)) {
				if typ := match[1]; !known[typ] && !strings.HasPrefix(typ, "dev.seri.") {
					t.Errorf("%s:%d: there is no type of task %q", p.name, b.line, typ)
				}
			}
		}
	}
}

// An answer that is shown in part, with an ellipsis, is left alone.
func TestJSONIsJSON(t *testing.T) {
	t.Parallel()
	body := regexp.MustCompile(`(?s)-d '(.+?)'`)
	for _, p := range manual(t) {
		for _, b := range p.blocks {
			var documents []string
			switch b.language {
			case "json":
				documents = []string{b.code}
			case "sh":
				for _, match := range body.FindAllStringSubmatch(b.code, -1) {
					documents = append(documents, match[1])
				}
			}
			for _, document := range documents {
				if !strings.Contains(document, "…") && !json.Valid([]byte(document)) {
					t.Errorf("%s:%d: this is not JSON: %s", p.name, b.line, document)
				}
			}
		}
	}
}
