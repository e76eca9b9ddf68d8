package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/client"
	"github.com/seri-queue/seri/internal/devstore/redisproc"
	"github.com/seri-queue/seri/internal/keys"
)

// rig is everything that runs during one scenario.
type rig struct {
	t        testing.TB
	scenario scenario
	dir      string
	lease    time.Duration
	queues   []keys.Queue
	register *register
	fleet    fleet
	nemesis  nemesis
	watchers []*watcher
	notes    *ledger // of the harness itself, which is a producer, too
	probe    *probe
	figures  *figures

	nodes     []*node
	link      *proxy     // between the replica and its primary, if there is one
	sentinels *sentinels // nil: none
	cluster   *clusterOf // nil: none
	clock     *clock     // of the only server; nil: the machine's

	mu       sync.Mutex
	leading  int             // of nodes
	tampered map[string]bool // IDs that a fault of the data was about
	deaths   map[int]int64   // when a worker was killed, Unix µs, by process
}

// leaseLength stands for the 30 s of production: everything is fifty times as fast.
const leaseLength = 600 * time.Millisecond

// newRig starts everything. What it starts ends with the test.
func newRig(t testing.TB, s scenario, seed uint64) *rig {
	t.Helper()
	r := &rig{
		t: t, scenario: s, dir: scratch(t, s.name), lease: leaseLength, queues: []keys.Queue{"alpha", "beta"},
		tampered: make(map[string]bool), deaths: make(map[int]int64), figures: &figures{Seed: seed},
	}
	r.nemesis = nemesis{rig: r, counts: make(map[string]int)}
	must := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		for _, n := range r.nodes {
			n.kill()
		}
	})
	must(r.startRedis())
	var err error
	r.register, err = newRegister()
	must(err)
	t.Cleanup(r.register.close)
	r.notes, err = openLedger(ledgerPath(r.dir, "harness", os.Getpid()))
	must(err)
	t.Cleanup(func() {
		for _, m := range r.fleet.members {
			m.end(false)
			if m.proxy != nil {
				m.proxy.close()
			}
		}
	})
	for i := range s.workers {
		must(r.addMember(part{Role: "worker", Slots: s.slots, Register: r.register.addr(), Seed: seed + uint64(i)}))
	}
	for range s.beats {
		must(r.addMember(part{Role: "beat"}))
	}
	for range s.lockers {
		must(r.addMember(part{Role: "locker"}))
	}
	for range s.producers {
		must(r.addMember(part{Role: "producer", Rate: s.rate / s.producers, Mix: s.mix, Seed: seed, Name: "p"}))
	}
	if s.watchers > 0 {
		must(r.addWatchers(s.watchers))
	}
	return r
}

// scratch returns a directory for a run: in memory where that can be had, so that a slow disk does not make Redis answer
// before it has handed its writes over.
func scratch(t testing.TB, name string) string {
	t.Helper()
	base := os.TempDir()
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		base = "/dev/shm"
	}
	dir, err := os.MkdirTemp(base, "seri-chaos-"+name+"-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if *keep {
			t.Logf("ledgers and logs are in %s", dir)
			return
		}
		_ = os.RemoveAll(dir)
	})
	return dir
}

// addMember starts a process with what all of them are told. Alone or replicated, Redis is behind a proxy of the
// process's own; under Sentinel and in a Cluster addresses are made known by Redis, so that no proxy can stand between.
func (r *rig) addMember(p part) error {
	var x *proxy
	p.Dir, p.Lease = r.dir, r.lease
	for _, q := range r.queues {
		p.Queues = append(p.Queues, string(q))
	}
	p.Redis = r.url()
	if r.sentinels == nil && r.cluster == nil {
		var err error
		if x, err = newProxy(r.primary().addr); err != nil {
			return err
		}
		p.Redis = "redis://" + x.Addr() + "/0?dial_timeout=1s&read_timeout=2s&write_timeout=2s"
	}
	if p.Role == "api" {
		p.Args = append(p.Args, "--redis-url", p.Redis)
	}
	if r.scenario.library != "" && p.Role != "producer" { // whose ETAs are instants by its own clock
		p.Library, p.Clock = r.scenario.library, filepath.Join(r.dir, fmt.Sprintf("clock.%d", len(r.fleet.members)))
		fast := int64(drift)
		if len(r.fleet.members)%2 == 1 {
			fast = -drift
		}
		if err := (&clock{p.Clock, time.Nanosecond}).run(fast); err != nil {
			return err
		}
	}
	_, err := r.fleet.add(r.dir, p, x)
	return err
}

