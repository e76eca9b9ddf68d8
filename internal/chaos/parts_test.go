package chaos_test

import (
	"io"
	"maps"
	"math"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
)

// What the suite is made of is tested with the ordinary tests.

func TestASeedGivesOnePlan(t *testing.T) {
	t.Parallel()
	tr := track{[]string{"a", "b", "c"}, 100 * time.Millisecond}
	one, again, other := tr.plan(7, 0, time.Minute), tr.plan(7, 0, time.Minute), tr.plan(8, 0, time.Minute)
	if !slices.Equal(one, again) {
		t.Error("the same seed gives two plans")
	}
	if slices.Equal(one, other) {
		t.Error("two seeds give one plan")
	}
	uses := map[string]int{}
	for i, s := range one {
		uses[s.fault]++
		if i > 0 && s.at <= one[i-1].at {
			t.Errorf("stroke %d is at %v, after one at %v", i, s.at, one[i-1].at)
		}
	}
	if len(one) < 400 || uses["a"] < len(one)/4 || uses["b"] < len(one)/4 || uses["c"] < len(one)/4 {
		t.Errorf("%d strokes in a minute, by fault %v", len(one), uses)
	}
}

func TestEveryFaultOfAScenarioExists(t *testing.T) {
	t.Parallel()
	for name, scenarios := range suites() {
		for _, s := range scenarios() {
			for _, tr := range s.tracks {
				for _, f := range tr.faults {
					if faults[f] == nil {
						t.Errorf("suite %s, scenario %s: there is no fault %q", name, s.name, f)
					}
				}
			}
		}
	}
	for _, m := range mutants {
		if suites()[m.scenario] == nil {
			t.Errorf("mutant %s: there is no scenario %q", m.name, m.scenario)
		}
	}
}

// far is a server that tells what it has received once its client is gone.
func far(t *testing.T) (addr string, received <-chan string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	all := make(chan string, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		text, _ := io.ReadAll(conn)
		all <- string(text)
	}()
	return listener.Addr().String(), all
}

func TestAProxyDeliversWhatItsSenderNoLongerWaitsFor(t *testing.T) {
	t.Parallel()
	addr, received := far(t)
	p, err := newProxy(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	const delay = 200 * time.Millisecond
	p.set(weather{delay: delay, slice: true}, weather{})
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if _, err := conn.Write([]byte("late")); err != nil {
		t.Fatal(err)
	}
	conn.Close()

	got := <-received

	if took := time.Since(begun); got != "late" || took < delay {
		t.Errorf("%q was delivered after %v, want \"late\" after %v", got, took, delay)
	}
}

func TestAProxySwallowsAndHeals(t *testing.T) {
	t.Parallel()
	addr, received := far(t)
	p, err := newProxy(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	p.set(weather{swallow: true}, weather{})
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("never")); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}

	if got := <-received; got != "" {
		t.Errorf("%q came through", got)
	}
}

func TestALedgerIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l, err := openLedger(ledgerPath(dir, "worker", 42))
	if err != nil {
		t.Fatal(err)
	}
	l.note(noteStart, "task-1", math.MaxUint64, "1")
	l.note(noteUnknown, "task-2", 0, "an error\nof two lines")

	var notes []note
	err = readLedgers(dir, "*", func(_ string, n note) { notes = append(notes, n) })

	if err != nil || len(notes) != 2 {
		t.Fatalf("read %+v, %v", notes, err)
	}
	now := time.Now().UnixMicro()
	if n := notes[0]; n.pid != 42 || n.kind != noteStart || n.id != "task-1" || n.token != math.MaxUint64 || n.more != "1" || n.at > now || n.at < now-int64(time.Minute/time.Microsecond) {
		t.Errorf("read %+v", n)
	}
	if n := notes[1]; n.kind != noteUnknown || n.more != "an error of two lines" {
		t.Errorf("read %+v", n)
	}
}

func TestARegisterRefusesALowerToken(t *testing.T) {
	t.Parallel()
	r, err := newRegister()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.close)
	c := newRegisterClient(r.addr())

	got := []bool{c.write("k", 5), c.write("k", 5), c.write("k", 7), c.write("k", 6), c.write("other", 1)}

	if want := []bool{true, true, true, false, true}; !slices.Equal(got, want) {
		t.Errorf("answers %v, want %v", got, want)
	}
}

func TestHistoriesOfLocks(t *testing.T) {
	t.Parallel()
	try := func(from, to int64, answer string, token uint64) operation {
		return operation{what: "try", answer: answer, token: token, from: from, to: to}
	}
	release := func(from, to int64, answer string, token uint64) operation {
		return operation{what: "release", answer: answer, token: token, from: from, to: to}
	}
	for name, c := range map[string]struct {
		ops []operation
		ok  bool
	}{
		"one after another":                    {[]operation{try(1, 2, "ok", 5), release(3, 4, "ok", 5), try(5, 6, "ok", 6)}, true},
		"two holders at once":                  {[]operation{try(1, 2, "ok", 5), try(3, 4, "ok", 6)}, false},
		"a token that has gone back":           {[]operation{try(1, 2, "ok", 5), release(3, 4, "ok", 5), try(5, 6, "ok", 4)}, false},
		"held by nobody":                       {[]operation{try(1, 2, "held", 0)}, false},
		"held by one who was not told":         {[]operation{try(1, math.MaxInt64, "unknown", 0), try(3, 4, "held", 0)}, true},
		"a release without an answer":          {[]operation{try(1, 2, "ok", 5), release(3, math.MaxInt64, "unknown", 5), try(5, 6, "held", 0), try(7, 8, "ok", 6)}, true},
		"a release that was taken, and is not": {[]operation{try(1, 2, "ok", 5), release(3, 4, "ok", 5), try(5, 6, "held", 0)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := &history{figures: new(figures)}
			for i, op := range c.ops {
				h.calls = append(h.calls, note{at: op.from, kind: noteCall, id: "lock-1", token: uint64(i), more: op.what + " " + digits(op.token)})
				if op.answer != "unknown" {
					h.returns = append(h.returns, note{at: op.to, kind: noteReturn, id: "lock-1", token: uint64(i), more: op.answer + " " + digits(op.token)})
				}
			}
			if found := checkLinearizable(h); (len(found) == 0) != c.ok {
				t.Errorf("found %v", found)
			}
		})
	}
}

