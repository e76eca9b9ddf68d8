//go:build linux

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/seri-queue/seri/bench/live/crowd"
)

// targeted measures how many events a second one gateway delivers.
func targeted(ctx context.Context, r *rig) ([]row, error) {
	h, err := r.openGateways(ctx, 1, 1, r.scaled(fullGateway))
	if err != nil {
		return nil, err
	}
	defer h.close()
	if _, err := h.fill(ctx); err != nil {
		return nil, err
	}
	var rows []row
	for _, times := range []int{1, 10} {
		b, err := h.bursts(ctx, times*h.members(), func() error {
			for i := range h.pub.tasks {
				for range times {
					if err := h.gather(ctx, &h.pub.tasks[i], perCommit); err != nil {
						return err
					}
				}
			}
			return h.pub.commit(ctx)
		})
		if err != nil {
			return rows, err
		}
		rows = append(rows,
			row{What: fmt.Sprintf("each of %d gets %d events of its own task, %.1f in a read", h.members(), times, b.reads), Unit: "events/s", Value: b.rate},
			row{What: "processor of the gateway", Unit: "µs an event", Lower: true, Value: b.cost},
		)
	}
	if err := h.watchTopic(); err != nil {
		return rows, err
	}
	const times = 10
	b, err := h.bursts(ctx, times*h.members(), func() error {
		for range times {
			h.pub.add(&h.pub.topic, false)
		}
		return h.pub.commit(ctx)
	})
	if err != nil {
		return rows, err
	}
	return append(rows,
		row{What: fmt.Sprintf("each of %d gets the same %d events, %.1f in a read", h.members(), times, b.reads), Unit: "events/s",
			Value: b.rate, Target: "≥ 600,000"}.judge(b.rate >= 600_000),
		row{What: "processor of the gateway", Unit: "µs an event", Lower: true, Value: b.cost},
	), nil
}

// gather adds an event, and commits when there are many.
func (h *hall) gather(ctx context.Context, m *member, most int) error {
	if h.pub.add(m, false); h.pub.held < most {
		return nil
	}
	return h.pub.commit(ctx)
}

// burst is what was measured of events that were sent at once.
type burst struct {
	rate  float64 // events delivered a second, from the beginning to the end
	reads float64 // events in one read
	cost  float64 // processor of the gateway, in microseconds an event
}

// bursts has events sent, some thousands at once, a few times.
func (h *hall) bursts(ctx context.Context, events int, send func() error) (b burst, err error) {
	took := make([]time.Duration, repetitions)
	cost, err := h.cost(func() error {
		for i := range took {
			if err := h.forget(); err != nil {
				return err
			}
			begun := time.Now()
			if err := send(); err != nil {
				return err
			}
			report, err := h.await(ctx, events)
			if err != nil {
				return fmt.Errorf("burst %d: %w", i+1, err)
			}
			took[i], b.reads = report.Last.Sub(begun), float64(report.Frames)/float64(report.Reads)
		}
		return nil
	})
	b.rate, b.cost = float64(events)/median(took).Seconds(), share(cost.servers, events*repetitions)
	return b, err
}

// latency measures how long events take at a steady rate.
func latency(ctx context.Context, r *rig) ([]row, error) {
	h, err := r.openGateways(ctx, 1, 1, r.scaled(fullGateway))
	if err != nil {
		return nil, err
	}
	defer h.close()
	if _, err := h.fill(ctx); err != nil {
		return nil, err
	}
	rate := r.scaled(20_000)
	load := func(events int) error {
		return h.pub.steadily(ctx, rate, events, func(n int) { h.pub.add(&h.pub.tasks[n%len(h.pub.tasks)], false) })
	}
	if err := load(3 * rate); err != nil { // so that what is made once is made
		return nil, err
	}
	if _, err := h.await(ctx, 3*rate); err != nil {
		return nil, err
	}
	if err := h.forget(); err != nil {
		return nil, err
	}
	n := 20 * rate
	var published time.Duration
	var report crowd.Report
	cost, err := h.cost(func() (err error) {
		begun := time.Now()
		if err := load(n); err != nil {
			return err
		}
		published = time.Since(begun)
		report, err = h.await(ctx, n)
		return err
	})
	if err != nil {
		return nil, err
	}
	p50, p99 := report.Delays.Quantile(0.5), report.Delays.Quantile(0.99)
	return []row{
		{What: fmt.Sprintf("%d subscribers, each event to one of them: rate", h.members()), Unit: "events/s", Value: float64(n) / published.Seconds()},
		row{What: "from commit to the client's read, median", Unit: "ms", Lower: true, Value: millis(p50), Target: "≤ 5"}.judge(p50 <= 5*time.Millisecond),
		row{What: "the same, 99th percentile", Unit: "ms", Lower: true, Value: millis(p99), Target: "≤ 50"}.judge(p99 <= 50*time.Millisecond),
		{What: "the same, longest", Unit: "ms", Lower: true, Value: millis(report.Delays.Max())},
		{What: "processor of the gateway", Unit: "µs an event", Lower: true, Value: share(cost.servers, n)},
		{What: "processor of Redis", Unit: "µs an event", Lower: true, Value: share(cost.redis, n)},
	}, nil
}

// flat measures whether an event costs more where many are connected who do not want it: before they come, while they are there,
// and after they have gone, because the machine changes meanwhile.
func flat(ctx context.Context, r *rig) ([]row, error) {
	watchers, idle := r.scaled(1000), r.scaled(fullGateway-1000)
	h, err := r.openGateways(ctx, 1, 2, max(watchers, idle))
	if err != nil {
		return nil, err
	}
	defer h.close()
	const seconds = 5
	rate := r.scaled(10_000)
	events := seconds * rate
	// cost is that of an event: what the gateway uses while there are events, less what it uses while there are none.
	cost := func() (float64, error) {
		idling, err := h.cost(func() error { return wait(ctx, seconds*time.Second) })
		if err != nil {
			return 0, err
		}
		if err := h.forget(); err != nil {
			return 0, err
		}
		working, err := h.cost(func() error {
			if err := h.pub.steadily(ctx, rate, events, func(n int) { h.pub.add(&h.pub.tasks[n%watchers], false) }); err != nil {
				return err
			}
			_, err := h.await(ctx, events)
			return err
		})
		return share(working.servers-idling.servers, events), err
	}
	var alone, beside []float64
	for round, costs := range []*[]float64{&alone, &beside, &alone} {
		switch round {
		case 0:
			err = h.join(ctx, watchers)
		case 1:
			err = h.join(ctx, idle)
		case 2:
			h.dismiss(1)
			err = wait(ctx, seconds*time.Second) // the gateway lets them go meanwhile
		}
		for i := 0; i < repetitions && err == nil; i++ {
			var c float64
			c, err = cost()
			*costs = append(*costs, c)
			r.say("   %.1f µs an event, with %d crowds", c, len(h.crowds))
		}
		if err != nil {
			return nil, err
		}
	}
	ratio := median(beside) / median(alone)
	return []row{
		{What: fmt.Sprintf("processor of the gateway, %d subscribers who get events", watchers), Unit: "µs an event", Lower: true, Value: median(alone)},
		{What: fmt.Sprintf("the same, and %d idle ones beside", idle), Unit: "µs an event", Lower: true, Value: median(beside)},
		row{What: "ratio", Unit: "×", Lower: true, Value: ratio, Target: "≤ 1.1"}.judge(ratio <= 1.1),
	}, nil
}