// url is where Redis is without a proxy.
func (r *rig) url() string {
	switch {
	case r.cluster != nil:
		return "redis+cluster://" + r.cluster.addrs[0] + "?" + url.Values{"addr": r.cluster.addrs[1:], "read_timeout": {"2s"}, "dial_timeout": {"1s"}}.Encode()
	case r.sentinels != nil:
		return "redis+sentinel://" + r.sentinels.addrs[0] + "?" + url.Values{"addr": r.sentinels.addrs[1:], "master": {masterName}, "read_timeout": {"2s"}, "dial_timeout": {"1s"}}.Encode()
	}
	return "redis://" + r.primary().addr + "/0"
}

// client returns a client for the harness, without a proxy.
func (r *rig) client() redis.UniversalClient {
	switch {
	case r.cluster != nil:
		return r.cluster.client()
	case r.sentinels != nil:
		return redis.NewFailoverClient(&redis.FailoverOptions{MasterName: masterName, SentinelAddrs: r.sentinels.addrs, MaxRetries: -1})
	}
	return r.primary().client()
}

func (r *rig) primary() *node {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.nodes[r.leading]
}

func (r *rig) replica() *node {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.nodes[1-r.leading]
}

func (r *rig) promote(next, _ *node) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, n := range r.nodes {
		if n == next {
			r.leading = i
		}
	}
}

func (r *rig) nodeAt(addr string) *node {
	for _, n := range r.nodes {
		if n.addr == addr {
			return n
		}
	}
	return nil
}

func (r *rig) streams() []string {
	var names []string
	for _, q := range r.queues {
		names = append(names, q.Events())
	}
	return names
}

// part keeps all processes away from Redis, and rejoin lets them in.
func (r *rig) part() {
	for _, m := range r.fleet.members {
		if m.proxy != nil {
			m.proxy.Partition()
		}
	}
}

func (r *rig) rejoin() {
	for _, m := range r.fleet.members {
		if m.proxy != nil {
			m.proxy.heal()
		}
	}
}

func (r *rig) tamper(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tampered[id] = true
}

func (r *rig) died(m *member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.deaths[m.current().PID()] = time.Now().UnixMicro()
}

// givePoison enqueues tasks that end their worker, spread over the first half of the run: who dies later may still grow old.
func (r *rig) givePoison(ctx context.Context, n int, length time.Duration, seed uint64) {
	rdb := r.client()
	defer rdb.Close()
	queue := client.New(rdb, client.Config{MaxEvents: maxEvents})
	random := rand.New(rand.NewPCG(seed, 7))
	for i := range n {
		rest(ctx, length/2/time.Duration(n+1))
		if ctx.Err() != nil {
			return
		}
		m := message(random, poison, "poison-"+strconv.Itoa(i), string(r.queues[i%len(r.queues)]), r.lease)
		post(r.notes, queue, m)
	}
}

// heal puts everything right that faults may have left, and has workers start anew, which also sweep.
func (r *rig) heal() error {
	for _, m := range r.fleet.members {
		if m.proxy != nil {
			m.proxy.heal()
		}
		p := m.current()
		_ = p.Signal(syscall.SIGCONT)
		for _, script := range []string{"complete", "dequeue", "retry", "extend", "recover", "forward", "fire"} {
			_ = p.Tell(script + " ")
		}
	}
	for _, m := range r.fleet.mortal("worker") {
		r.died(m)
		m.kill()
	}
	return within(10*time.Second, func(ctx context.Context) error {
		rdb := r.client()
		defer rdb.Close()
		for _, q := range r.queues { // the dead have taken their turns with them
			if err := rdb.Del(ctx, q.Turn()).Err(); err != nil {
				return err
			}
		}
		return rdb.Ping(ctx).Err()
	})
}

