package report

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// The parts of the page that are generated stand between marks; what people write around them stays.
const (
	beginMark = "<!-- measured: begin -->"
	endMark   = "<!-- measured: end -->"
)

//go:embed page.md
var emptyPage string

// SavePage renews the measured part of a page, or begins the page.
func SavePage(name, plot, machine string, rows []Row) error {
	page, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		page, err = []byte(emptyPage), nil
	}
	if err != nil {
		return fmt.Errorf("renew %s: %w", name, err)
	}
	before, rest, found1 := bytes.Cut(page, []byte(beginMark))
	_, after, found2 := bytes.Cut(rest, []byte(endMark))
	if !found1 || !found2 {
		return fmt.Errorf("renew %s: the lines %q and %q are not there", name, beginMark, endMark)
	}
	renewed := string(before) + beginMark + "\n" + measured(plot, machine, rows) + endMark + string(after)
	return write(name, []byte(renewed))
}

// measured is the generated part.
func measured(plot, machine string, rows []Row) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", machine)
	fmt.Fprintf(&b, "![Tasks a second: Seri, its peers, and the physical limit](%s)\n\n", plot)
	b.WriteString(mainTable(rows))
	b.WriteString("\n### Every setting that was tried\n\n")
	b.WriteString(tuningTable(rows))
	b.WriteString("\n### Processor time of a task\n\n")
	b.WriteString(costTable(rows))
	return b.String()
}

func mainTable(rows []Row) string {
	var b strings.Builder
	b.WriteString("| | workload | unit | Seri | asynq | River | best peer | floor | target |\n|---|---|---|---|---|---|---|---|---|\n")
	for i := range rows {
		r := &rows[i]
		fmt.Fprintf(&b, "| %s | %s | %s | **%s** | %s | %s | %s | %s | %s |\n", r.Workload, r.Variant, unit(r),
			span(r.Seri, r.SeriMin, r.SeriMax), peer(r, "asynq"), peer(r, "river"), times(r.RatioBestPeer), floor(r), verdict(r))
	}
	return b.String()
}

func unit(r *Row) string {
	if r.Lower {
		return r.Unit + " ↓"
	}
	return r.Unit
}

// peer is a peer's best setting.
func peer(r *Row, name string) string {
	t, found := r.BestTuning(name)
	if !found {
		return "–"
	}
	text := span(t.Median, t.Min, t.Max)
	if t.Tuning != "" {
		text += " [" + t.Tuning + "]"
	}
	return text
}

func floor(r *Row) string {
	if !r.Floor.Known() {
		return "–"
	}
	return fmt.Sprintf("%s: %s", amount(r.Floor), percent(r.ShareOfFloor))
}

func tuningTable(rows []Row) string {
	var b strings.Builder
	b.WriteString("| | workload | unit | peer | setting | median (min–max) |\n|---|---|---|---|---|---|\n")
	for i := range rows {
		r := &rows[i]
		for _, t := range r.Tunings {
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", r.Workload, r.Variant, unit(r), t.Peer, t.Tuning, span(t.Median, t.Min, t.Max))
		}
	}
	return b.String()
}

func costTable(rows []Row) string {
	var b strings.Builder
	b.WriteString("In microseconds. The store is Redis, or PostgreSQL for River.\n\n")
	b.WriteString("| | workload | system | store | worker | client | tasks a call |\n|---|---|---|---|---|---|---|\n")
	line := func(r *Row, who string, c *Cost, batch string) {
		if c != nil {
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s |\n", r.Workload, r.Variant, who, amount(c.Store), amount(c.Worker), amount(c.Client), batch)
		}
	}
	for i := range rows {
		r := &rows[i]
		line(r, "Seri", r.Cost, amount(r.Batch))
		for _, name := range []string{"asynq", "river"} {
			if t, found := r.BestTuning(name); found {
				line(r, strings.TrimSpace(name+" "+t.Tuning), t.Cost, "")
			}
		}
	}
	return b.String()
}
