package chaos_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hibiken/asynq"
)

// stockTasks is how many tasks an unmodified asynq client hands over.
const stockTasks = 300

// besideStockAsynq is F16: an unmodified asynq client enqueues to the queues that Seri serves, and an unmodified Inspector
// looks at them all the while. What they do must work, and their tasks live by the same invariants.
func besideStockAsynq(ctx context.Context, r *rig) error {
	redis := asynq.RedisClientOpt{Addr: r.primary().addr}
	client := asynq.NewClient(redis)
	defer client.Close()
	inspector := asynq.NewInspector(redis)
	defer inspector.Close()
	body, err := json.Marshal(payload{Secret: secret, Take: 50 * time.Millisecond})
	if err != nil {
		return err
	}
	types := []string{instant, short, flaky}
	for i := range stockTasks {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		q, id, typ := r.queues[i%len(r.queues)], fmt.Sprintf("stock-%d", i), types[i%len(types)]
		options := []asynq.Option{asynq.Queue(string(q)), asynq.TaskID(id), asynq.Retention(time.Duration(i%2) * time.Hour)}
		if i%10 == 0 {
			options = append(options, asynq.ProcessIn(time.Second))
		}
		r.notes.note(noteTry, id, 0, typ+" "+string(q))
		if _, err := client.Enqueue(asynq.NewTask(typ, body), options...); err != nil {
			return fmt.Errorf("asynq's client: %w", err)
		}
		r.notes.note(noteStored, id, 0, "")
		if err := inspect(inspector, string(q), id); err != nil {
			return err
		}
		rest(ctx, 10*time.Millisecond)
	}
	r.nemesis.mu.Lock()
	defer r.nemesis.mu.Unlock()
	r.nemesis.counts["stock-asynq"]++
	return nil
}

// inspect asks an Inspector for all that asynq's tools show of a queue.
func inspect(inspector *asynq.Inspector, q, id string) error {
	if _, err := inspector.GetQueueInfo(q); err != nil {
		return fmt.Errorf("asynq's Inspector about queue %s: %w", q, err)
	}
	if _, err := inspector.GetTaskInfo(q, id); err != nil && !errors.Is(err, asynq.ErrTaskNotFound) {
		return fmt.Errorf("asynq's Inspector about task %s: %w", id, err) // which may have ended, and is not kept
	}
	for what, list := range map[string]func(string, ...asynq.ListOption) ([]*asynq.TaskInfo, error){
		"pending": inspector.ListPendingTasks, "active": inspector.ListActiveTasks, "scheduled": inspector.ListScheduledTasks,
		"retrying": inspector.ListRetryTasks, "archived": inspector.ListArchivedTasks, "completed": inspector.ListCompletedTasks,
	} {
		if _, err := list(q); err != nil {
			return fmt.Errorf("asynq's Inspector about %s tasks of %s: %w", what, q, err)
		}
	}
	return nil
}
