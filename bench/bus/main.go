// Bus measures what live events cost between the nodes of a Redis Cluster, and what they cost Redis, by the ways on which they
// travel there: `make bench-bus`. It starts clusters on this machine, writes events by the store's own scripts, and has
// gateways' hubs read all of them. docs/events.md has the table.
//
// What goes over the cluster bus is what a node's process writes (/proc/<pid>/io) and does not count as output to clients and
// replicas: INFO does not know the bus. What the same nodes do with the same gateways and no events is taken off. The messages
// that CLUSTER INFO counts are beside it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/seri-queue/seri/bench/ground"
	"github.com/seri-queue/seri/bench/report"
)

func main() {
	ground.Main("bus", realMain)
}

// config is what the flags say.
type config struct {
	shapes   []int // masters, each with one replica
	gateways int
	queues   int
	rate     int
	events   int
	idle     time.Duration
	results  string
	page     string
	dry      bool
}

func parse(args []string) (config, error) {
	flags := flag.NewFlagSet("bus", flag.ContinueOnError)
	var c config
	shapes := flags.String("masters", "6,24", "how many masters the clusters have; each has a replica")
	flags.IntVar(&c.gateways, "gateways", 4, "how many gateways read all events")
	flags.IntVar(&c.queues, "queues", 2, "how many queues the events are of; each is on another master")
	flags.IntVar(&c.rate, "rate", 1000, "events a second, of all queues")
	flags.IntVar(&c.events, "events", 20_000, "how many events are written by each way")
	flags.DurationVar(&c.idle, "idle", 10*time.Second, "how long the cluster is watched without events, by each way")
	flags.StringVar(&c.results, "results", "bench/bus-results.json", "file of the results")
	flags.StringVar(&c.page, "page", "docs/events.md", "page whose table is renewed")
	flags.BoolVar(&c.dry, "n", false, "write no file")
	if err := flags.Parse(args); err != nil {
		return c, err
	}
	var faults []error
	for text := range strings.SplitSeq(*shapes, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 3 || n > 100 {
			faults = append(faults, fmt.Errorf("flag -masters has %q, must be numbers from 3 to 100, as 6,24", text))
			continue
		}
		if c.shapes = append(c.shapes, n); c.queues > n {
			faults = append(faults, fmt.Errorf("flag -queues is %d, at most one for each of %d masters is possible", c.queues, n))
		}
	}
	for name, n := range map[string]int{"gateways": c.gateways, "queues": c.queues, "rate": c.rate, "events": c.events} {
		if n < 1 {
			faults = append(faults, fmt.Errorf("flag -%s is %d, must be at least 1", name, n))
		}
	}
	if c.idle < time.Second {
		faults = append(faults, fmt.Errorf("flag -idle is %v, must be at least 1s", c.idle))
	}
	return c, errors.Join(faults...)
}

// results is what the file holds.
type results struct {
	Machine string `json:"machine"`
	Rows    []row  `json:"rows"`
}

func realMain(ctx context.Context, args []string) error {
	c, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	begun := time.Now()
	say := func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, "%4.0f s  %s\n", time.Since(begun).Seconds(), fmt.Sprintf(format, args...))
	}
	var all results
	for _, masters := range c.shapes {
		say("starting a cluster of %d masters and %d replicas", masters, masters)
		version, rows, err := measure(ctx, c, masters, say)
		if err != nil {
			return err
		}
		all.Machine = report.Machine([]string{"Redis " + version})
		all.Rows = append(all.Rows, rows...)
	}
	compare(all.Rows)
	fmt.Print(table(all.Rows))
	if c.dry {
		return nil
	}
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(c.results, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("write the results: %w", err)
	}
	return savePage(c.page, all)
}

// measure measures every way on one cluster.
func measure(ctx context.Context, c config, masters int, say func(string, ...any)) (version string, rows []row, err error) {
	cluster, err := ground.StartCluster(ctx, masters, 1)
	if err != nil {
		return "", nil, err
	}
	defer cluster.Stop()
	for _, way := range ways {
		say("%d nodes: %s", len(cluster.Nodes), way)
		r, err := run(ctx, c, cluster, way)
		if err != nil {
			return "", nil, fmt.Errorf("%s on %d nodes: %w", way, len(cluster.Nodes), err)
		}
		rows = append(rows, r)
	}
	return cluster.Version, rows, nil
}
