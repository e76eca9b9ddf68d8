package report_test

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seri-queue/seri/bench/report"
)

// drain is a row as a run leaves it.
func drain() report.Row {
	r := report.Row{
		Workload: "W3", Variant: "drain <100>", Unit: "tasks/s", Seri: 50_000, SeriMin: 48_000, SeriMax: 51_000, Floor: 62_500,
		Target: "≥ 2.5 × the best peer", Rounds: 3, Scale: 1, Cost: &report.Cost{Store: 10, Worker: 12, Client: report.NotMeasured()},
		Tunings: []report.Tuning{
			{Peer: "asynq", Tuning: "c10", Median: 6_800, Min: 6_000, Max: 7_000},
			{Peer: "asynq", Tuning: "c20 ×3", Median: 12_500, Min: 12_000, Max: 13_000},
			{Peer: "river", Tuning: "c2000", Median: 20_000, Min: 19_000, Max: 21_000},
			{Peer: "river", Tuning: "broken", Median: report.NotMeasured(), Min: report.NotMeasured(), Max: report.NotMeasured()},
		},
	}
	r.Finish(func(r *report.Row) bool { return r.RatioBestPeer >= 2.5 })
	return r
}

func TestFinishComparesWithEachPeersBestSetting(t *testing.T) {
	t.Parallel()

	r := drain()

	if r.Peers["asynq"] != 12_500 || r.Peers["river"] != 20_000 || len(r.Peers) != 2 {
		t.Errorf("best peers are %v", r.Peers)
	}
	if r.RatioBestPeer != 2.5 || r.ShareOfFloor != 0.8 || r.Met == nil || !*r.Met {
		t.Errorf("ratio %v, share %v, met %v; want 2.5, 0.8, true", r.RatioBestPeer, r.ShareOfFloor, r.Met)
	}
	if best, found := r.BestTuning("asynq"); !found || best.Tuning != "c20 ×3" {
		t.Errorf("asynq's best setting is %q", best.Tuning)
	}
}

func TestFinishTakesTheLowestWhereLessIsBetter(t *testing.T) {
	t.Parallel()
	r := report.Row{Lower: true, Seri: 0.5, Floor: 0.25, Tunings: []report.Tuning{
		{Peer: "asynq", Tuning: "default", Median: 500}, {Peer: "asynq", Tuning: "tuned", Median: 5},
	}}

	r.Finish(nil)

	if r.Peers["asynq"] != 5 || r.RatioBestPeer != 10 || r.ShareOfFloor != 0.5 || r.Met != nil {
		t.Errorf("peer %v, ratio %v, share %v, met %v; want 5, 10, 0.5, nil", r.Peers["asynq"], r.RatioBestPeer, r.ShareOfFloor, r.Met)
	}
}

func TestSavedRowsComeBack(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "bench", "results.json")
	alone := report.Row{Workload: "W9", Variant: "a million", Unit: "tasks/s", Seri: 1234.5678, Floor: report.NotMeasured()}
	alone.Finish(nil)

	if err := report.Save(name, []report.Row{drain(), alone}); err != nil {
		t.Fatal(err)
	}
	rows, err := report.Load(name)

	if err != nil || len(rows) != 2 {
		t.Fatalf("got %d rows, error %v", len(rows), err)
	}
	if rows[0].Seri != 50_000 || rows[0].Peers["river"] != 20_000 || rows[0].Cost.Client.Known() {
		t.Errorf("the first row came back as %+v", rows[0])
	}
	if rows[1].Seri != 1235 || rows[1].Floor.Known() || rows[1].RatioBestPeer.Known() {
		t.Errorf("the second row came back as %+v", rows[1])
	}
}

func TestNumbersKeepFourDigits(t *testing.T) {
	t.Parallel()
	for value, want := range map[report.Number]string{
		0: "0", 123456: "123500", 0.123456: "0.1235", -182.345: "-182.3", report.Number(math.NaN()): "null", report.Number(math.Inf(1)): "null",
	} {
		if got, err := json.Marshal(value); err != nil || string(got) != want {
			t.Errorf("%v is written as %s (%v), want %s", float64(value), got, err, want)
		}
	}
}

