package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"

	"github.com/seri-queue/seri/internal/store"
)

// row is what one event costs by one way on one cluster.
type row struct {
	Way       string  `json:"way"`
	Masters   int     `json:"masters"`
	Nodes     int     `json:"nodes"`
	Gateways  int     `json:"gateways"`
	Queues    int     `json:"queues"`
	Events    int     `json:"events"`
	PerSecond float64 `json:"per_second"`

	BusBytes         float64 `json:"bus_bytes"`
	BusMessages      float64 `json:"bus_messages"`
	ReplicationBytes float64 `json:"replication_bytes"` // that of the change of state included
	BetweenNodes     float64 `json:"between_nodes"`     // bus and replication, without that of the change of state
	Saving           float64 `json:"saving"`            // of it, beside Pub/Sub on the same cluster; 0 to 1
	NodeBytes        float64 `json:"node_bytes"`        // in and out of a node, clients included
	CPUMicros        float64 `json:"redis_cpu_us"`      // of all nodes
}

func newRow(s spent, events, nodes float64) row {
	return row{
		BusBytes: s.bus / events, BusMessages: s.messages / events, ReplicationBytes: s.replication / events,
		NodeBytes: s.all / events / nodes, CPUMicros: 1e6 * s.cpu / events,
	}
}

// compare fills in what is a matter of several rows of one cluster.
func compare(rows []row) {
	find := func(nodes int, way string) (found row) {
		for _, r := range rows {
			if r.Nodes == nodes && r.Way == way {
				found = r
			}
		}
		return found
	}
	for i := range rows {
		rows[i].BetweenNodes = rows[i].BusBytes + max(0, rows[i].ReplicationBytes-find(rows[i].Nodes, stateOnly).ReplicationBytes)
	}
	for i := range rows {
		if base := find(rows[i].Nodes, string(store.PubSub)).BetweenNodes; base > 0 && rows[i].Way != stateOnly {
			rows[i].Saving = 1 - rows[i].BetweenNodes/base
		}
	}
}

// table is Markdown.
func table(rows []row) string {
	var b strings.Builder
	b.WriteString("| masters + replicas | gateways | way | bytes on the bus | messages on the bus | bytes of replication, for the event | between nodes, less than `pubsub` | in and out of a node | processor time of Redis |\n|---|---|---|--:|--:|--:|--:|--:|--:|\n")
	for _, r := range rows {
		if r.Way == stateOnly {
			continue
		}
		fmt.Fprintf(&b, "| %d + %d | %d | `%s` | %.0f | %.1f | %.0f | %.1f %% | %.0f bytes | %.0f µs |\n",
			r.Masters, r.Nodes-r.Masters, r.Gateways, r.Way, max(0, r.BusBytes), r.BusMessages, r.BetweenNodes-r.BusBytes, 100*r.Saving, r.NodeBytes, r.CPUMicros)
	}
	return b.String()
}

// The table stands between marks; what people write around it stays.
const (
	beginMark = "<!-- bus: begin -->"
	endMark   = "<!-- bus: end -->"
)

// savePage renews the table of a page.
func savePage(name string, all results) error {
	page, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("renew %s: %w", name, err)
	}
	before, rest, found1 := bytes.Cut(page, []byte(beginMark))
	_, after, found2 := bytes.Cut(rest, []byte(endMark))
	if !found1 || !found2 {
		return fmt.Errorf("renew %s: the lines %q and %q are not there", name, beginMark, endMark)
	}
	r := all.Rows[0]
	how := fmt.Sprintf("%s Per event: %d were written by each way, of %d queues, about %.0f a second.", all.Machine, r.Events, r.Queues, r.PerSecond)
	renewed := string(before) + beginMark + "\n" + how + "\n\n" + table(all.Rows) + endMark + string(after)
	return os.WriteFile(name, []byte(renewed), 0o644)
}