// drain waits until no task is left that has not ended, and returns how long it took.
func (r *rig) drain(patience time.Duration) (time.Duration, error) {
	for _, role := range []string{"producer", "beat", "locker"} {
		for _, m := range r.fleet.role(role) {
			m.end(true)
		}
	}
	begun := time.Now()
	rdb := r.client()
	defer rdb.Close()
	err := within(patience, func(ctx context.Context) error {
		var left []string
		for _, q := range r.queues {
			pipe := rdb.Pipeline()
			lengths := map[string]*redis.IntCmd{
				"pending": pipe.LLen(ctx, q.Pending()), "active": pipe.LLen(ctx, q.Active()),
				"scheduled": pipe.ZCard(ctx, q.Scheduled()), "retry": pipe.ZCard(ctx, q.Retry()), "leases": pipe.ZCard(ctx, q.Lease()),
			}
			if _, err := pipe.Exec(ctx); err != nil {
				return err
			}
			for what, n := range lengths {
				if n.Val() != 0 {
					left = append(left, fmt.Sprintf("%s: %d %s", q, n.Val(), what))
				}
			}
		}
		if len(left) > 0 {
			return errors.New(strings.Join(left, ", "))
		}
		return nil
	})
	return time.Since(begun), err
}

// startRedis starts the Redis of the scenario.
func (r *rig) startRedis() error {
	switch r.scenario.redis {
	case "cluster":
		return r.startCluster()
	case "sentinel":
		return r.startSentinel()
	}
	n, err := newNode(r.dir, persistent...)
	if err != nil {
		return err
	}
	if r.scenario.clocks {
		if r.clock, n.cfg.Binary, err = newClock(r.dir, n.cfg.Binary); err != nil {
			return err
		}
	}
	if r.scenario.synced {
		if n.cfg.Binary, err = preload(r.dir, "disk", n.cfg.Binary, fmt.Sprintf("SERI_DISK_US=%d", syncTime)); err != nil {
			return err
		}
		n.cfg.Args = append(n.cfg.Args[:len(n.cfg.Args):len(n.cfg.Args)], "--appendfsync", "always")
	}
	if err := n.start(); err != nil {
		return err
	}
	r.nodes = append(r.nodes, n)
	if r.scenario.redis != "replica" {
		return nil
	}
	if r.link, err = newProxy(n.addr); err != nil {
		return err
	}
	r.t.Cleanup(r.link.close)
	replica, err := newNode(r.dir, persistent...)
	if err != nil {
		return err
	}
	r.nodes = append(r.nodes, replica)
	return r.follow(replica)
}

const masterName = "seri"

// sentinels are three Sentinels, of which two must agree.
type sentinels struct{ addrs []string }

// master asks the Sentinels for the primary's address.
func (s *sentinels) master(ctx context.Context) (string, error) {
	var last error
	for _, addr := range s.addrs {
		c := redis.NewSentinelClient(&redis.Options{Addr: addr, MaxRetries: -1})
		hostPort, err := c.GetMasterAddrByName(ctx, masterName).Result()
		c.Close()
		if err == nil && len(hostPort) == 2 {
			return hostPort[0] + ":" + hostPort[1], nil
		}
		last = err
	}
	return "", fmt.Errorf("ask Sentinel: %w", last)
}

