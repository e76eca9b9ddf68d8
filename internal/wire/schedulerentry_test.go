package wire

import (
	"reflect"
	"testing"
	"time"

	"github.com/hibiken/asynq"
)

var exampleEntry = SchedulerEntry{
	ID: "digest", Spec: "0 6 * * *", TaskType: "report:digest", Payload: []byte("{}"),
	Options: []string{`Queue("mail")`, "MaxRetry(3)", "Overlap(skip)"},
	Next:    time.Unix(1763791200, 0).UTC(), Prev: time.Unix(1763704800, 1000).UTC(),
}

var exampleEnqueueEvent = SchedulerEnqueueEvent{TaskID: "digest:1763704800", EnqueuedAt: time.Unix(1763704800, 7).UTC()}

func TestInspectorReadsOurSchedulerEntries(t *testing.T) {
	t.Parallel()
	known := []asynq.Option{asynq.Queue("mail"), asynq.MaxRetry(3)} // Inspector ignores options that it does not know
	for name, c := range map[string]struct {
		entry   SchedulerEntry
		options []asynq.Option
	}{
		"every field":                        {exampleEntry, known},
		"never run":                          {SchedulerEntry{ID: "a", Spec: "@daily", TaskType: "t", Next: exampleEntry.Next}, nil},
		"an option that would make it panic": {SchedulerEntry{ID: "a", TaskType: "t", Options: []string{"skip", "MaxRetry(3)"}}, known[1:]},
		"text that is not UTF-8":             {SchedulerEntry{ID: "a", TaskType: "t", Options: []string{"Group(\"\xff\")"}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mr, rdb := newRedis(t)
			mr.ZAdd("asynq:schedulers", yearNineThousand, "asynq:schedulers:{h:1:s}")
			mr.Lpush("asynq:schedulers:{h:1:s}", string(c.entry.Encode()))

			got, err := asynq.NewInspectorFromRedisClient(rdb).SchedulerEntries()

			if err != nil {
				t.Fatal(err)
			}
			want := []*asynq.SchedulerEntry{{
				ID: c.entry.ID, Spec: c.entry.Spec, Task: asynq.NewTask(c.entry.TaskType, c.entry.Payload), Opts: c.options,
				Next: c.entry.Next, Prev: c.entry.Prev,
			}}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got\n %+v, want\n %+v", got, want)
			}
		})
	}
}

func TestInspectorReadsOurEnqueueEvents(t *testing.T) {
	t.Parallel()
	mr, rdb := newRedis(t)
	mr.ZAdd("asynq:scheduler_history:digest", 1763704800, string(exampleEnqueueEvent.Encode()))

	got, err := asynq.NewInspectorFromRedisClient(rdb).ListSchedulerEnqueueEvents("digest")

	if err != nil {
		t.Fatal(err)
	}
	want := []*asynq.SchedulerEnqueueEvent{{TaskID: exampleEnqueueEvent.TaskID, EnqueuedAt: exampleEnqueueEvent.EnqueuedAt}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
