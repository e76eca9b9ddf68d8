package docs_test

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

var (
	link    = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#{1,6} +(.+?)\s*$`)
	inText  = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
)

func TestLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	for _, p := range manual(t) {
		for _, match := range link.FindAllStringSubmatch(p.text, -1) {
			target, fragment, _ := strings.Cut(match[1], "#")
			if strings.Contains(target, ":") { // another site: not ours to check, and not from here
				continue
			}
			name := p.name
			if target != "" {
				name = path.Join(path.Dir(p.name), target)
			}
			if _, err := os.Stat(filepath.Join("..", filepath.FromSlash(name))); err != nil {
				t.Errorf("%s: the link %s leads nowhere", p.name, match[1])
				continue
			}
			if fragment != "" && !anchors(t, name)[fragment] {
				t.Errorf("%s: %s has no heading for the link %s", p.name, name, match[1])
			}
		}
	}
}

// anchors returns the fragments by which the headings of a page can be linked to, as GitHub makes them.
func anchors(t *testing.T, name string) map[string]bool {
	t.Helper()
	found := make(map[string]bool)
	for _, match := range heading.FindAllStringSubmatch(pageNamed(t, name).text, -1) {
		text := inText.ReplaceAllString(match[1], "$1")
		found[strings.Map(func(r rune) rune {
			switch {
			case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
				return unicode.ToLower(r)
			case r == ' ':
				return '-'
			}
			return -1
		}, text)] = true
	}
	return found
}
