package suite

import (
	"fmt"

	"github.com/seri-queue/seri/bench/floor"
	"github.com/seri-queue/seri/bench/load"
)

// results is W6: W3 with payloads and stored results of 1 KiB.
func results() []experiment {
	fill := func(r *Rig) load.Produce {
		return load.Produce{Tasks: r.n(drainTasks), PayloadBytes: kib, Retention: retention}
	}
	worker := func(slots, servers int) []load.Work {
		return []load.Work{{Slots: slots, Servers: servers, Result: kib}}
	}
	contenders := drains(seriName, fill, map[string][]load.Work{"": worker(100, 1)}, "")
	contenders = append(contenders, drains(asynqName, fill, map[string][]load.Work{
		"c10": worker(10, 1), "c60 ×3 servers": worker(60, 3),
	}, "c10", "c60 ×3 servers")...)
	contenders = append(contenders, drains(riverName, fill, map[string][]load.Work{
		"c2000 tuned": {{Slots: 2000, Result: kib, Poll: fastPoll}},
	}, "c2000 tuned")...)
	return []experiment{{
		workload: "W6", rows: []rowSpec{{variant: fmt.Sprintf("drain, payload and result of %d B", kib), unit: "tasks/s", target: times(3)}},
		contenders: contenders,
		floor: replayed(floor.Shape{
			Tasks: drainTasks / 2, Batch: 100, Window: 2, Payload: kib, Result: kib, Retention: retention,
		}, drainTime),
	}}
}
