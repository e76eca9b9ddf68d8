// Overhead measures what it costs to look at a worker: metrics, traces and logs, each beside the same work without:
// `make bench-overhead`.
//
// One process enqueues tasks that do nothing and runs them at the same time, on a Redis of its own. Runs without and with
// alternate, so that a machine that slows down slows both; what counts is the ratio of neighbours. Since nothing is done but
// what Seri does, this is the worst that looking can cost: a task that takes a millisecond pays the same microseconds.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/seri-queue/seri/bench/ground"
	"github.com/seri-queue/seri/bench/report"
)

func main() {
	ground.Main("overhead", realMain)
}

// config is what the flags say.
type config struct {
	tasks  int
	rounds int
	only   *regexp.Regexp
}

func parse(args []string) (config, error) {
	flags := flag.NewFlagSet("overhead", flag.ContinueOnError)
	var c config
	flags.IntVar(&c.tasks, "tasks", 100_000, "how many tasks are run each time")
	flags.IntVar(&c.rounds, "rounds", 5, "how often each is measured, without and with")
	only := flags.String("only", "", "a regular expression of what to measure; empty: everything")
	if err := flags.Parse(args); err != nil {
		return c, err
	}
	var faults []error
	if c.tasks < 1 {
		faults = append(faults, fmt.Errorf("flag -tasks is %d, must be at least 1", c.tasks))
	}
	if c.rounds < 1 {
		faults = append(faults, fmt.Errorf("flag -rounds is %d, must be at least 1", c.rounds))
	}
	var err error
	if c.only, err = regexp.Compile(*only); err != nil {
		faults = append(faults, fmt.Errorf("flag -only: %w", err))
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
	redis, err := ground.StartRedis(ctx)
	if err != nil {
		return err
	}
	defer redis.Stop()

	begun := time.Now()
	say := func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, "%4.0f s  %s\n", time.Since(begun).Seconds(), fmt.Sprintf(format, args...))
	}
	results := make([]pair, len(looks))
	if _, err := run(ctx, redis, nothing, config.tasks); err != nil { // the first run of a process is slower
		return err
	}
	for round := range config.rounds {
		for i, l := range looks {
			if !config.only.MatchString(l.name) {
				continue
			}
			without, with, err := sideBySide(ctx, redis, l, config.tasks, round%2 == 1)
			if err != nil {
				return fmt.Errorf("%s: %w", l.name, err)
			}
			say("%s: %.0f tasks/s without, %.0f with; %s", l.name, without.rate, with.rate, cmp.Or(with.note, "–"))
			results[i].add(without, with)
		}
	}
	fmt.Print(table(results))
	fmt.Println(report.Machine([]string{redis.Version()}))
	return nil
}

// sideBySide measures without and with, in the other order if turned.
func sideBySide(ctx context.Context, redis *ground.Redis, l look, tasks int, turned bool) (without, with measured, err error) {
	if turned {
		if with, err = run(ctx, redis, l, tasks); err == nil {
			without, err = run(ctx, redis, nothing, tasks)
		}
		return without, with, err
	}
	if without, err = run(ctx, redis, nothing, tasks); err == nil {
		with, err = run(ctx, redis, l, tasks)
	}
	return without, with, err
}

// pair holds the rounds of one look.
type pair struct {
	without, with []float64 // tasks/s
	cost          []float64 // of throughput, in percent
	processor     []float64 // more of it, in µs a task
	note          string
}

func (p *pair) add(without, with measured) {
	p.without, p.with = append(p.without, without.rate), append(p.with, with.rate)
	p.cost = append(p.cost, 100*(1-with.rate/without.rate))
	p.processor = append(p.processor, with.processor-without.processor)
	p.note = with.note
}

// table is the results as they stand in docs/operations.md.
func table(results []pair) string {
	var b strings.Builder
	b.WriteString("| what is on | tasks/s without | with | cost in throughput | processor time a task | |\n|---|---|---|---|---|---|\n")
	for i, p := range results {
		if len(p.cost) == 0 {
			continue
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s %% | %s µs | %s |\n", looks[i].name,
			figure(p.without, "%.0f"), figure(p.with, "%.0f"), figure(p.cost, "%.1f"), figure(p.processor, "%+.1f"), p.note)
	}
	return b.String()
}

// figure is a median with what it varied by.
func figure(values []float64, verb string) string {
	f := report.Summarize(values)
	return fmt.Sprintf(verb+" ("+verb+" to "+verb+")", f.Median, f.Min, f.Max)
}
