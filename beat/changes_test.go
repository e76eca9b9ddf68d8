package beat_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/beat"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/internal/store"
	"github.com/seri-queue/seri/internal/timetable"
)

// A schedule is changed again and again while beats fire it: the last change holds, and no tick is left out or doubled.
func TestChangesWhileBeatsFire(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := newCrew(t, rdb)
		table := timetable.New(rdb, store.Config{})
		id, payload := "s."+string(c.q), ""
		set := func(n int) {
			payload = fmt.Sprintf(`{"n":%d}`, n)
			_, _, err := table.Change(t.Context(), "", id, timetable.Condition{}, func([]byte) (s beat.Schedule, err error) {
				err = json.Unmarshal(fmt.Appendf(nil, `{"id":%q,"task":"report","queue":%q,"every":"1s","catchup":"all","payload":%s}`, id, c.q, payload), &s)
				return s, err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		set(0)
		stops := []func(){c.start(time.Second), c.start(time.Second)}

		for n := 1; rdb.LLen(t.Context(), c.q.Pending()).Val() < 4; n++ {
			set(n)
		}
		e, err := table.Find(t.Context(), string(c.q), id)
		if err != nil || !strings.Contains(string(e.Definition), payload) {
			t.Errorf("the last change is lost: %s, %v", e.Definition, err)
		}
		for _, stop := range stops {
			stop()
		}

		ids := rdb.LRange(t.Context(), c.q.Pending(), 0, -1).Val()
		slices.Sort(ids)
		for i := 1; i < len(ids); i++ {
			var before, at int64
			if _, err := fmt.Sscanf(ids[i-1]+" "+ids[i], "sched:"+id+":%d sched:"+id+":%d", &before, &at); err != nil || at != before+1 {
				t.Errorf("tick %s follows %s", ids[i], ids[i-1])
			}
		}
	})
}
