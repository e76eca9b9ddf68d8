package chaos_test

import (
	"context"
	"math/rand/v2"
	"time"
)

// Faults of the network: F8. Each lies upon the connections of one process.

type networkFault struct {
	begin       func(p *proxy, random *rand.Rand, lease time.Duration)
	least, most time.Duration
}

var network = map[string]networkFault{
	"net-slow": {func(p *proxy, random *rand.Rand, _ time.Duration) {
		w := weather{delay: between(random, 20*time.Millisecond, 250*time.Millisecond)}
		p.set(w, w)
	}, 500 * time.Millisecond, 3 * time.Second},
	"net-jitter": {func(p *proxy, random *rand.Rand, _ time.Duration) {
		w := weather{jitter: between(random, 50*time.Millisecond, 400*time.Millisecond)}
		p.set(w, w)
	}, 500 * time.Millisecond, 3 * time.Second},
	"net-cut":       {func(p *proxy, _ *rand.Rand, _ time.Duration) { p.Cut() }, 0, time.Millisecond},
	"net-reset":     {func(p *proxy, _ *rand.Rand, _ time.Duration) { p.Reset() }, 0, time.Millisecond},
	"net-partition": {func(p *proxy, _ *rand.Rand, _ time.Duration) { p.Partition() }, 200 * time.Millisecond, 2500 * time.Millisecond},
	"net-half-open": {func(p *proxy, _ *rand.Rand, _ time.Duration) {
		p.set(weather{swallow: true}, weather{swallow: true})
	}, 200 * time.Millisecond, 2500 * time.Millisecond},
	"net-slice": {func(p *proxy, _ *rand.Rand, _ time.Duration) {
		p.set(weather{slice: true}, weather{slice: true})
	}, 300 * time.Millisecond, time.Second},
	// Calls arrive and run, and their answers do not come.
	"net-lose-replies": {func(p *proxy, _ *rand.Rand, _ time.Duration) {
		p.set(weather{}, weather{swallow: true})
	}, 20 * time.Millisecond, 600 * time.Millisecond},
	// Calls arrive one to three leases late, when their callers have long given up on them.
	"net-late": {func(p *proxy, random *rand.Rand, lease time.Duration) {
		p.set(weather{delay: between(random, lease, 3*lease)}, weather{})
	}, 100 * time.Millisecond, 500 * time.Millisecond},
}

func strikeNetwork(name string) func(context.Context, *rig, *rand.Rand, *window) (int, error) {
	f := network[name]
	return func(ctx context.Context, r *rig, random *rand.Rand, _ *window) (int, error) {
		roles := []string{"worker", "worker", "worker", "producer", "locker", "api"}
		members := r.fleet.role(pickOne(random, roles))
		if len(members) == 0 {
			members = r.fleet.role("worker")
		}
		m := pickOne(random, members)
		if m.proxy == nil {
			return 0, nil
		}
		m.busy.Lock()
		defer m.busy.Unlock()
		f.begin(m.proxy, random, r.lease)
		rest(ctx, between(random, f.least, f.most))
		m.proxy.heal()
		return 1, nil
	}
}