func TestVitalSigns(t *testing.T) {
	t.Parallel()
	newborn := vitals{goroutines: 20, heap: 2 << 20, resident: 25 << 20, descriptors: 12}
	for sentence, c := range map[string]struct {
		change func(*vitals)
		wrong  string
	}{
		"like a newborn":        {func(*vitals) {}, ""},
		"with all that it may":  {func(v *vitals) { v.goroutines += slack.goroutines; v.heap += slack.heap }, ""},
		"stuck goroutines":      {func(v *vitals) { v.goroutines += 20 }, "40 goroutines, a newborn has 20"},
		"a leak of memory":      {func(v *vitals) { v.heap += 20 << 20 }, "bytes of heap"},
		"memory not given back": {func(v *vitals) { v.resident += 60 << 20 }, "bytes of memory"},
		"open connections":      {func(v *vitals) { v.descriptors += 500 }, "512 descriptors"},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			v := newborn
			c.change(&v)
			err := v.beyond(newborn, slackOf("worker"))
			if (err != nil) != (c.wrong != "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("found %v, want %q", err, c.wrong)
			}
		})
	}
}

func TestAFullRunInWhichAKindOfFaultIsMissingIsVacuous(t *testing.T) {
	t.Parallel()
	f := &figures{Faults: make(map[string]int), Fenced: leastZombies, Conflated: 1, Hostile: hostileRequests + hostileSockets}
	maps.Copy(f.Faults, leastOf)
	if faults := f.vacuous(); len(faults) > 0 {
		t.Errorf("a run with enough of everything: %v", faults)
	}
	delete(f.Faults, "permission-missing")
	f.Hostile--
	if faults := f.vacuous(); len(faults) != 2 {
		t.Errorf("without one kind, and one hostile input too few: %v", faults)
	}
}

func TestACrowdThatComesBackAtOnceIsSeen(t *testing.T) {
	t.Parallel()
	for sentence, c := range map[string]struct {
		apart time.Duration // how far apart they come
		right bool
	}{
		"one by one":                   {10 * time.Millisecond, true},
		"a fifth of them at a time":    {2 * time.Millisecond, true},
		"more than a fifth at a time":  {1900 * time.Microsecond, false},
		"all of them when it has gone": {0, false},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			h := &history{figures: new(figures), windows: []window{{fault: "api-kill", from: 1_000_000}}}
			for n := range crowdOf {
				for _, kind := range []string{"source", "socket"} {
					h.knocks = append(h.knocks, note{at: 1_000_000 + int64(n)*c.apart.Microseconds(), id: kind + "-1"})
				}
			}
			if found := checkCrowd(h); (len(found) == 0) != c.right {
				t.Errorf("found %q", found)
			}
			h.knocks = h.knocks[1:]
			if found := checkCrowd(h); len(found) == 0 {
				t.Error("one who has not come back is not missed")
			}
		})
	}
}

func TestWhatAWatcherMayBeSpared(t *testing.T) {
	t.Parallel()
	at := func(position, task string, kind seri.EventKind) *event {
		return &event{Event: seri.Event{Task: task, Kind: kind}, position: position}
	}
	stream := []*event{
		at("1", "a", seri.EventStarted), at("2", "a", seri.EventProgress), at("3", "b", seri.EventStarted),
		at("4", "a", seri.EventProgress), at("5", "a", seri.EventSucceeded), at("6", "b", seri.EventProgress),
	}
	for sentence, c := range map[string]struct {
		seen   string
		stands map[string]int
		begins []int
		right  bool
	}{
		"everything":                           {"123456", nil, nil, true},
		"old progress":                         {"1356", map[string]int{"5": 2}, nil, true},
		"old progress, and a reconnect":        {"1356", nil, []int{0, 2}, true},
		"old progress, and nothing is said":    {"1356", nil, []int{0}, false},
		"old progress after a reconnect":       {"1356", nil, []int{0, 1}, false},
		"old progress before a reconnect":      {"1356", nil, []int{0, 3}, false},
		"less is said than was spared":         {"1356", map[string]int{"5": 1}, []int{0}, false},
		"more is said than was spared":         {"12356", map[string]int{"5": 2}, []int{0}, false},
		"more is said, also after a reconnect": {"12356", map[string]int{"5": 2}, []int{0, 3}, false},
		"the newest progress":                  {"12345", nil, nil, false},
		"a change of state":                    {"12346", nil, nil, false},
		"the beginning":                        {"23456", nil, nil, false},
		"an event twice":                       {"1234556", nil, nil, false},
		"another order":                        {"132456", nil, nil, false},
		"more than is there":                   {"1234567", nil, nil, false},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			h := &history{figures: new(figures), byQueue: map[keys.Queue][]*event{"q": stream}}
			w := &watcher{queue: "q", seen: strings.Split(c.seen, ""), standsFor: c.stands, begins: c.begins}
			if wrong := h.compare(w); (wrong == "") != c.right {
				t.Errorf("found %q", wrong)
			}
		})
	}
}
