package term

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"
)

// hostile is what a task might say to take over a terminal.
const hostile = "\x1b]0;owned\x07 \x1b[2J \u009b31m \r\b \u202eevil\u202c \xff\x9b \u2028 \x7f \U000E0041 end"

func TestNothingThatATerminalObeysGetsThrough(t *testing.T) {
	t.Parallel()
	for name, printed := range map[string]string{"line": Line(hostile), "text": Text(hostile, ""), "json": JSON([]byte(`"` + hostile + `"`))} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, r := range printed {
				if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == 0x2028 || r == unicode.ReplacementChar {
					t.Errorf("%q holds %U", printed, r)
				}
			}
			if !strings.Contains(printed, "evil") || !strings.HasSuffix(strings.Trim(printed, `"`), "end") {
				t.Errorf("%q has lost harmless text", printed)
			}
		})
	}
}

func TestTextsAreEscapedAsInGo(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ in, line, text string }{
		"harmless text stays":            {"naïve 漢字 👩‍🚀", "naïve 漢字 👩‍🚀", "naïve 漢字 👩‍🚀"},
		"line breaks stay in text only":  {"a\nb\r\nc\td", `a\nb\r\nc\td`, "a\n  b\n  c    d"},
		"escape is shown":                {"\x1b[31m", `\x1b[31m`, `\x1b[31m`},
		"C1 controls are shown":          {"\u009b", `\u009b`, `\u009b`},
		"bytes that are no text":         {"a\xffb", `a\xffb`, `a\xffb`},
		"a replacement character is one": {"a\ufffdb", "a\ufffdb", "a\ufffdb"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := Line(c.in); got != c.line {
				t.Errorf("Line is %q, want %q", got, c.line)
			}
			if got := Text(c.in, "  "); got != c.text {
				t.Errorf("Text is %q, want %q", got, c.text)
			}
		})
	}
}

func TestJSONStaysTheSameDocument(t *testing.T) {
	t.Parallel()
	document := []byte("{\n\t\"a\": \"\u009b \u202e \U000E0041 \x7f ok\"\n}")

	printed := JSON(document)

	var before, after map[string]string
	if err := json.Unmarshal(document, &before); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(printed), &after); err != nil || before["a"] != after["a"] {
		t.Errorf("%s is %q, want %q (%v)", printed, after["a"], before["a"], err)
	}
	if want := `\u009b \u202e \udb40\udc41 \u007f ok`; !strings.Contains(printed, want) {
		t.Errorf("printed %q, want %q in it", printed, want)
	}
}

func TestWidthsAreThoseOfTerminals(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]int{"": 0, "abc": 3, "ä": 1, "a\u0308": 1, "漢字": 4, "🚀": 2, "█░": 2, "…": 1} {
		if got := Columns(s); got != want {
			t.Errorf("%q takes %d columns, want %d", s, got, want)
		}
	}
}

func TestTruncateFits(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		in    string
		limit int
		want  string
	}{
		"what fits stays":                  {"abc", 3, "abc"},
		"what does not ends in a sign":     {"abcd", 3, "ab…"},
		"a wide rune is not cut in half":   {"漢字漢字", 4, "漢…"},
		"a mark stays with its letter":     {"a\u0308bcd", 3, "a\u0308b…"},
		"no blanks before the sign":        {"a    b", 4, "a…"},
		"nothing where there is no column": {"abc", 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := Truncate(c.in, c.limit)
			if got != c.want || Columns(got) > max(c.limit, 0) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// narrow is a terminal of 20 columns.
type narrow struct{ strings.Builder }

func (*narrow) Width() int { return 20 }

func TestTablesAlignAndFit(t *testing.T) {
	t.Parallel()
	table := Table{Header: []string{"queue", "pending"}, Right: []bool{false, true}}
	table.Add("漢字", "7")
	table.Add("default", "12345")
	table.Add("a", "1")

	wide, cut := new(strings.Builder), new(narrow)
	if err := table.Write(wide); err != nil {
		t.Fatal(err)
	}
	if want := "queue    pending\n漢字           7\ndefault    12345\na              1\n"; wide.String() != want {
		t.Errorf("table is\n%s\nwant\n%s", wide, want)
	}

	table.Header[0] = "a very long name of a column"
	if err := table.Write(cut); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(cut.String()) {
		if Columns(strings.TrimSuffix(line, "\n")) > 20 {
			t.Errorf("%q is wider than the terminal", line)
		}
	}
}
