package beat_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/beat"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/internal/store"
	"github.com/seri-queue/seri/internal/timetable"
)

// Somebody backfills a schedule, whose ticks wait for one another, and pauses it: they are run to the last one.
func TestABackfillIsRunToItsEndAlthoughTheScheduleIsPaused(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := newCrew(t, rdb)
		table := timetable.New(rdb, store.Config{})
		id := "s." + string(c.q)
		_, _, err := table.Change(t.Context(), "", id, timetable.Condition{}, func([]byte) (s beat.Schedule, err error) {
			err = json.Unmarshal(fmt.Appendf(nil, `{"id":%q,"task":"report","queue":%q,"every":"1h","overlap":"buffer_all"}`, id, c.q), &s)
			return s, err
		})
		if err != nil {
			t.Fatal(err)
		}
		stop := c.start(time.Second)
		defer stop()
		now := time.Now()
		runs, err := table.Backfill(t.Context(), "", id, now.Add(-4*time.Hour), now, false)
		if err != nil || len(runs) != 4 || runs[0].Outcome != store.TickEnqueued || runs[3].Outcome != store.TickWaits {
			t.Fatalf("%+v, %v", runs, err)
		}
		if _, err := table.Pause(t.Context(), "", id, ""); err != nil {
			t.Fatal(err)
		}

		for n := 0; n < len(runs); {
			for _, e := range c.fired() {
				if e.Task != runs[n].Task {
					t.Errorf("%s is run, want %s", e.Task, runs[n].Task)
				}
				n++
				rdb.LRem(t.Context(), c.q.Pending(), 1, e.Task)
				rdb.Del(t.Context(), c.q.Task(e.Task)) // as if it had succeeded
			}
		}

		e, err := table.Find(t.Context(), "", id)
		if err != nil || !e.Paused || e.Runs != 0 || len(e.Waiting) != 0 {
			t.Errorf("the record is %+v, %v", e.ScheduleRecord, err)
		}
	})
}
