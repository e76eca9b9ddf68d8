package chaos_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// mutant is Seri with one safeguard removed. The change is made in an overlay of the compiler: the tree stays as it is.
type mutant struct {
	name     string
	what     string // is removed
	edits    []edit
	scenario string   // that must find it out
	by       []string // what must be violated: one of these
}

type edit struct{ file, old, new string }

const (
	completeHolds = "local status = holds(record, ARGV[arg], ARGV[arg + 1])"
	hybridFence   = "math.max(number(call('GET', fence)), now_us - 1)"
	counterFence  = "number(call('GET', fence))"
)

var mutants = []mutant{
	{"M1", "the check of the lease in complete", []edit{
		{"internal/store/complete.lua", completeHolds, "local status = record[1] == 'active' and 1 or 2"},
	}, "zombies", []string{"I2", "I3", "I4", "I10"}},
	{"M2", "the nonce, with tokens that are a counter", []edit{
		{"internal/store/prelude.lua", "if record[2] ~= token or record[3] ~= nonce then", "if record[2] ~= token then"},
		{"internal/store/dequeue.lua", hybridFence, counterFence},
	}, "failover-replica", []string{"I2", "I3", "I4"}},
	{"M3", "the clock in the fencing token: a counter", []edit{
		{"internal/store/dequeue.lua", hybridFence, counterFence},
	}, "failover-replica", []string{"I3"}},
	{"M4", "the exact formatting of tokens: the operator ..", []edit{
		{"internal/store/dequeue.lua", "local text = digits(token)", "local text = '' .. token"},
	}, "calm", []string{"I1", "I12"}},
	{"M5", "the event in the script that makes the change: it is written by the next call", []edit{
		{"internal/store/forward.lua", "append_events(stream, maxlen)", "if pieces > 0 then\n  events[pieces + 1] = '}]'\n  call('RPUSH', stream .. ':later', table.concat(events))\nend"},
		{"internal/store/forward.go", "	values, ok := reply.([]any)", "	for {\n		text, err := s.rdb.LPop(ctx, q.Events()+\":later\").Result()\n		if err != nil {\n			break\n		}\n		s.rdb.Do(ctx, \"XADD\", q.Events(), \"*\", \"e\", text)\n	}\n	values, ok := reply.([]any)"},
	}, "deaths", []string{"I6", "I7", "I9"}},
	// With as much time between as a recoverer needs that takes many tasks back, one by one.
	{"M6", "the second look of recover: expired leases are listed first, and taken by another call", []edit{
		{"internal/store/recover.lua", "ipairs(call('ZRANGEBYSCORE', lease, '-inf', string.format('%.6f', now_us / 1000000), 'LIMIT', 0, ARGV[3]))", "ipairs({unpack(ARGV, 7)})"},
		{"internal/store/recover.go", "	reply, err := s.run(ctx, recoverExpired, q, names,\n", "	now, err := s.rdb.Time(ctx).Result()\n	if err != nil {\n		return Recovered{}, err\n	}\n	listed, err := s.rdb.Do(ctx, \"ZRANGEBYSCORE\", q.Lease(), \"-inf\", float64(now.UnixMicro())/1e6).Slice()\n	if err != nil {\n		return Recovered{}, err\n	}\n	<-time.After(20 * time.Millisecond)\n	reply, err := s.run(ctx, recoverExpired, q, names, append([]any{\n"},
		{"internal/store/recover.go", "policy.Backoff.Milliseconds(), rand.Float64())", "policy.Backoff.Milliseconds(), rand.Float64()}, listed...)...)"},
	}, "deaths", []string{"I4"}},
	{"M7", "the check of the lease in extend", []edit{
		{"internal/store/extend.lua", "local held = holds(record, ARGV[2 * i - 1], ARGV[2 * i]) == 1", "local held = true"},
	}, "late", []string{"I4", "I9"}},
	{"M8", "the comparison in fire: whoever comes fires", []edit{
		{"internal/store/fire.lua", "if record[1] ~= ARGV[a + 1] or not (waited or fresh) and record[2] ~= expected or waited and waiting[place or 1] ~= tick then\n    return 0\n  end", ""},
		{"internal/store/fire.lua", "if token ~= '' and not leads(beat, lock, token) then\n  return -1\nend", "leads(beat, lock, token)"},
	}, "beats", []string{"I5", "I7"}},
	{"M9", "the tick in the ID of its task", []edit{
		{"internal/schedule/schedule.go", `return TaskPrefix + schedule + ":" + strconv.FormatInt(tick.Unix(), 10)`, `return strconv.FormatInt(time.Now().UnixNano(), 36)`},
	}, "calm", []string{"I5"}},
	{"M10", "the gateway's place in the stream: after a lost connection it goes on at the end", []edit{
		{"internal/events/tail.go", "retry.wait(ctx, err) // and read again from where it was, never from the new end\n", "retry.wait(ctx, err)\n			if v, err := t.streams.Look(ctx, queue, EntryID{}); err == nil {\n				at = endOfView(v)\n			}\n"},
	}, "watchers", []string{"I8"}},
	{"M11", "complete's right to run when memory is full", []edit{
		{"internal/store/complete.go", `draining("complete"`, `filling("complete"`},
	}, "full-memory", []string{"I12", "I4"}},
	{"M12", "the sweep", []edit{
		{"internal/engine/sweeper.go", "swept, err := s.store.Sweep(ctx, q, s.lease)", "swept, err := store.Swept{}, error(nil)"},
	}, "meddling", []string{"I1", "I9", "I12"}},
}

