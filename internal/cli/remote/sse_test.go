package remote

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func TestEventsAreReadAsTheStandardSays(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		stream string
		want   []string // "name=data@id"
		retry  time.Duration
	}{
		"one event":                             {"id: 1\nevent: a\ndata: x\n\n", []string{"a=x@1"}, 0},
		"lines that end in CRLF":                {"id: 1\r\nevent: a\r\ndata: x\r\n\r\n", []string{"a=x@1"}, 0},
		"data of several lines":                 {"data: x\ndata: y\n\n", []string{"=x\ny@0"}, 0},
		"one blank after the colon goes":        {"data:  x\n\ndata:y\n\n", []string{"= x@0", "=y@0"}, 0},
		"comments are skipped":                  {": hello\n\ndata: x\n\n", []string{"=x@0"}, 0},
		"an id without data counts":             {"id: 7\n\ndata: x\n\n", []string{"=x@7"}, 0},
		"an event that is cut off is dropped":   {"id: 1\ndata: x\n\nid: 2\ndata: y\n", []string{"=x@1"}, 0},
		"the name does not stay":                {"event: a\ndata: x\n\ndata: y\n\n", []string{"a=x@0", "=y@0"}, 0},
		"a byte order mark at the start":        {"\ufeffdata: x\n\n", []string{"=x@0"}, 0},
		"retry is in milliseconds":              {"retry: 2500\n\n", nil, 2500 * time.Millisecond},
		"a retry that is no number":             {"retry: soon\n\n", nil, 0},
		"an id with a NUL is no id":             {"id: a\x00b\ndata: x\n\n", []string{"=x@0"}, 0},
		"fields that nobody knows are no fault": {"color: red\ndata\ndata: x\n\n", []string{"=\nx@0"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			events := newSSEReader(iotest.OneByteReader(strings.NewReader(c.stream)), "0")

			var got []string
			var err error
			for {
				var e sseEvent
				if e, err = events.next(); err != nil {
					break
				}
				got = append(got, e.name+"="+string(e.data)+"@"+events.last)
			}
			if !errors.Is(err, io.EOF) || strings.Join(got, "|") != strings.Join(c.want, "|") || events.retry != c.retry {
				t.Errorf("read %q, retry %v (%v); want %q, %v", got, events.retry, err, c.want, c.retry)
			}
		})
	}
}
