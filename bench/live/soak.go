//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// soak lets gateways run for long under a light load, and looks at their memory.
func soak(ctx context.Context, r *rig) ([]row, error) {
	const gateways = 3
	h, err := r.openGateways(ctx, gateways, gateways, r.scaled(50_000)/gateways)
	if err != nil {
		return nil, err
	}
	defer h.close()
	if _, err := h.fill(ctx); err != nil {
		return nil, err
	}
	rate := r.scaled(1000)
	events := int(r.length.Seconds() * float64(rate))
	published := make(chan error, 1)
	go func() {
		published <- h.pub.steadily(ctx, rate, events, func(n int) { h.pub.add(&h.pub.tasks[n*7919%len(h.pub.tasks)], false) })
	}()
	memory, goroutines, err := h.sample(ctx, r.length)
	if err := errors.Join(err, <-published); err != nil {
		return nil, err
	}
	report, err := h.await(ctx, events)
	grown := growth(memory)
	more := growth(goroutines)
	return []row{
		{What: fmt.Sprintf("%d subscribers at %d gateways for %v: events delivered", h.members(), gateways, r.length), Unit: "events", Value: float64(report.Frames)},
		row{What: "lost, doubled or announced as missing", Lower: true, Value: float64(report.Lost + report.Doubled + report.Gaps), Target: "0"}.judge(err == nil),
		{What: "resident memory of the gateways at the end", Unit: "MB", Lower: true, Value: memory[len(memory)-1] / (1 << 20)},
		row{What: "memory in the last quarter, beside the second", Unit: "×", Lower: true, Value: grown, Target: "≤ 1.05"}.judge(grown <= 1.05),
		row{What: "goroutines, the same", Unit: "×", Lower: true, Value: more, Target: "≤ 1.01"}.judge(more <= 1.01),
		{What: "from commit to the client's read, 99th percentile", Unit: "ms", Lower: true, Value: millis(report.Delays.Quantile(0.99))},
	}, err
}

// sample looks at the gateways' memory, in bytes, and their goroutines, again and again.
func (h *hall) sample(ctx context.Context, length time.Duration) (memory, goroutines []float64, err error) {
	const samples = 60
	for i := range samples {
		if err := wait(ctx, length/samples); err != nil {
			return nil, nil, err
		}
		resident, err := h.resident()
		if err != nil {
			return nil, nil, err
		}
		running := 0
		for _, s := range h.servers {
			n, err := s.goroutines()
			if err != nil {
				return nil, nil, err
			}
			running += n
		}
		memory, goroutines = append(memory, float64(resident)), append(goroutines, float64(running))
		if i%(samples/10) == 0 {
			h.rig.say("   %.0f MB, %d goroutines", memory[i]/(1<<20), running)
		}
	}
	return memory, goroutines, nil
}

// growth is the mean of the last quarter of some values over that of the second.
func growth(values []float64) float64 {
	quarter := len(values) / 4
	return mean(values[len(values)-quarter:]) / mean(values[quarter:2*quarter])
}
