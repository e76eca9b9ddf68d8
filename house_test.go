package seri_test

import (
	"bufio"
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// House rules: what a reader may rely on anywhere in this repository. Each test names the file that breaks one.

const module = "github.com/seri-queue/seri"

// arrows says which parts of the repository a part may import, by the first element of their paths; "." is the root
// package. Parts that are not listed are public packages, and live by the rule of "public".
var arrows = map[string][]string{
	".":        {},
	"public":   {".", "internal"},
	"seritest": {"."},
	"internal": {".", "internal"},
	"tasks":    {".", "internal", "tasks"},
	"cmd":      {"*"}, // the only places that know everything; nobody may import them
	"bench":    {".", "internal", "client", "worker", "metrics", "tracing", "bench"},
	"examples": {".", "client", "worker", "beat", "lock", "examples"}, // what a user's program may import
}

// exceptions are arrows that point the other way, each with its reason.
var exceptions = map[string]string{
	"beat → lock":                   "beats elect their leader by a lock as any program could",
	"internal/api → client":         "an HTTP request is a client's call; the API adds nothing to what a Go program can do",
	"internal/api → web":            "the api serves the module that is published from there",
	"internal/relay → lock":         "a relay leads by a lock as any program could, and keeps its positions under the lock's guard",
	"internal/role → lock":          "as above",
	"internal/role → client":        "a role assembles the public parts as any program of a user's could",
	"internal/role → worker":        "as above",
	"internal/role → beat":          "as above",
	"internal/role → metrics":       "as above",
	"internal/role → tracing":       "as above",
	"internal/role → tasks":         "the commands run the tasks of this repository; a user's own program runs its own",
	"worker/ecs → worker":           "it is a part of that, for one platform",
	"internal/role → tasks/samples": "the page's forms begin with them",
}

func TestArrowsPointOneWay(t *testing.T) {
	t.Parallel()
	for _, f := range goFiles(t) {
		if f.test {
			continue // tests may look at the whole from outside; the compiler refuses cycles
		}
		rule, listed := arrows[f.part()]
		if !listed {
			rule = arrows["public"]
		}
		for _, imported := range f.imports() {
			to := first(imported)
			_, excepted := exceptions[f.dir+" → "+imported]
			same := imported == f.dir || strings.HasPrefix(imported, f.dir+"/") && f.dir != "."
			allowed := slices.Contains(rule, to) || slices.Contains(rule, "*")
			switch {
			case same || excepted:
			case to == "cmd":
				t.Errorf("%s imports %s: nobody imports a command", f.path, imported)
			case !allowed:
				t.Errorf("%s imports %s: %s may import %q only", f.path, imported, f.part(), rule)
			}
		}
	}
}

func TestTestPackagesAreForTests(t *testing.T) {
	t.Parallel()
	for _, f := range goFiles(t) {
		for _, imported := range f.imports() {
			if strings.HasSuffix(imported, "test") && !f.test && !strings.HasSuffix(f.dir, "test") {
				t.Errorf("%s imports %s, which is for tests", f.path, imported)
			}
		}
	}
}

func TestEveryPackageHasAComment(t *testing.T) {
	t.Parallel()
	commented := map[string]bool{}
	for _, f := range goFiles(t) {
		if f.test {
			continue
		}
		begins := "Package " + f.syntax.Name.Name + " "
		if f.syntax.Name.Name == "main" {
			begins = "" // a command's comment begins with what the command does
		}
		has := f.syntax.Doc != nil && strings.HasPrefix(f.syntax.Doc.Text(), begins)
		commented[f.dir] = commented[f.dir] || has
	}
	for dir, has := range commented {
		if !has {
			t.Errorf("package %s has no comment that begins with its name", dir)
		}
	}
}

func TestFilesHoldOneIdea(t *testing.T) {
	t.Parallel()
	const most = 600
	for _, name := range files(t, ".go", ".lua", ".js", ".css") {
		content := read(t, name)
		if lines := bytes.Count(content, []byte("\n")); lines > most && !generated(content) {
			t.Errorf("%s has %d lines, more than %d; look for the duty that wants its own file", name, lines, most)
		}
	}
}

// A script's header is its contract; internal/store's documentation describes the form.
func TestEveryScriptStatesItsContract(t *testing.T) {
	t.Parallel()
	for _, name := range files(t, ".lua") {
		header := commentAtTop(read(t, name))
		script := strings.TrimSuffix(path.Base(name), ".lua")
		if !strings.HasPrefix(header, "-- "+script+" ") {
			t.Errorf("%s: its first line should begin with %q", name, "-- "+script)
		}
		for _, word := range []string{"KEYS", "ARGV", "Returns", "Guarantees"} {
			if !strings.Contains(header, "\n-- "+word) {
				t.Errorf("%s: no line of its header begins with %q", name, word)
			}
		}
	}
}

func TestNothingIsLeftForLater(t *testing.T) {
	t.Parallel()
	marks := regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`)
	for _, name := range files(t, ".go", ".lua", ".js", ".css", ".html", ".md", ".sh", ".yml", ".yaml", "Makefile", "Dockerfile") {
		if mark := marks.Find(read(t, name)); mark != nil {
			t.Errorf("%s holds a %s", name, mark)
		}
	}
}

// In a bubble of testing/synctest sleeping is instant and exact; elsewhere it is a guess.
func TestTestsWaitForEvents(t *testing.T) {
	t.Parallel()
	sleep := regexp.MustCompile(`\btime\.Sle` + `ep\(`)
	for _, f := range goFiles(t) {
		bubble := slices.ContainsFunc(f.syntax.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == `"testing/synctest"` })
		if f.test && !bubble && sleep.Match(read(t, f.path)) {
			t.Errorf("%s sleeps; wait for the event, or use testing/synctest", f.path)
		}
	}
}

// goFile is a parsed source file, down to its imports.
type goFile struct {
	path   string
	dir    string // "." for the root
	test   bool
	syntax *ast.File
}

// part is the part of the repository that the file belongs to.
func (f goFile) part() string { return first(f.dir) }

// imports lists what the file imports of this module, relative to its root.
func (f goFile) imports() []string {
	var ours []string
	for _, spec := range f.syntax.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue // the parser has accepted it
		}
		if imported == module {
			ours = append(ours, ".")
		} else if rest, ok := strings.CutPrefix(imported, module+"/"); ok {
			ours = append(ours, rest)
		}
	}
	return ours
}

func goFiles(t *testing.T) []goFile {
	t.Helper()
	var parsed []goFile
	for _, name := range files(t, ".go") {
		syntax, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments|parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, goFile{name, path.Dir(name), strings.HasSuffix(name, "_test.go"), syntax})
	}
	return parsed
}

// files lists the repository's own files whose names end in one of the given ways.
func files(t *testing.T, endings ...string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		switch base := entry.Name(); {
		case err != nil:
			return err
		case !entry.IsDir():
			if slices.ContainsFunc(endings, func(ending string) bool { return strings.HasSuffix(base, ending) }) {
				names = append(names, filepath.ToSlash(name))
			}
		case name != "." && strings.HasPrefix(base, "."), base == "testdata", base == "bin", base == "node_modules":
			return filepath.SkipDir
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.FromSlash(name))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func generated(content []byte) bool {
	return bytes.Contains(content[:min(len(content), 500)], []byte("Code generated "))
}

// commentAtTop returns the lines of a script before its first line of code.
func commentAtTop(content []byte) string {
	var header strings.Builder
	for lines := bufio.NewScanner(bytes.NewReader(content)); lines.Scan(); {
		if !strings.HasPrefix(lines.Text(), "--") {
			break
		}
		header.WriteString(lines.Text() + "\n")
	}
	return header.String()
}

func first(dir string) string {
	part, _, _ := strings.Cut(dir, "/")
	return part
}
