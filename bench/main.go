// Bench measures Seri beside its peers, on servers that it starts for the purpose: `make bench`.
//
// Everything of one row is measured in one run, in rounds that interleave the contenders, because only ratios of one run
// compare. Beside them stands the floor: Redis with Seri's scripts and nothing around them. Package suite has the
// workloads; docs/performance.md says how to read the result.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/seri-queue/seri/bench/ground"
	"github.com/seri-queue/seri/bench/load"
	"github.com/seri-queue/seri/bench/report"
	"github.com/seri-queue/seri/bench/suite"
	"github.com/seri-queue/seri/bench/systems"
)

// childArg makes this program a measured process.
const childArg = "measured-process"

func main() {
	if len(os.Args) == 2 && os.Args[1] == childArg {
		if err := load.Child(context.Background(), os.Stdin, os.Stdout, systems.All()); err != nil {
			os.Exit(1) // the parent has been told
		}
		return
	}
	ground.Main("bench", realMain)
}

// config is what the flags say.
type config struct {
	workloads []string
	peers     []string
	rounds    int
	scale     float64
	long      bool
	limit     time.Duration
	results   string
	page      string
	profiles  string
	dry       bool
}

func parse(args []string) (config, error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	var c config
	workloads := flags.String("workloads", "", "which to measure, as W3,W5; empty: all of "+strings.Join(suite.Names(), ","))
	peers := flags.String("peers", "asynq", "beside what: asynq,river; river needs PostgreSQL")
	flags.IntVar(&c.rounds, "rounds", 3, "how often each contender is measured")
	flags.Float64Var(&c.scale, "scale", 1, "by how much to change the numbers of tasks")
	flags.BoolVar(&c.long, "long", false, "also what takes minutes: a million queued tasks")
	flags.DurationVar(&c.limit, "limit", 3*time.Hour, "begin no further round after this time")
	flags.StringVar(&c.results, "results", "bench/results.json", "file of the results; rows of workloads that are not measured stay")
	flags.StringVar(&c.page, "page", "docs/performance.md", "page whose tables are renewed; its plot is beside it")
	flags.StringVar(&c.profiles, "profiles", "", "directory for CPU profiles of Seri's processes; costs a few percent")
	flags.BoolVar(&c.dry, "n", false, "write no file")
	if err := flags.Parse(args); err != nil {
		return c, err
	}
	c.workloads, c.peers = list(*workloads), list(*peers)
	var faults []error
	for _, name := range c.workloads {
		if !slices.Contains(suite.Names(), name) {
			faults = append(faults, fmt.Errorf("flag -workloads names %q, which is none of %s", name, strings.Join(suite.Names(), ",")))
		}
	}
	for _, name := range c.peers {
		if name != "asynq" && name != "river" {
			faults = append(faults, fmt.Errorf("flag -peers names %q, which is neither asynq nor river", name))
		}
	}
	if c.rounds < 1 {
		faults = append(faults, fmt.Errorf("flag -rounds is %d, must be at least 1", c.rounds))
	}
	if c.scale <= 0 || c.scale > 100 {
		faults = append(faults, fmt.Errorf("flag -scale is %g, must be above 0 and at most 100", c.scale))
	}
	return c, errors.Join(faults...)
}

func list(text string) []string {
	return slices.DeleteFunc(strings.Split(text, ","), func(s string) bool { return s == "" })
}

func realMain(ctx context.Context, args []string) error {
	config, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	begun := time.Now()
	rig := &suite.Rig{
		Self: []string{self, childArg}, Scale: config.scale, Long: config.long, Profiles: config.profiles,
		Say: func(format string, args ...any) {
			fmt.Fprintf(os.Stderr, "%4.0f s  %s\n", time.Since(begun).Seconds(), fmt.Sprintf(format, args...))
		},
	}
	if config.profiles != "" {
		if err := os.MkdirAll(config.profiles, 0o755); err != nil {
			return fmt.Errorf("profiles: %w", err)
		}
	}
	if rig.Redis, err = ground.StartRedis(ctx); err != nil {
		return err
	}
	defer rig.Redis.Stop()
	servers := []string{rig.Redis.Version()}

	if slices.Contains(config.peers, "river") {
		ended, err := prepareRiver(ctx, rig)
		if err != nil {
			rig.Say("River is not measured: %v", err)
			config.peers = slices.DeleteFunc(config.peers, func(p string) bool { return p == "river" })
		} else {
			defer ended()
			servers = append(servers, rig.Postgres.Version())
		}
	}

	rows, faults := rig.Run(ctx, suite.Plan{
		Workloads: config.workloads, Peers: config.peers, Rounds: config.rounds, Until: begun.Add(config.limit),
	})
	fmt.Print(report.Table(rows))
	if ctx.Err() != nil {
		return errors.New("interrupted: no file was written")
	}
	if config.dry || len(rows) == 0 {
		return faults
	}
	return errors.Join(save(config, rows, report.Machine(servers)), faults)
}

// save writes the results, and the page and the plot that are made of them.
func save(c config, fresh []report.Row, machine string) error {
	old, err := report.Load(c.results)
	if err != nil {
		return err
	}
	rows := report.Merge(old, fresh)
	if err := report.Save(c.results, rows); err != nil {
		return err
	}
	plot := strings.TrimSuffix(c.page, filepath.Ext(c.page)) + ".svg"
	return errors.Join(report.SavePage(c.page, filepath.Base(plot), machine, rows), report.SavePlot(plot, rows))
}

// prepareRiver starts PostgreSQL and builds River's measured process, which is a module of its own.
func prepareRiver(ctx context.Context, rig *suite.Rig) (end func(), err error) {
	bin, err := ground.FindPostgres()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "seri-bench-river-*")
	if err != nil {
		return nil, err
	}
	program := filepath.Join(dir, "river")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, ".")
	build.Dir, build.Stderr = filepath.Join("bench", "river"), os.Stderr
	if err := build.Run(); err != nil {
		os.RemoveAll(dir)
		return nil, fmt.Errorf("build bench/river (from the repository's root): %w", err)
	}
	if rig.Postgres, err = ground.StartPostgres(ctx, bin); err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	rig.River = []string{program}
	return func() {
		rig.Postgres.Stop()
		os.RemoveAll(dir)
	}, nil
}
