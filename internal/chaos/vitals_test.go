package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/seri-queue/seri/internal/devstore/redisproc"
)

// The second half of I12: what has lived through a run is, when it has come to rest, like one of its role that has just
// been born and has done nothing. It holds no goroutine, no memory and no descriptor of what is over.

// vitals are the vital signs of a process.
type vitals struct {
	goroutines  int
	heap        int64 // bytes in use after a collection
	resident    int64 // bytes, as the kernel counts them
	descriptors int
}

// slack is by how much the vital signs of a process may exceed those of a newborn, beside a twentieth of them: for what a
// process keeps on purpose. A beat may lead, and an api follows the queues that somebody has asked for. A pool of
// connections to Redis keeps up to ten for each processor, and a process may have two. Go gives memory back in pages.
var slack = vitals{goroutines: 12, heap: 8 << 20, resident: 32 << 20, descriptors: 20*runtime.GOMAXPROCS(0) + 8}

// recentEvents is what an api keeps of the newest events for clients that come back: 32 MiB, and half as much again of what
// was read for them.
const recentEvents = 48 << 20

func slackOf(role string) vitals {
	s := slack
	if role == "api" {
		s.heap, s.resident = s.heap+recentEvents, s.resident+recentEvents
	}
	return s
}

// beyond returns what is wrong with v beside a newborn.
func (v vitals) beyond(newborn, slack vitals) error {
	var errs []error
	for _, c := range []struct {
		what                string
		got, newborn, slack int64
	}{
		{"goroutines", int64(v.goroutines), int64(newborn.goroutines), int64(slack.goroutines)},
		{"bytes of heap", v.heap, newborn.heap, slack.heap},
		{"bytes of memory", v.resident, newborn.resident, slack.resident},
		{"descriptors", int64(v.descriptors), int64(newborn.descriptors), int64(slack.descriptors)},
	} {
		if c.got > c.newborn+c.newborn/20+c.slack {
			errs = append(errs, fmt.Errorf("%d %s, a newborn has %d", c.got, c.what, c.newborn))
		}
	}
	return errors.Join(errs...)
}

// most returns the greater of each sign.
func (v vitals) most(o vitals) vitals {
	return vitals{max(v.goroutines, o.goroutines), max(v.heap, o.heap), max(v.resident, o.resident), max(v.descriptors, o.descriptors)}
}

// vitalsPath names the file in which a process notes its vital signs.
func vitalsPath(dir string, pid int) string { return filepath.Join(dir, fmt.Sprintf("%d.vitals", pid)) }

// heapInUse collects the garbage, gives back what is free, and returns how many bytes of the heap are in use.
func heapInUse() string {
	runtime.GC() // what is in a sync.Pool survives the first
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return strconv.FormatUint(m.HeapAlloc, 10)
}

// vitals asks a process how it is.
func (m *member) vitals() (v vitals, err error) {
	p := m.current()
	read := func() (n int, last note) {
		_ = readLedger(vitalsPath(m.dir, p.PID()), func(line note) { n, last = n+1, line }) // there is none at first
		return n, last
	}
	before, _ := read()
	if err := p.Tell("vitals"); err != nil {
		return v, err
	}
	var said note
	err = within(5*time.Second, func(context.Context) error {
		n, last := read()
		if said = last; n == before {
			return fmt.Errorf("%s %d does not say how it is", m.part.Role, p.PID())
		}
		return nil
	})
	if err != nil {
		return v, err
	}
	v.goroutines = int(said.token)
	v.heap, err = strconv.ParseInt(said.more, 10, 64)
	status, errStatus := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	_, kilobytes, _ := strings.Cut(string(status), "VmRSS:")
	_, errResident := fmt.Sscan(kilobytes, &v.resident)
	v.resident <<= 10
	open, errOpen := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.PID()))
	v.descriptors = len(open)
	return v, errors.Join(err, errStatus, errResident, errOpen)
}

// newborn starts one more process of a role, which does nothing, and returns it.
func (r *rig) newborn(like part) (*member, error) {
	p := part{Role: like.Role, Slots: like.Slots, Register: like.Register, Idle: true}
	if p.Role == "api" {
		p.Args = apiArgs(fmt.Sprintf("127.0.0.1:%d", redisproc.FreePort()))
	}
	if err := r.addMember(p); err != nil {
		return nil, err
	}
	return r.fleet.members[len(r.fleet.members)-1], nil
}

