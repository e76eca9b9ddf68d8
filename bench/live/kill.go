//go:build linux

package main

import (
	"context"
	"fmt"
	"time"
)

// kill has tasks make progress and end, and kills one of two gateways in the middle. Its members come back to the other.
func kill(ctx context.Context, r *rig) ([]row, error) {
	h, err := r.openGateways(ctx, 2, 2, r.scaled(fullGateway/2))
	if err != nil {
		return nil, err
	}
	defer h.close()
	if _, err := h.fill(ctx); err != nil {
		return nil, err
	}
	if err := h.crowds[0].ComeBackTo(h.servers[1].addr); err != nil {
		return nil, err
	}
	// In each round a tenth of the tasks end, and those that have not ended make progress.
	const rounds = 10
	tasks, round, i := h.pub.tasks, 0, -1
	add := func(int) {
		for {
			if i++; i == len(tasks) {
				round, i = round+1, 0
			}
			if i%rounds >= round {
				break
			}
		}
		h.pub.add(&tasks[i], i%rounds == round)
	}
	events, rate := 0, r.scaled(5000)
	for i := range tasks {
		events += i%rounds + 1
	}
	length := time.Duration(events) * time.Second / time.Duration(rate)
	killed := make(chan time.Time, 1)
	time.AfterFunc(length/3, func() {
		killed <- time.Now()
		h.servers[0].end()
	})
	if err := h.pub.steadily(ctx, rate, events, add); err != nil {
		return nil, err
	}
	report, err := h.await(ctx, events)
	if err == nil && report.Ended != h.members() {
		err = fmt.Errorf("%d of %d tasks were seen to end", report.Ended, h.members())
	}
	back := report.LastResumed.Sub(<-killed)
	lost, doubled := h.members()-report.Ended-report.EndedTwice, report.EndedTwice
	return []row{
		{What: fmt.Sprintf("%d subscribers, %d of whom a killed gateway cuts: until the last of them is back at another", h.members(), report.Cut),
			Unit: "s", Lower: true, Value: back.Seconds()},
		row{What: fmt.Sprintf("of %d terminal events, lost", h.members()), Lower: true, Value: float64(lost), Target: "0"}.judge(lost == 0),
		row{What: "the same, doubled", Lower: true, Value: float64(doubled), Target: "0"}.judge(doubled == 0),
		row{What: fmt.Sprintf("of all %d events, lost, doubled or announced as missing", events), Lower: true,
			Value: float64(report.Lost + report.Doubled + report.Gaps), Target: "0"}.judge(report.Lost+report.Doubled+report.Gaps == 0),
		{What: "longest from commit to the client's read, the outage included", Unit: "s", Lower: true, Value: report.Delays.Max().Seconds()},
	}, err
}
