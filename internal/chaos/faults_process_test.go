package chaos_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"syscall"
	"time"
)

// Faults of processes: F1 (workers die), F2 (workers freeze), F3 (beats), F4 (api and producers), F12 (the whole fleet).

// commits are the scripts with which a worker says how an attempt ended.
var commits = []string{"complete", "complete", "complete", "retry", "extend"}

// killWorker is F1 at any moment.
func killWorker(_ context.Context, r *rig, random *rand.Rand, _ *window) (int, error) {
	m := pickOne(random, r.fleet.mortal("worker"))
	m.busy.Lock()
	defer m.busy.Unlock()
	r.died(m)
	m.kill()
	return 1, nil
}

// killWorkerAtCommit is F1 at the worst moments: the work is done and nobody knows, or Redis knows and the worker does not.
func killWorkerAtCommit(ctx context.Context, r *rig, random *rand.Rand, _ *window) (int, error) {
	m := pickOne(random, r.fleet.mortal("worker"))
	m.busy.Lock()
	defer m.busy.Unlock()
	p := m.current()
	m.arm("complete", pickOne(random, []string{killBefore, killAfter}))
	select {
	case <-p.Exited:
		return 1, nil
	case <-time.After(time.Second):
	case <-ctx.Done():
	}
	m.arm("complete", "")
	return 0, nil
}

// killWorkerAfterChange is F1 just after any other change that a worker makes.
func killWorkerAfterChange(ctx context.Context, r *rig, random *rand.Rand, _ *window) (int, error) {
	m := pickOne(random, r.fleet.mortal("worker"))
	m.busy.Lock()
	defer m.busy.Unlock()
	p := m.current()
	scripts := []string{"forward", "forward", "recover", "dequeue", "retry"}
	script := pickOne(random, scripts)
	m.arm(script, killAfter)
	select {
	case <-p.Exited:
		return 1, nil
	case <-time.After(time.Second):
	case <-ctx.Done():
	}
	m.arm(script, "")
	return 0, nil
}

// loseReplyOfWorker is F8 in its purest form: the call has run, and its answer is lost; or it runs when nobody waits for it
// any more.
func loseReplyOfWorker(_ context.Context, r *rig, random *rand.Rand, _ *window) (int, error) {
	m := pickOne(random, r.fleet.role("worker"))
	m.busy.Lock()
	defer m.busy.Unlock()
	m.arm(pickOne(random, []string{"complete", "dequeue", "retry", "extend", "recover"}), pickOne(random, []string{loseReply, deliverLate}))
	return 1, nil
}

// freezeWorker is F2 at any moment: for one to four leases.
func freezeWorker(ctx context.Context, r *rig, random *rand.Rand, _ *window) (int, error) {
	m := pickOne(random, r.fleet.role("worker"))
	m.busy.Lock()
	defer m.busy.Unlock()
	thaw := m.freeze()
	defer thaw()
	rest(ctx, between(random, r.lease, 4*r.lease))
	return 1, nil
}

// freezeWorkerAtCommit is F2 at the worst moment: the worker freezes with its outcome in its hand, and sends it when it
// wakes up, long after the task became another's.
func freezeWorkerAtCommit(ctx context.Context, r *rig, random *rand.Rand, _ *window) (int, error) {
	m := pickOne(random, r.fleet.role("worker"))
	m.busy.Lock()
	defer m.busy.Unlock()
	p := m.current()
	script := pickOne(random, commits)
	m.arm(script, stopBefore)
	defer func() { _ = p.Signal(syscall.SIGCONT) }()
	for begun := time.Now(); !stopped(p.PID()); rest(ctx, 5*time.Millisecond) {
		if time.Since(begun) > time.Second || ctx.Err() != nil {
			m.arm(script, "")
			rest(ctx, 20*time.Millisecond) // it may be about to stop
			return 0, nil
		}
	}
	rest(ctx, between(random, r.lease*3/2, 3*r.lease))
	return 1, nil
}

// killBeat and freezeBeat are F3. Another beat stands by.
func killBeat(_ context.Context, r *rig, random *rand.Rand, _ *window) (int, error) {
	m := pickOne(random, r.fleet.mortal("beat"))
	m.busy.Lock()
	defer m.busy.Unlock()
	m.kill()
	return 1, nil
}

func freezeBeat(ctx context.Context, r *rig, random *rand.Rand, _ *window) (int, error) {
	m := pickOne(random, r.fleet.role("beat"))
	m.busy.Lock()
	defer m.busy.Unlock()
	thaw := m.freeze()
	defer thaw()
	rest(ctx, between(random, beatLease, 4*beatLease))
	return 1, nil
}

// delayBeat is F3 with a call that arrives late: what a leader sent is delivered when another one leads.
func delayBeat(ctx context.Context, r *rig, random *rand.Rand, _ *window) (int, error) {
	m := pickOne(random, r.fleet.role("beat"))
	m.busy.Lock()
	defer m.busy.Unlock()
	if m.proxy == nil {
		return 0, nil
	}
	m.proxy.set(weather{delay: between(random, 2*beatLease, 4*beatLease)}, weather{})
	rest(ctx, between(random, 1*time.Second, 2*time.Second))
	m.proxy.heal()
	return 1, nil
}

// delayFire is F3 at the worst moment: the leader's tick is under way, another beat leads and fires it, and then it arrives.
func delayFire(ctx context.Context, r *rig, _ *rand.Rand, _ *window) (int, error) {
	for _, m := range r.fleet.role("beat") {
		m.arm("fire", deliverLate) // only the leader fires
	}
	rest(ctx, 1500*time.Millisecond)
	for _, m := range r.fleet.role("beat") {
		m.arm("fire", "")
	}
	return 1, nil
}

// killAPI and killProducer are F4.
func killAPI(_ context.Context, r *rig, random *rand.Rand, _ *window) (int, error) {
	m := pickOne(random, r.fleet.role("api"))
	m.busy.Lock()
	defer m.busy.Unlock()
	m.kill()
	return 1, nil
}

func killProducer(_ context.Context, r *rig, random *rand.Rand, _ *window) (int, error) {
	m := pickOne(random, r.fleet.role("producer"))
	m.busy.Lock()
	defer m.busy.Unlock()
	m.kill()
	return 1, nil
}

// restartFleet is half of F12: all workers that are mortal die at once, and come back at once.
func restartFleet(_ context.Context, r *rig, _ *rand.Rand, _ *window) (int, error) {
	var dying sync.WaitGroup
	for _, m := range r.fleet.mortal("worker") {
		dying.Go(func() {
			m.busy.Lock()
			defer m.busy.Unlock()
			r.died(m)
			m.kill()
		})
	}
	dying.Wait()
	return 1, nil
}
