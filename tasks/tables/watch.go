package tables

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/seri-queue/seri"
)

// watch is a source that reports how far the profile is, and that ends with its context. It does so where bytes come in:
// a fast source is reported by its size, one that trickles by the time.
type watch struct {
	io.Reader
	ctx   context.Context // of the whole profile
	total int64           // bytes; 0: nobody knows
	rows  int64           // counted by the profile
	read  int64           // bytes

	reported int64
	at       time.Time // of the last report
}

// Between two reports lie at most this many bytes, and no more than this much time if something comes in.
const (
	reportBytes = 64 << 10
	reportEvery = 100 * time.Millisecond
)

// Read implements [io.Reader].
func (w *watch) Read(p []byte) (int, error) {
	if w.ctx.Err() != nil {
		return 0, fmt.Errorf("stopped after %s: %w", w.progress(), context.Cause(w.ctx))
	}
	n, err := w.Reader.Read(p[:min(int64(len(p)), reportBytes-(w.read-w.reported))])
	w.read += int64(n)
	if n > 0 && (w.read-w.reported == reportBytes || time.Since(w.at) >= reportEvery) {
		w.report()
	}
	return n, err
}

func (w *watch) report() {
	w.reported, w.at = w.read, time.Now()
	seri.Progress(w.ctx, w.read, w.total, w.progress())
}

// progress is the number of rows for people: 141,158 rows.
func (w *watch) progress() string {
	digits := strconv.FormatInt(w.rows, 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits + " rows"
}