func TestLoadFindsNothingBeforeTheFirstRun(t *testing.T) {
	t.Parallel()
	if rows, err := report.Load(filepath.Join(t.TempDir(), "none.json")); rows != nil || err != nil {
		t.Errorf("got %v, %v", rows, err)
	}
}

func TestMergeReplacesWholeWorkloads(t *testing.T) {
	t.Parallel()
	row := func(workload, variant string) report.Row { return report.Row{Workload: workload, Variant: variant} }

	merged := report.Merge(
		[]report.Row{row("W10", "old"), row("W3", "old, no longer there"), row("W1b", "old")},
		[]report.Row{row("W3", "new"), row("W1a", "new")},
	)

	var got []string
	for _, r := range merged {
		got = append(got, r.Workload+" "+r.Variant)
	}
	if want := "W1a new, W1b old, W3 new, W10 old"; strings.Join(got, ", ") != want {
		t.Errorf("got %q, want %q", strings.Join(got, ", "), want)
	}
}

func TestThePageKeepsWhatPeopleWroteOnIt(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "performance.md")
	if err := report.SavePage(name, "performance.svg", "Measured on 2 cores.", []report.Row{drain()}); err != nil {
		t.Fatal(err)
	}
	first, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, expected := range []string{
		"Measured on 2 cores.", "(performance.svg)", "**50,000 (48,000–51,000)**", "12,500 (12,000–13,000) [c20 ×3]", "2.50 ×",
		"62,500: 80 %", "✓ ≥ 2.5 × the best peer", "## What bounds Seri",
	} {
		if !strings.Contains(string(first), expected) {
			t.Errorf("the page does not say %q", expected)
		}
	}
	written := strings.Replace(string(first), "## What bounds Seri\n", "## What bounds Seri\n\nLua.\n", 1)
	if err := os.WriteFile(name, []byte(written), 0o644); err != nil {
		t.Fatal(err)
	}

	if err := report.SavePage(name, "performance.svg", "Measured on 64 cores.", nil); err != nil {
		t.Fatal(err)
	}

	second, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if text := string(second); !strings.Contains(text, "\nLua.\n") || !strings.Contains(text, "64 cores") || strings.Contains(text, "2 cores") {
		t.Errorf("the renewed page is\n%s", text)
	}
}

func TestAPageWithoutMarksIsNotTouched(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "performance.md")
	if err := os.WriteFile(name, []byte("# Mine\n"), 0o644); err != nil {
		t.Fatal(err)
	}

	err := report.SavePage(name, "p.svg", "", nil)

	if content, _ := os.ReadFile(name); err == nil || string(content) != "# Mine\n" {
		t.Errorf("error %v, page %q", err, content)
	}
}

func TestThePlotIsXMLWithABarForEachSystem(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "plot.svg")

	if err := report.SavePlot(name, []report.Row{drain(), {Workload: "W5", Unit: "ms"}}); err != nil {
		t.Fatal(err)
	}

	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	bars := map[string]int{}
	for tokens := xml.NewDecoder(strings.NewReader(string(content))); ; {
		token, err := tokens.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("the plot is not XML: %v", err)
		}
		if element, ok := token.(xml.StartElement); ok {
			for _, attribute := range element.Attr {
				if attribute.Name.Local == "class" {
					bars[attribute.Value]++
				}
			}
		}
	}
	for _, system := range []string{"seri", "asynq", "river"} {
		if bars[system] != 2 { // one in the legend
			t.Errorf("%d shapes of %s, want 2", bars[system], system)
		}
	}
	if bars["floor"] != 1 || strings.Contains(string(content), "W5") {
		t.Errorf("%d floors, want 1; and nothing of latencies", bars["floor"])
	}
}

func TestTheMachineIsDescribedWithoutNames(t *testing.T) {
	t.Parallel()
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}

	text := report.Machine([]string{"Redis 7.0.15"})

	if !strings.Contains(text, "cores") || !strings.Contains(text, "Redis 7.0.15") || !strings.Contains(text, "Go ") {
		t.Errorf("got %q", text)
	}
	if len(host) > 3 && strings.Contains(text, host) {
		t.Errorf("%q names the host", text)
	}
}
