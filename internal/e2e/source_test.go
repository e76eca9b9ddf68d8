package e2e_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
)

// source is a server of one table that some of its readers have to wait for.
type source struct {
	url    string
	finish func() // lets those who wait have the rest
}

// rows is a table of 3 MiB: csv.profile reports its progress with each of them.
var rows = "name,number\n" + strings.Repeat("somebody,12345\n", 3<<20/15)

// newSource returns a source of which the first readers get the first 3 MiB, and the last row only when they are let.
// Readers after them get the whole at once.
func newSource(t *testing.T, waiting int) *source {
	t.Helper()
	const last = "nobody,0\n"
	finished := make(chan struct{})
	var readers atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(rows)+len(last)))
		_, _ = io.WriteString(w, rows)
		if int(readers.Add(1)) <= waiting {
			_ = http.NewResponseController(w).Flush()
			select {
			case <-finished:
			case <-r.Context().Done():
			}
		}
		_, _ = io.WriteString(w, last)
	}))
	var done atomic.Bool
	s := &source{server.URL, func() {
		if !done.Swap(true) {
			close(finished)
		}
	}}
	t.Cleanup(func() {
		s.finish()
		server.Close()
	})
	return s
}
