// Package docs_test holds the manual against the code: links lead somewhere, snippets of Go are excerpts of what is compiled
// and tested, those for curl and JavaScript are run,
// and the names of settings, tests, log messages, problems, keys and modules are those that exist.
package docs_test

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// page is one page of Markdown. Its name is its path from the root of the repository, with slashes.
type page struct {
	name   string
	text   string  // without its blocks of code
	blocks []block // of code
}

// block is a fenced block of code.
type block struct {
	language string
	line     int // at which it begins
	code     string
}

var fence = regexp.MustCompile("^(\\s*)```(\\S*)\\s*$")

// manual reads every page of the repository.
func manual(t *testing.T) []page {
	t.Helper()
	var pages []page
	for _, name := range repository(t, ".md") {
		if !strings.HasPrefix(name, "bench/") { // templates and results, not pages
			pages = append(pages, parse(name, read(t, name)))
		}
	}
	return pages
}

// pageNamed returns one page.
func pageNamed(t *testing.T, name string) page {
	t.Helper()
	return parse(name, read(t, name))
}

func parse(name, content string) page {
	p := page{name: name}
	var text, code strings.Builder
	var open *block
	for i, line := range strings.Split(content, "\n") {
		mark := fence.FindStringSubmatch(line)
		switch {
		case mark != nil && open == nil:
			open = &block{language: mark[2], line: i + 1}
		case mark != nil:
			open.code = code.String()
			p.blocks = append(p.blocks, *open)
			open = nil
			code.Reset()
		case open != nil:
			code.WriteString(line + "\n")
		default:
			text.WriteString(line + "\n")
		}
	}
	p.text = text.String()
	return p
}

// table returns the rows of all tables of a page, cell by cell, without heads and without the marks of code.
func (p page) table() [][]string {
	var rows [][]string
	for line := range strings.Lines(p.text) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|--") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.ReplaceAll(strings.TrimSpace(cells[i]), "`", "")
		}
		rows = append(rows, cells)
	}
	return rows
}

// repository lists the files of the repository whose names end so, as paths from its root.
func repository(t *testing.T, ending string) []string {
	t.Helper()
	var names []string
	root := os.DirFS("..")
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		switch base := path.Base(name); {
		case err != nil:
			return err
		case entry.IsDir() && name != "." && (strings.HasPrefix(base, ".") || slices.Contains([]string{"testdata", "bin", "node_modules"}, base)):
			return fs.SkipDir
		case !entry.IsDir() && strings.HasSuffix(name, ending):
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func read(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
