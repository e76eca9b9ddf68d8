package role

import (
	"context"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/client"
	"github.com/seri-queue/seri/internal/events"
)

// The bounds of a snapshot: how many tasks it shows, and how many it looks at, of an owner or in each state of a queue,
// to find those of one type.
const (
	snapshotTasks = 200
	snapshotLooks = 1000
)

// snapshots reads what a subscription begins with.
type snapshots struct {
	client *client.Client
}

// Snapshots implements [events.Snapshotter]. Tasks by ID, of which a page may watch many, are read together.
func (s snapshots) Snapshots(ctx context.Context, filters []events.Filter) ([]events.Snapshot, error) {
	shown := make([]events.Snapshot, len(filters))
	ids := make(map[string][]string) // by queue
	for i, f := range filters {
		if f.Task != "" {
			ids[f.Queue] = append(ids[f.Queue], f.Task)
			continue
		}
		var err error
		if shown[i].Tasks, shown[i].Truncated, err = s.several(ctx, f); err != nil {
			return nil, err
		}
	}
	for queue, ids := range ids {
		tasks, err := s.client.TasksByID(ctx, queue, ids...)
		if err != nil {
			return nil, err
		}
		byID := make(map[string]seri.Info, len(tasks))
		for _, info := range tasks {
			byID[info.ID] = info
		}
		for i, f := range filters {
			if info, ok := byID[f.Task]; ok && f.Queue == queue && matches(f, info) {
				shown[i].Tasks = []seri.Info{info}
			}
		}
	}
	return shown, nil
}

// several reads tasks that a filter describes.
func (s snapshots) several(ctx context.Context, f events.Filter) (tasks []seri.Info, truncated bool, err error) {
	if f.Owner == "" {
		return s.all(ctx, f)
	}
	limit := snapshotTasks
	if f.Type != "" {
		limit = snapshotLooks
	}
	if tasks, truncated, err = s.client.Owned(ctx, f.Queue, f.Owner, limit); err != nil {
		return nil, false, err
	}
	var matching []seri.Info
	for _, info := range tasks {
		if matches(f, info) {
			matching = append(matching, info)
		}
	}
	return matching[:min(len(matching), snapshotTasks)], truncated || len(matching) > snapshotTasks, nil
}

// inOrder are the states from the one that people look at first to the one that they look at last.
var inOrder = []seri.State{seri.Active, seri.Retrying, seri.Pending, seri.Scheduled, seri.Succeeded, seri.Failed, seri.Revoked}

// all reads the tasks of one queue, or of all, that match f: a fair share of each state, so that a long backlog does not
// hide what runs.
func (s snapshots) all(ctx context.Context, f events.Filter) (tasks []seri.Info, truncated bool, err error) {
	queues := []string{f.Queue}
	if f.Queue == "" {
		all, err := s.client.Queues(ctx)
		if err != nil {
			return nil, false, err
		}
		queues = queues[:0]
		for _, q := range all {
			queues = append(queues, q.Name)
		}
	}
	for i, state := range inOrder {
		share := (snapshotTasks - len(tasks)) / (len(inOrder) - i)
		for _, queue := range queues {
			found, more, err := s.some(ctx, queue, state, f, share)
			if err != nil {
				return nil, false, err
			}
			tasks, truncated, share = append(tasks, found...), truncated || more, share-len(found)
		}
	}
	return tasks, truncated, nil
}

// some reads up to n tasks of one queue in one state that match f; more tells that there may be others.
func (s snapshots) some(ctx context.Context, queue string, state seri.State, f events.Filter, n int) (tasks []seri.Info, more bool, err error) {
	looked := 0
	for info, err := range s.client.Tasks(ctx, queue, state) {
		if err != nil {
			return nil, false, err
		}
		if len(tasks) == n || looked == snapshotLooks {
			return tasks, true, nil
		}
		looked++
		if matches(f, info) {
			tasks = append(tasks, info)
		}
	}
	return tasks, false, nil
}

func matches(f events.Filter, info seri.Info) bool {
	return f.Matches(&seri.Event{Task: info.ID, Owner: info.Owner, Queue: info.Queue, Type: info.Type})
}