func (r *rig) startSentinel() error {
	first, err := startNode(r.dir, persistent...)
	if err != nil {
		return err
	}
	r.nodes = append(r.nodes, first)
	_, port, _ := strings.Cut(first.addr, ":")
	for range 2 {
		n, err := startNode(r.dir, append(persistent[:len(persistent):len(persistent)], "--replicaof", "127.0.0.1 "+port)...)
		if err != nil {
			return err
		}
		n.cfg.Args = persistent // when it comes back, Sentinel tells it what it is
		r.nodes = append(r.nodes, n)
	}
	r.sentinels = &sentinels{}
	for range 3 {
		dir, err := os.MkdirTemp(r.dir, "sentinel-*")
		if err != nil {
			return err
		}
		at := redisproc.FreePort()
		file := filepath.Join(dir, "sentinel.conf")
		text := fmt.Sprintf("port %d\nbind 127.0.0.1\ndir %s\nsentinel monitor %s 127.0.0.1 %s 2\nsentinel down-after-milliseconds %s 1000\n"+
			"sentinel failover-timeout %s 4000\nsentinel parallel-syncs %s 2\n", at, dir, masterName, port, masterName, masterName, masterName)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			return err
		}
		stop, err := startSentinel(file)
		if err != nil {
			return err
		}
		r.t.Cleanup(stop)
		r.sentinels.addrs = append(r.sentinels.addrs, fmt.Sprintf("127.0.0.1:%d", at))
	}
	return within(20*time.Second, func(ctx context.Context) error {
		if err := r.everyNodeInStep(ctx); err != nil {
			return err
		}
		for _, addr := range r.sentinels.addrs {
			c := redis.NewSentinelClient(&redis.Options{Addr: addr, MaxRetries: -1})
			info, err := c.Master(ctx, masterName).Result()
			c.Close()
			if err == nil && (info["num-slaves"] != "2" || info["num-other-sentinels"] != "2") {
				err = fmt.Errorf("sentinel %s knows %s replicas and %s others", addr, info["num-slaves"], info["num-other-sentinels"])
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// startCluster starts three primaries with a replica each.
func (r *rig) startCluster() error {
	const primaries = 3
	settings := append(persistent[:len(persistent):len(persistent)], "--cluster-enabled", "yes", "--cluster-node-timeout", "1000",
		"--cluster-announce-ip", "127.0.0.1", "--cluster-replica-validity-factor", "0")
	var ids []string
	var buses []int
	r.cluster = &clusterOf{}
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	defer cancel()
	do := func(n *node, args ...any) error {
		rdb := n.client()
		defer rdb.Close()
		return rdb.Do(ctx, args...).Err()
	}
	for i := range 2 * primaries {
		bus := redisproc.FreePort()
		n, err := startNode(r.dir, append(settings[:len(settings):len(settings)], "--cluster-port", strconv.Itoa(bus))...)
		if err != nil {
			return err
		}
		rdb := n.client()
		id, err := rdb.ClusterMyID(ctx).Result()
		rdb.Close()
		if err != nil {
			return err
		}
		r.nodes, ids, buses = append(r.nodes, n), append(ids, id), append(buses, bus)
		r.cluster.addrs = append(r.cluster.addrs, n.addr)
		if i < primaries {
			if err := errors.Join(do(n, "cluster", "addslotsrange", i*16384/primaries, (i+1)*16384/primaries-1)); err != nil {
				return err
			}
		}
		if err := do(n, "cluster", "set-config-epoch", i+1); err != nil {
			return err
		}
		if i > 0 {
			_, port, _ := strings.Cut(r.nodes[0].addr, ":")
			if err := do(n, "cluster", "meet", "127.0.0.1", port, buses[0]); err != nil {
				return err
			}
		}
	}
	for i := primaries; i < 2*primaries; i++ {
		if err := within(20*time.Second, func(context.Context) error {
			return do(r.nodes[i], "cluster", "replicate", ids[i-primaries])
		}); err != nil {
			return err
		}
	}
	rdb := r.cluster.client()
	defer rdb.Close()
	return within(30*time.Second, func(ctx context.Context) error { return r.cluster.whole(ctx, rdb, primaries) })
}
