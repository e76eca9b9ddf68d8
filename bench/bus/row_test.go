package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestWhatIsDoneAnywayIsTakenOff(t *testing.T) {
	t.Parallel()
	at := time.Now()
	before := reading{at: at, written: 1000, replied: 400, read: 100, cpu: 1}
	rested := reading{at: at.Add(10 * time.Second), written: 3000, replied: 1400, read: 600, cpu: 2}                                   // 1000 on the bus
	after := reading{at: at.Add(30 * time.Second), written: 30000, replied: 5400, read: 3600, cpu: 5, messages: 200, replicated: 4000} // 23000 more

	r := newRow(after.since(rested).without(rested.since(before)), 100, 2)

	if r.BusBytes != 210 || r.BusMessages != 2 || r.ReplicationBytes != 40 || r.CPUMicros != 10_000 || r.NodeBytes != 125 {
		t.Errorf("got %+v", r)
	}
}

func TestRowsAreComparedOnTheSameCluster(t *testing.T) {
	t.Parallel()
	rows := []row{
		{Way: "none", Nodes: 12, ReplicationBytes: 100},
		{Way: "pubsub", Nodes: 12, BusBytes: 9900, ReplicationBytes: 200},
		{Way: "streams", Nodes: 12, ReplicationBytes: 300},
		{Way: "pubsub", Nodes: 48, BusBytes: 99_800, ReplicationBytes: 200},
		{Way: "streams", Nodes: 48, ReplicationBytes: 500},
	}

	compare(rows)

	if rows[1].Saving != 0 || rows[2].Saving != 0.98 || rows[4].Saving != 0.995 {
		t.Errorf("got %+v", rows)
	}
}

func TestTableIsRenewedInItsPlace(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(name, []byte("before\n"+beginMark+"\nold\n"+endMark+"\nafter\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	all := results{Machine: "Measured here.", Rows: []row{{Way: "streams", Masters: 6, Nodes: 12, Gateways: 4, CPUMicros: 31, Saving: 0.985}}}

	if err := savePage(name, all); err != nil {
		t.Fatal(err)
	}

	page, err := os.ReadFile(name)
	if text := string(page); err != nil || strings.Contains(text, "old") || !strings.HasPrefix(text, "before\n") || !strings.HasSuffix(text, "\nafter\n") ||
		!strings.Contains(text, "| 6 + 6 | 4 | `streams` | 0 | 0.0 | 0 | 98.5 % | 0 bytes | 31 µs |") {
		t.Errorf("got %s, %v", page, err)
	}
}