// compareVitals is I12 for what has lived, and rests now: of some roles. It returns what is wrong.
func (r *rig) compareVitals(roles ...string) (faults []string) {
	for _, role := range roles {
		lived := r.fleet.role(role)
		if len(lived) == 0 {
			continue
		}
		born, err := r.newborn(lived[0].part)
		if err != nil {
			return append(faults, "I12: "+err.Error())
		}
		var newborn vitals // which comes to its full size in the first second
		for _, m := range lived {
			var v vitals
			err := within(10*time.Second, func(context.Context) error {
				now, err := born.vitals()
				if err != nil {
					return err
				}
				newborn = newborn.most(now)
				if v, err = m.vitals(); err != nil {
					return err
				}
				return v.beyond(newborn, slackOf(role))
			})
			r.figures.vitals(role, v, newborn, m.age())
			if err != nil {
				_ = m.current().Tell("stacks")
				faults = append(faults, fmt.Sprintf("I12: a %s (process %d, %v old) is not what it was: %v", role, m.current().PID(), m.age().Round(time.Second), err))
			}
		}
	}
	return faults
}

// rest has all that hands over work and takes locks stop doing so.
func (r *rig) rest() {
	for _, role := range []string{"producer", "locker"} {
		for _, m := range r.fleet.role(role) {
			_ = m.current().Tell("rest") // one that has just died is replaced by one that does not rest, and is seen by drain
		}
	}
}

// takeoverPatience is how long two leases of a beat may take here: scheduling is not fifty times as fast as leases are.
const takeoverPatience = 2*beatLease + time.Second

// takeOver is I12 for beats: the one that leads dies, and another one leads within two leases.
func (r *rig) takeOver() error {
	var leader *member
	var leads note
	if err := within(10*time.Second, func(context.Context) (err error) {
		if leads, err = r.leads(); err != nil {
			return err
		}
		for _, m := range r.fleet.role("beat") {
			if m.current().PID() == leads.pid {
				leader = m
				return nil
			}
		}
		return errors.New("no beat leads")
	}); err != nil {
		return err
	}
	stalled := r.feel()
	w := window{fault: "beat-kill", from: time.Now().UnixMicro()}
	leader.kill()
	var next note
	err := within(10*time.Second, func(context.Context) (err error) {
		if next, err = r.leads(); err == nil && next.token == leads.token {
			err = errors.New("no other beat leads")
		}
		return err
	})
	w.to = time.Now().UnixMicro()
	r.nemesis.windows = append(r.nemesis.windows, w)
	took, stall := time.Duration(next.at-w.from)*time.Microsecond, stalled()
	if err == nil && took-stall > takeoverPatience {
		err = fmt.Errorf("another beat led %v after the death of the leader, later than two leases (%v); Redis was out of reach for %v of it", took, takeoverPatience, stall)
	}
	r.figures.Takeover = append(r.figures.Takeover, took.Milliseconds())
	return err
}

// feel measures for how long Redis, or the machine, keeps everybody waiting: whatever a call of the harness takes beyond a fifth
// of a beat's lease. No lease can be had or renewed then. The returned function ends it and says how long that was.
func (r *rig) feel() (stalled func() time.Duration) {
	ctx, stop := context.WithCancel(context.Background())
	felt := make(chan time.Duration)
	go func() {
		rdb := r.client()
		defer rdb.Close()
		total := time.Duration(0)
		for ctx.Err() == nil {
			begun := time.Now()
			_ = rdb.Ping(ctx).Err() // one that fails has kept everybody waiting, too
			rest(ctx, 10*time.Millisecond)
			total += max(0, time.Since(begun)-beatLease/5)
		}
		felt <- total
	}()
	return func() time.Duration { stop(); return <-felt }
}

// leads returns the newest note of a beat that it leads.
func (r *rig) leads() (last note, err error) {
	err = readLedgers(r.dir, "beat", func(_ string, n note) {
		if n.kind == noteLeads && n.token > last.token {
			last = n
		}
	})
	return last, err
}
