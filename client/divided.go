package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/store"
)

// queue reads a queue with its partitions; one that has had no task yet counts as empty.
func (c *Client) queue(ctx context.Context, name string) (QueueInfo, error) {
	partitions := c.partitions.Of(name)
	if len(partitions) == 1 {
		return c.store.Queue(ctx, partitions[0])
	}
	infos, err := side(partitions, func(q keys.Queue) (QueueInfo, error) { return c.store.Queue(ctx, q) })
	if err != nil && !errors.Is(err, seri.ErrNotFound) {
		return QueueInfo{}, err
	}
	all := QueueInfo{Name: name, Paused: true, Partitions: infos}
	exists := false
	for i, p := range infos {
		if p.Name == "" {
			infos[i].Name = string(partitions[i])
			continue
		}
		exists = true
		all.Paused = all.Paused && p.Paused
		all.Scheduled, all.Pending, all.Active = all.Scheduled+p.Scheduled, all.Pending+p.Pending, all.Active+p.Active
		all.Retrying, all.Succeeded, all.Archived = all.Retrying+p.Retrying, all.Succeeded+p.Succeeded, all.Archived+p.Archived
		all.Latency = max(all.Latency, p.Latency)
		all.Processed, all.Failed = all.Processed+p.Processed, all.Failed+p.Failed
		all.Trimmed, all.Repaired = all.Trimmed+p.Trimmed, all.Repaired+p.Repaired
		all.FenceAhead = max(all.FenceAhead, p.FenceAhead)
		for kind, n := range p.Repairs {
			if all.Repairs == nil {
				all.Repairs = make(map[string]int64)
			}
			all.Repairs[kind] += n
		}
	}
	if !exists {
		return QueueInfo{}, fmt.Errorf("queue %q: %w", name, seri.ErrNotFound)
	}
	return all, nil
}

// side calls read for each partition side by side. The error is that of the first that failed, one other than
// [seri.ErrNotFound] if there is any.
func side[T any](partitions []keys.Queue, read func(keys.Queue) (T, error)) ([]T, error) {
	values, errs := make([]T, len(partitions)), make([]error, len(partitions))
	var reads sync.WaitGroup
	for i, q := range partitions {
		reads.Go(func() { values[i], errs[i] = read(q) })
	}
	reads.Wait()
	var first error
	for _, err := range errs {
		if first == nil || errors.Is(first, seri.ErrNotFound) && err != nil {
			first = err
		}
	}
	return values, first
}

// order says which of two tasks in a state comes first, where their partitions do not.
var order = map[seri.State]func(a, b *seri.Info) int{
	seri.Scheduled: func(a, b *seri.Info) int { return a.DueAt.Compare(b.DueAt) },
	seri.Retrying:  func(a, b *seri.Info) int { return a.DueAt.Compare(b.DueAt) },
	seri.Pending:   func(a, b *seri.Info) int { return a.EnqueuedAt.Compare(b.EnqueuedAt) },
	seri.Active:    func(a, b *seri.Info) int { return a.StartedAt.Compare(b.StartedAt) },
	seri.Succeeded: func(a, b *seri.Info) int { return b.FinishedAt.Compare(a.FinishedAt) },
	seri.Failed:    func(a, b *seri.Info) int { return b.FinishedAt.Compare(a.FinishedAt) },
	seri.Revoked:   func(a, b *seri.Info) int { return b.FinishedAt.Compare(a.FinishedAt) },
}

// page merges pages of partitions into one. Its cursor is theirs, separated by dots: each an offset, or atEnd.
func (c *Client) page(ctx context.Context, partitions []keys.Queue, state seri.State, cursor string, limit int) (tasks []seri.Info, next string, err error) {
	offsets, err := parseOffsets(cursor, len(partitions))
	if err != nil {
		return nil, "", err
	}
	type page struct {
		tasks []store.Found
		next  int
	}
	number := make(map[keys.Queue]int)
	for i, q := range partitions {
		number[q] = i
	}
	pages, err := side(partitions, func(q keys.Queue) (p page, err error) {
		if p.next = offsets[number[q]]; p.next != atEnd {
			p.tasks, p.next, err = c.store.Walk(ctx, q, state, p.next, limit)
		}
		return p, err
	})
	if err != nil {
		return nil, "", err
	}
	for len(tasks) < limit {
		first := -1
		for i := range pages {
			if len(pages[i].tasks) > 0 && (first < 0 || order[state](&pages[i].tasks[0].Info, &pages[first].tasks[0].Info) < 0) {
				first = i
			}
		}
		if first < 0 {
			break
		}
		taken := pages[first].tasks[0]
		pages[first].tasks, offsets[first] = pages[first].tasks[1:], taken.Next
		tasks = append(tasks, c.shown(taken.Info))
	}
	more := false
	for i, p := range pages {
		if len(p.tasks) == 0 {
			offsets[i] = p.next
		}
		more = more || offsets[i] != atEnd
	}
	if !more {
		return tasks, "", nil
	}
	return tasks, formatOffsets(offsets), nil
}

// atEnd is the offset of a partition of which all was shown; as text it is endText.
const (
	atEnd   = -1
	endText = "x"
)

func parseOffsets(cursor string, n int) ([]int, error) {
	offsets := make([]int, n)
	if cursor == "" {
		return offsets, nil
	}
	parts := strings.Split(cursor, ".")
	if len(parts) != n {
		return nil, badCursor(cursor)
	}
	for i, part := range parts {
		if part == endText {
			offsets[i] = atEnd
			continue
		}
		var err error
		if offsets[i], err = strconv.Atoi(part); err != nil || offsets[i] < 0 {
			return nil, badCursor(cursor)
		}
	}
	if !slices.ContainsFunc(offsets, func(offset int) bool { return offset != atEnd }) {
		return nil, badCursor(cursor) // then there was no next page
	}
	return offsets, nil
}

func formatOffsets(offsets []int) string {
	parts := make([]string, len(offsets))
	for i, offset := range offsets {
		if parts[i] = endText; offset != atEnd {
			parts[i] = strconv.Itoa(offset)
		}
	}
	return strings.Join(parts, ".")
}

// ErrCursor refuses a cursor that does not come from an earlier page of the queue.
var ErrCursor = errors.New("must be empty or come from an earlier page of this queue")

func badCursor(cursor string) error {
	return fmt.Errorf("cursor %q: %w", cursor, ErrCursor)
}
