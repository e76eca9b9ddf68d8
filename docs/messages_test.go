package docs_test

import (
	"regexp"
	"strings"
	"testing"
)

// messages returns what the manual's table of log messages lists, with the levels of each.
func messages(t *testing.T) map[string]string {
	t.Helper()
	quoted, level := regexp.MustCompile("`[^`]+`"), regexp.MustCompile(`^ (debug|info|warn|error)\b`)
	told := make(map[string]string)
	for line := range strings.Lines(pageNamed(t, "docs/operations.md").text) {
		cells := strings.SplitN(line, "|", 4) // one before the level
		if len(cells) == 4 && level.MatchString(cells[1]) {
			for _, message := range quoted.FindAllString(cells[2], -1) {
				told[strings.Trim(message, "`")] += cells[1]
			}
		}
	}
	return told
}

func TestLogMessagesExist(t *testing.T) {
	t.Parallel()
	var source strings.Builder
	for _, name := range repository(t, ".go") {
		if !strings.HasSuffix(name, "_test.go") {
			source.WriteString(read(t, name))
		}
	}
	for message := range messages(t) {
		if !strings.Contains(source.String(), `"`+message+`"`) {
			t.Errorf("nobody logs %q", message)
		}
	}
}

// Who looks after Seri at night reads its log beside the manual.
func TestEveryWarningIsInTheManual(t *testing.T) {
	t.Parallel()
	told := messages(t)
	logged := regexp.MustCompile(`[lL]ogger\.(Warn|Error)(?:Context)?\((?:\w+(?:\.Context\(\))?, )?"([^"]+)"`)
	deferred := regexp.MustCompile(`\.(failed)\(ctx, "([^"]+)"`) // by a helper, which logs a warning
	found := 0
	for _, name := range repository(t, ".go") {
		if strings.HasSuffix(name, "_test.go") || strings.HasPrefix(name, "bench/") || strings.HasPrefix(name, "examples/") || strings.HasPrefix(name, "internal/chaos/") {
			continue
		}
		source := read(t, name)
		for _, match := range append(logged.FindAllStringSubmatch(source, -1), deferred.FindAllStringSubmatch(source, -1)...) {
			found++
			level := strings.ToLower(strings.Replace(match[1], "failed", "warn", 1))
			if !strings.Contains(told[match[2]], level) {
				t.Errorf("%s: docs/operations.md does not say what %q means as a message of level %s", name, match[2], level)
			}
		}
	}
	if found < 50 {
		t.Errorf("found %d messages; are they still logged in the form that is read here?", found)
	}
}
