//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/seri-queue/seri/bench/ground"
	"github.com/seri-queue/seri/bench/live/crowd"
)

// hall is where a scenario takes place: servers, and in front of each a crowd.
type hall struct {
	rig     *rig
	redis   *ground.Redis // nil: the servers are plain ones
	pub     *publisher    // of a hall of gateways
	servers []*server
	crowds  []*crowd.Crowd
	each    int // members in each crowd
}

// openGateways opens a hall of gateways on a Redis of their own, which has a task for each member of so many crowds.
func (r *rig) openGateways(ctx context.Context, gateways, crowds, each int) (h *hall, err error) {
	h = &hall{rig: r, each: each}
	defer h.closeAfter(&err)
	if h.redis, err = ground.StartRedis(ctx); err != nil {
		return h, err
	}
	r.version = h.redis.Version()
	if h.pub, err = newPublisher(ctx, h.redis.Client, crowds*each); err != nil {
		return h, err
	}
	for range gateways {
		s, err := r.startGateway(ctx, h.redis.URL())
		if err != nil {
			return h, err
		}
		h.servers = append(h.servers, s)
	}
	return h, nil
}

// openPeers opens a hall of plain servers of a library.
func (r *rig) openPeers(ctx context.Context, library string, servers, each int) (h *hall, err error) {
	h = &hall{rig: r, each: each}
	defer h.closeAfter(&err)
	for range servers {
		s, err := r.startPeer(ctx, library)
		if err != nil {
			return h, err
		}
		h.servers = append(h.servers, s)
	}
	return h, nil
}

func (h *hall) closeAfter(err *error) {
	if *err != nil {
		h.close()
	}
}

// close ends everything. The crowds leave first: what a server does whose clients vanish is not measured.
func (h *hall) close() {
	for _, c := range h.crowds {
		c.End()
	}
	for _, s := range h.servers {
		s.end()
	}
	if h.redis != nil {
		h.redis.Stop()
	}
}

// members is how many there are in all.
func (h *hall) members() int { return len(h.crowds) * h.each }

// fill lets the members in, a crowd at each server, and returns how long it took until the last was shown its task.
func (h *hall) fill(ctx context.Context) (time.Duration, error) {
	for range h.servers {
		if err := h.addCrowd(ctx); err != nil {
			return 0, err
		}
	}
	return h.letIn(0, h.each)
}

func (h *hall) addCrowd(ctx context.Context) error {
	c, err := crowd.Start(ctx, h.rig.self, crowdArg)
	if err != nil {
		return err
	}
	h.crowds = append(h.crowds, c)
	return nil
}

// join has one more crowd come in, of so many members.
func (h *hall) join(ctx context.Context, count int) error {
	if err := h.addCrowd(ctx); err != nil {
		return err
	}
	_, err := h.letIn(len(h.crowds)-1, count)
	return err
}

// dismiss has the crowds from one on leave.
func (h *hall) dismiss(first int) {
	for _, c := range h.crowds[first:] {
		c.End()
	}
	h.crowds = h.crowds[:first]
}

// letIn has the crowds from one on come in, each to the server of its number, of which there may be fewer, with so many members.
func (h *hall) letIn(first, count int) (time.Duration, error) {
	const together = 4096 // of all crowds: more would wait for the kernel's queue of connections
	begun := time.Now()
	report, err := h.ask(first, func(i int, c *crowd.Crowd) (crowd.Report, error) {
		e := crowd.Entry{
			Addr: h.servers[i%len(h.servers)].addr, Source: fmt.Sprintf("127.0.1.%d", 1+i), First: i * h.each, Count: count,
			Burst: max(32, together/len(h.crowds)),
		}
		if h.redis != nil {
			e.Secret = h.rig.secret
		}
		return c.Open(e)
	})
	took := time.Since(begun)
	if want := count * (len(h.crowds) - first); err == nil && report.Watching != want {
		err = fmt.Errorf("%d of %d came in: %s", report.Watching, want, report.Fault)
	}
	return took, err
}

// ask asks all crowds from one on at once, and merges what they say.
func (h *hall) ask(first int, question func(i int, c *crowd.Crowd) (crowd.Report, error)) (merged crowd.Report, err error) {
	reports, errs := make([]crowd.Report, len(h.crowds)), make([]error, len(h.crowds))
	var wg sync.WaitGroup
	for i := first; i < len(h.crowds); i++ {
		wg.Go(func() { reports[i], errs[i] = question(i, h.crowds[i]) })
	}
	wg.Wait()
	for i := range reports {
		merged.Merge(&reports[i])
	}
	return merged, errors.Join(errs...)
}

func (h *hall) tell() (crowd.Report, error) {
	return h.ask(0, func(_ int, c *crowd.Crowd) (crowd.Report, error) { return c.Tell() })
}

func (h *hall) forget() error {
	_, err := h.ask(0, func(_ int, c *crowd.Crowd) (crowd.Report, error) { return crowd.Report{}, c.Forget() })
	return err
}

// watchTopic has all members watch what all watch.
func (h *hall) watchTopic() error {
	report, err := h.ask(0, func(_ int, c *crowd.Crowd) (crowd.Report, error) { return c.Watch() })
	if err == nil && report.Watching != h.members() {
		err = fmt.Errorf("%d of %d watch the topic: %s", report.Watching, h.members(), report.Fault)
	}
	return err
}

// await waits until so many events have come to the members. It does not look often, since that costs the crowds time; their
// report has the time of the last event to the nanosecond.
func (h *hall) await(ctx context.Context, events int) (crowd.Report, error) {
	const often, patience = 100 * time.Millisecond, 60 * time.Second
	for until := time.Now().Add(patience); ; {
		if err := wait(ctx, often); err != nil {
			return crowd.Report{}, err
		}
		report, err := h.tell()
		switch {
		case err != nil || report.Frames == uint64(events):
			return report, errors.Join(err, report.Faults())
		case report.Frames > uint64(events), time.Now().After(until):
			return report, errors.Join(fmt.Errorf("%d of %d events came", report.Frames, events), report.Faults())
		}
	}
}

// resident is what the servers have in memory together, in bytes.
func (h *hall) resident() (sum int64, err error) {
	for _, s := range h.servers {
		n, err := s.resident()
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// cpu is the processor time that the servers have used together.
func (h *hall) cpu() (sum time.Duration, err error) {
	for _, s := range h.servers {
		used, err := s.cpu()
		if err != nil {
			return 0, err
		}
		sum += used
	}
	return sum, nil
}

// used is what the processors have done for something: in the servers, and in Redis.
type used struct{ servers, redis time.Duration }

// cost returns what something uses.
func (h *hall) cost(do func() error) (used, error) {
	stores, before := time.Duration(0), time.Duration(0)
	if h.redis != nil {
		stores = h.redis.CPU()
	}
	before, err := h.cpu()
	if err == nil {
		err = do()
	}
	if err != nil {
		return used{}, err
	}
	after, err := h.cpu()
	if h.redis != nil {
		stores = h.redis.CPU() - stores
	}
	return used{after - before, stores}, err
}

// share is what each of so many has of a duration, in microseconds.
func share(d time.Duration, n int) float64 { return d.Seconds() * 1e6 / float64(n) }

// wait waits, unless ctx ends.
func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
