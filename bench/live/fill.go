//go:build linux

package main

import (
	"context"
	"fmt"
	"time"
)

func full(ctx context.Context, r *rig) ([]row, error) {
	return filled(ctx, r, r.gateways, r.scaled(perGateway))
}

func single(ctx context.Context, r *rig) ([]row, error) {
	return filled(ctx, r, 1, r.scaled(fullGateway))
}

// filled measures how fast gateways fill, what their subscribers take of memory, and a broadcast to all beside the limits. Those are
// measured before and after, because the machine changes meanwhile.
func filled(ctx context.Context, r *rig, gateways, each int) ([]row, error) {
	limits := make(map[string]time.Duration)
	measure := func(calls ...string) error {
		for _, call := range calls {
			_, took, err := filledPeers(ctx, r, call, gateways, each)
			if err != nil {
				return err
			}
			limits[call] += took / 2
		}
		return nil
	}
	if err := measure("write", "sendto"); err != nil {
		return nil, err
	}
	rows, took, err := filledGateways(ctx, r, gateways, each)
	if err != nil {
		return rows, err
	}
	if err := measure("sendto", "write"); err != nil {
		return rows, err
	}
	beside := func(call string) float64 { return float64(limits[call]) / float64(took) }
	return append(rows,
		row{What: "the same bytes by plain write(2), to as many sockets of as many processes", Unit: "s", Lower: true, Value: limits["write"].Seconds()},
		row{What: "a broadcast, beside that", Unit: "% of the limit", Value: 100 * beside("write"), Target: "≥ 90"}.judge(beside("write") >= 0.9),
		row{What: "the same bytes by sendto(2), the cheapest call, which gateways use", Unit: "s", Lower: true, Value: limits["sendto"].Seconds()},
		row{What: "a broadcast, beside that", Unit: "% of the limit", Value: 100 * beside("sendto")},
	), nil
}

// filledGateways also returns how long a broadcast takes.
func filledGateways(ctx context.Context, r *rig, gateways, each int) (rows []row, took time.Duration, err error) {
	h, err := r.openGateways(ctx, gateways, gateways, each)
	if err != nil {
		return nil, 0, err
	}
	defer h.close()
	before, err := h.resident()
	if err != nil {
		return nil, 0, err
	}
	var connected time.Duration
	cost, err := h.cost(func() (err error) {
		connected, err = h.fill(ctx)
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	n := h.members()
	r.say("   %d have come in, after %.1f s", n, connected.Seconds())
	rows = append(rows,
		row{What: fmt.Sprintf("%d subscribers at %d gateways: until the last one is shown its task", n, gateways), Unit: "s", Lower: true,
			Value: connected.Seconds(), Target: "≤ 60"}.judge(connected <= time.Minute),
		row{What: "the same, a second", Unit: "connections", Value: float64(n) / connected.Seconds()},
		row{What: "processor of a gateway", Unit: "µs a connection", Lower: true, Value: share(cost.servers, n)},
		row{What: "processor of Redis", Unit: "µs a connection", Lower: true, Value: share(cost.redis, n)},
	)
	if err := wait(ctx, min(r.hold, 10*time.Second)); err != nil { // until what the rush has left behind is given back
		return rows, 0, err
	}
	idle, err := h.cost(func() error { return wait(ctx, r.hold) })
	if err != nil {
		return rows, 0, err
	}
	after, err := h.resident()
	if err != nil {
		return rows, 0, err
	}
	rows = append(rows, row{What: "processor of the gateways for all of them while they are idle and pinged", Unit: "% of one", Lower: true,
		Value: 100 * idle.servers.Seconds() / r.hold.Seconds()})
	of := float64(after-before) / float64(n) / 1024
	rows = append(rows, row{What: "resident memory of a gateway for each, idle", Unit: "KB", Lower: true, Value: of, Target: "≤ 6"}.judge(of <= 6))
	begun := time.Now()
	if err := h.watchTopic(); err != nil {
		return rows, 0, err
	}
	rows = append(rows, row{What: "until all watch one thing more", Unit: "s", Lower: true, Value: time.Since(begun).Seconds()})
	took, err = h.broadcast(ctx, func() error {
		h.pub.add(&h.pub.topic, false)
		return h.pub.commit(ctx)
	})
	if err != nil {
		return rows, 0, err
	}
	return append(rows, row{What: "a broadcast to all, until the last has read it", Unit: "s", Lower: true,
		Value: took.Seconds(), Target: "≤ 3"}.judge(took <= 3*time.Second)), took, nil
}

// filledPeers fills plain servers, and returns what a connection takes of memory, in KB, and how long a broadcast takes.
func filledPeers(ctx context.Context, r *rig, library string, servers, each int) (memory float64, took time.Duration, err error) {
	h, err := r.openPeers(ctx, library, servers, each)
	if err != nil {
		return 0, 0, err
	}
	defer h.close()
	before, err := h.resident()
	if err != nil {
		return 0, 0, err
	}
	if _, err := h.fill(ctx); err != nil {
		return 0, 0, err
	}
	if err := wait(ctx, min(r.hold, 5*time.Second)); err != nil { // nothing is pinged that could change something
		return 0, 0, err
	}
	after, err := h.resident()
	if err != nil {
		return 0, 0, err
	}
	seq := uint64(0)
	took, err = h.broadcast(ctx, func() error {
		seq++
		event, err := plainEvent(seq, time.Now())
		if err != nil {
			return err
		}
		for _, s := range h.servers {
			if err := s.broadcast(event); err != nil {
				return err
			}
		}
		return nil
	})
	return float64(after-before) / float64(h.members()) / 1024, took, err
}

// broadcast has something sent to all, a few times, and returns the median of the times until the last one had it.
func (h *hall) broadcast(ctx context.Context, send func() error) (time.Duration, error) {
	took := make([]time.Duration, repetitions)
	for i := range took {
		if err := h.forget(); err != nil {
			return 0, err
		}
		if err := send(); err != nil {
			return 0, err
		}
		report, err := h.await(ctx, h.members())
		if err != nil {
			return 0, fmt.Errorf("broadcast %d: %w", i+1, err)
		}
		took[i] = report.Delays.Max()
		h.rig.say("   broadcast %d by %s: the last of %d after %.3f s, half of them after %.3f s", i+1, h.servers[0].name, h.members(),
			took[i].Seconds(), report.Delays.Quantile(0.5).Seconds())
	}
	return median(took), nil
}

func peers(ctx context.Context, r *rig) ([]row, error) {
	each := r.scaled(fullGateway)
	var rows []row
	for _, library := range []string{"gorilla", "gorilla-tuned", "gws", "gws-tuned", "coder"} {
		memory, took, err := filledPeers(ctx, r, library, 1, each)
		if err != nil {
			return rows, fmt.Errorf("%s: %w", library, err)
		}
		rows = append(rows,
			row{What: library + ": resident memory for each of " + fmt.Sprint(each) + ", idle", Unit: "KB", Lower: true, Value: memory},
			row{What: library + ": a broadcast to all", Unit: "s", Lower: true, Value: took.Seconds()},
		)
	}
	return rows, nil
}
