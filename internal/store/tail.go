package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redisfault"
)

// LogTail reads the log of a task bit by bit, while others write to it. The zero value is not valid: see [Store.TailLog].
type LogTail struct {
	store *Store
	queue keys.Queue
	id    string
	size  int    // bytes that have been read
	end   string // the last of them, by which they are known again
	begun bool
}

// tailOverlap is how many bytes a log is known again by: more than a line's time and token.
const tailOverlap = 512

// TailLog returns a reader of a task's log, which begins with all that is kept.
func (s *Store) TailLog(q keys.Queue, id string) *LogTail {
	return &LogTail{store: s, queue: q, id: id}
}

// Next returns the lines that have come since the last call, if any; it does not wait. whole: they are all that is kept, and
// what was read before is to be forgotten, because this is the beginning, or because so much has been written that there
// is no telling what was missed. It reads what is new and little more, in one call, unless the log was cut meanwhile.
func (t *LogTail) Next(ctx context.Context) (text string, whole bool, err error) {
	log := t.queue.Log(t.id)
	got, err := t.store.rdb.GetRange(ctx, log, int64(t.size-len(t.end)), -1).Result()
	if err != nil {
		return "", false, t.fault(err)
	}
	if fresh, same := strings.CutPrefix(got, t.end); same && t.begun {
		t.take(fresh, t.size)
		return fresh, false, nil
	}
	if t.begun { // it was cut, or is another's: read all, to find the place again
		if got, err = t.store.rdb.GetRange(ctx, log, 0, -1).Result(); err != nil {
			return "", false, t.fault(err)
		}
	}
	text, whole = got, true
	if at := strings.LastIndex(got, t.end); t.begun && t.end != "" && at >= 0 {
		text, whole = got[at+len(t.end):], false
	}
	t.begun, t.end = true, ""
	t.take(got, 0)
	return text, whole, nil
}

// take notes that text has been read, from an offset on.
func (t *LogTail) take(text string, from int) {
	t.size = from + len(text)
	all := t.end + text
	t.end = all[max(0, len(all)-tailOverlap):]
}

func (t *LogTail) fault(err error) error {
	return fmt.Errorf("read the log of task %s in queue %q: %w", t.id, t.queue, redisfault.Mark(err))
}
