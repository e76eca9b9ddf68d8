//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/seri-queue/seri/bench/ground"
	"github.com/seri-queue/seri/bench/live/crowd"
	"github.com/seri-queue/seri/bench/report"
)

// crowdArg makes this program a crowd.
const crowdArg = "crowd"

func main() {
	if len(os.Args) == 2 && os.Args[1] == crowdArg {
		if err := crowd.Run(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "crowd:", err)
			os.Exit(1)
		}
		return
	}
	ground.Main("live", realMain)
}

// config is what the flags say.
type config struct {
	scenarios []string
	scale     float64
	gateways  int
	length    time.Duration
	hold      time.Duration
	results   string
	page      string
	dry       bool
}

func parse(args []string) (config, error) {
	flags := flag.NewFlagSet("live", flag.ContinueOnError)
	var c config
	named := flags.String("scenarios", "", "which to measure, as full,kill; empty: all but the soak of "+strings.Join(names(), ","))
	flags.Float64Var(&c.scale, "scale", 1, "by how much to change the numbers of connections and of events")
	flags.IntVar(&c.gateways, "gateways", 16, "how many gateways the scenario full has, each with 18,750 connections")
	flags.DurationVar(&c.length, "for", 30*time.Minute, "how long the soak lasts")
	flags.DurationVar(&c.hold, "hold", 30*time.Second, "how long connections are idle until their memory is measured")
	flags.StringVar(&c.results, "results", "bench/live-results.json", "file of the results; rows of scenarios that are not measured stay")
	flags.StringVar(&c.page, "page", "docs/performance.md", "page whose table of live events is renewed")
	flags.BoolVar(&c.dry, "n", false, "write no file")
	if err := flags.Parse(args); err != nil {
		return c, err
	}
	c.scenarios = slices.DeleteFunc(strings.Split(*named, ","), func(s string) bool { return s == "" })
	var faults []error
	for _, name := range c.scenarios {
		if !slices.Contains(names(), name) {
			faults = append(faults, fmt.Errorf("flag -scenarios names %q, which is none of %s", name, strings.Join(names(), ",")))
		}
	}
	if len(c.scenarios) == 0 {
		c.scenarios = slices.DeleteFunc(names(), func(s string) bool { return s == "soak" })
	}
	if c.scale <= 0 || c.scale > 1 {
		faults = append(faults, fmt.Errorf("flag -scale is %g, must be above 0 and at most 1", c.scale))
	}
	if c.gateways < 1 || c.gateways > 64 {
		faults = append(faults, fmt.Errorf("flag -gateways is %d, must be 1 to 64", c.gateways))
	}
	if c.length <= 0 || c.hold <= 0 {
		faults = append(faults, errors.New("flags -for and -hold must be positive"))
	}
	return c, errors.Join(faults...)
}

func realMain(ctx context.Context, args []string) error {
	config, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	rig, err := newRig(ctx, config)
	if err != nil {
		return err
	}
	defer rig.close()
	var measured []row
	var faults []error
	for _, s := range scenarios {
		if !slices.Contains(config.scenarios, s.name) {
			continue
		}
		rig.say("%s: %s", s.name, s.about)
		rows, err := s.run(ctx, rig)
		for i := range rows {
			rows[i].Scenario, rows[i].Command = s.name, rig.command(s.name)
			rig.say("   %s", rows[i].line())
		}
		measured = append(measured, rows...)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", s.name, err))
		}
		if ctx.Err() != nil {
			return errors.Join(append(faults, errors.New("interrupted: no file was written"))...)
		}
	}
	if !config.dry && len(measured) > 0 {
		faults = append(faults, save(config, measured, report.Machine([]string{rig.version})))
	}
	return errors.Join(faults...)
}
