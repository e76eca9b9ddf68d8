package events

import (
	"strings"
	"testing"
)

func TestPositionsAreOrderedByEntryThenIndex(t *testing.T) {
	t.Parallel()
	ascending := []string{"0-0:0", "1-0:-1", "1-0:0", "1-0:2", "1-0:10", "1-0:65535", "1-1:0", "2-0:0", "10-0:0", "18446744073709551615-0:0"}
	for i, a := range ascending {
		for j, b := range ascending {
			p, err := ParsePosition(a)
			if err != nil {
				t.Fatal(err)
			}
			q, err := ParsePosition(b)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := p.Compare(q), min(1, max(-1, i-j)); got != want {
				t.Errorf("%s compared with %s is %d, want %d", a, b, got, want)
			}
		}
	}
}

func TestMalformedCursorIsRefusedWithAReason(t *testing.T) {
	t.Parallel()
	for text, reason := range map[string]string{
		"":                               `has no ":"`,
		"1-2":                            `has no ":"`,
		"1:2":                            `has no "-"`,
		"-1-2:0":                         "milliseconds",
		"1-2:x":                          "index",
		"1-2:-2":                         "index",
		"0-0:-1":                         "index",
		"1-2:65536":                      "above 65535",
		"01-2:0":                         "leading zero",
		"1-+2:0":                         "not a number",
		"99999999999999999999-0:0":       "64 bits",
		"1-2:0":                          "of one queue",
		"a@1-2:0,":                       `has no "@"`,
		"@1-2:0":                         "names no queue",
		"a@1-2:0,a@1-2:1":                "not in order, or repeat",
		"b@1-2:0,a@1-2:1":                "not in order, or repeat",
		"a%@1-2:0":                       "escape",
		"a@b@1-2:0":                      "not a number",
		strings.Repeat("a@1-2:0,", 300):  "at most 256",
		strings.Repeat("x", 1<<20) + "@": "bytes, at most",
	} {
		_, err := ParseCursor(text, "")

		if err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%.40q: got error %v, want one about %q", text, err, reason)
		}
		if err != nil && len(err.Error()) > 300 {
			t.Errorf("%.40q: the error repeats %d bytes", text, len(err.Error()))
		}
	}
}

func TestCursorOfOneQueueIsJustThePosition(t *testing.T) {
	t.Parallel()
	c := Cursor{}.With("mail", Position{EntryID{5, 1}, 3})

	if got := c.Text("mail"); got != "5-1:3" {
		t.Errorf("got %s", got)
	}
	back, err := ParseCursor("5-1:3", "mail")
	if err != nil || back.At("mail") != c.At("mail") {
		t.Errorf("read back: %v, %v", back, err)
	}
	// A cursor of several serves too.
	wide, err := ParseCursor("a@1-1:1,mail@5-1:3", "mail")
	if err != nil || wide.Text("mail") != "5-1:3" {
		t.Errorf("from one of several: %v, %v", wide, err)
	}
}

func FuzzCursorIsReadBackAsWritten(f *testing.F) {
	f.Add("mail@1763800000123-0:3,video@1763800000456-1:-1")
	f.Add("-")
	f.Add("a%2Cb%40c@0-0:0")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseCursor(text, "")
		if err != nil {
			return
		}
		again, err := ParseCursor(c.String(), "")
		if err != nil || again.String() != c.String() {
			t.Fatalf("%q became %q, which became %q, %v", text, c, again, err)
		}
		for _, b := range []byte(c.String()) {
			if b < ' ' || b > '~' || b == '"' || b == '\\' {
				t.Fatalf("%q needs escaping", c)
			}
		}
	})
}

func TestCursorsJoinQueueByQueue(t *testing.T) {
	t.Parallel()
	parse := func(text string) Cursor {
		c, err := ParseCursor(text, "")
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	a, b := parse("x@5-0:0,y@1-0:0"), parse("y@2-0:0,z@0-0:0")

	joined := a.latest(b)

	if joined.String() != "x@5-0:0,y@2-0:0,z@0-0:0" {
		t.Errorf("got %s", joined)
	}
	if a.covers(b) || !joined.covers(a) || !joined.covers(b) {
		t.Error("the joined cursor, and only that, must cover both")
	}
	if a.String() != "x@5-0:0,y@1-0:0" {
		t.Errorf("the first was changed to %s", a)
	}
}

func TestStreamIsJudgedByWhatItSaysOfTheLastEntryRead(t *testing.T) {
	t.Parallel()
	id := EntryID{10, 0}
	for name, c := range map[string]struct {
		id     EntryID
		number int64
		view   view
		want   verdict
	}{
		"the entry is there":                       {id, -1, view{has: true}, whole},
		"nothing was read, nothing is there":       {EntryID{}, 0, view{}, whole},
		"nothing was read, nothing was trimmed":    {EntryID{}, 0, view{exists: true, last: id, first: id, length: 3, added: 3}, whole},
		"nothing was read, some were trimmed":      {EntryID{}, 0, view{exists: true, last: id, first: id, length: 2, added: 3}, trimmed},
		"nothing was read, an old Redis":           {EntryID{}, 0, view{exists: true, last: id, first: id, length: 2, added: -1}, whole},
		"the stream is gone":                       {id, 4, view{}, lost},
		"all trimmed, nothing written since":       {id, -1, view{exists: true, last: id, added: -1}, whole},
		"history ends before the entry":            {id, 4, view{exists: true, last: EntryID{9, 0}, first: EntryID{1, 0}, length: 3, added: 3}, lost},
		"history went another way":                 {id, 4, view{exists: true, last: EntryID{11, 0}, first: EntryID{1, 0}, length: 4, added: 4}, lost},
		"trimmed up to the entry and no further":   {id, 4, view{exists: true, last: EntryID{11, 0}, first: EntryID{11, 0}, length: 1, added: 5}, whole},
		"trimmed beyond the entry":                 {id, 4, view{exists: true, last: EntryID{13, 0}, first: EntryID{12, 0}, length: 2, added: 7}, trimmed},
		"trimmed, the entry's number is not known": {id, -1, view{exists: true, last: EntryID{11, 0}, first: EntryID{11, 0}, length: 1, added: 5}, trimmed},
		"trimmed, an old Redis":                    {id, 4, view{exists: true, last: EntryID{11, 0}, first: EntryID{11, 0}, length: 1, added: -1}, trimmed},
		"trimmed beyond the entry, nothing left":   {id, 4, view{exists: true, last: EntryID{13, 0}, length: 0, added: 6}, trimmed},
	} {
		if got := judge(c.id, c.number, c.view); got != c.want {
			t.Errorf("%s: got %d, want %d", name, got, c.want)
		}
	}
}