// TestEveryMutantIsFoundOut shows that the suite can fail.
func TestEveryMutantIsFoundOut(t *testing.T) {
	if *suite != "mutants" {
		t.Skip("builds a dozen programs: make mutants")
	}
	seed := chosenSeed(t)
	caught := 0
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			begun := time.Now()
			binary := m.build(t)
			built := time.Since(begun)
			violations := attempt(t, binary, m.scenario, seed)
			by := ""
			for _, v := range violations {
				for _, invariant := range m.by {
					if strings.HasPrefix(v, invariant+":") {
						by = v
					}
				}
			}
			if by == "" {
				t.Fatalf("not found out: without %s the scenario %q violates %q, want one of %v", m.what, m.scenario, violations, m.by)
			}
			caught++
			t.Logf("without %s: found out in %v (and %v to build) by %q: %.200s", m.what,
				(time.Since(begun) - built).Round(time.Second), built.Round(time.Second), m.scenario, by)
		})
	}
	t.Logf("%d of %d mutants were found out", caught, len(mutants))
}

// change returns the files that the mutant changes, with their new content.
func (m mutant) change(root string) (map[string]string, error) {
	changed := make(map[string]string)
	for _, e := range m.edits {
		content, seen := changed[e.file]
		if !seen {
			b, err := os.ReadFile(filepath.Join(root, e.file))
			if err != nil {
				return nil, err
			}
			content = string(b)
		}
		if n := strings.Count(content, e.old); n != 1 {
			return nil, fmt.Errorf("%s has %d places that read %q, want 1: the code has changed, and mutant %s has to change with it",
				e.file, n, e.old, m.name)
		}
		changed[e.file] = strings.Replace(content, e.old, e.new, 1)
	}
	return changed, nil
}

// This one runs with the ordinary tests: whoever changes the code learns of it at once.
func TestEveryMutantFitsTheCode(t *testing.T) {
	t.Parallel()
	for _, m := range mutants {
		if _, err := m.change("../.."); err != nil {
			t.Error(err)
		}
	}
}

// build compiles this suite with the mutant in place of what it changes.
func (m mutant) build(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	changed, err := m.change(root)
	if err != nil {
		t.Fatal(err)
	}
	overlay := struct{ Replace map[string]string }{make(map[string]string)}
	for file, content := range changed {
		path := filepath.Join(dir, fmt.Sprintf("%d%s", len(overlay.Replace), filepath.Ext(file)))
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		overlay.Replace[filepath.Join(root, file)] = path
	}
	encoded, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	list, binary := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "chaos.test")
	if err := os.WriteFile(list, encoded, 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "test", "-overlay", list, "-c", "-o", binary, "./internal/chaos")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", m.name, err, out)
	}
	return binary
}

// attempt runs a scenario with a binary and returns what it found wrong.
func attempt(t *testing.T, binary, scenario string, seed uint64) []string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "report.json")
	cmd := exec.CommandContext(t.Context(), binary, "-test.run=^TestChaos$", "-test.timeout=3m", "-suite="+scenario,
		fmt.Sprintf("-seed=%d", seed), "-report="+file)
	out, runErr := cmd.CombinedOutput()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("the run left no report: %v\n%s", runErr, out)
	}
	var f figures
	if err := json.Unmarshal(b, &f); err != nil {
		t.Fatal(err)
	}
	return f.Violations
}
