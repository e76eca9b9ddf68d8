package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// Table is the rows for a terminal.
func Table(rows []Row) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\tvariant\tunit\tSeri\tbest peer\tratio\tof floor\ttarget")
	for i := range rows {
		r := &rows[i]
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Workload, r.Variant, r.Unit, span(r.Seri, r.SeriMin, r.SeriMax),
			bestPeer(r), times(r.RatioBestPeer), percent(r.ShareOfFloor), verdict(r))
	}
	_ = w.Flush() // a strings.Builder takes everything
	return b.String()
}

// bestPeer names the peer that Seri is compared with.
func bestPeer(r *Row) string {
	best := ""
	for _, name := range slices.Sorted(maps.Keys(r.Peers)) {
		if best == "" || (r.Peers[name] > r.Peers[best]) != r.Lower {
			best = name
		}
	}
	if best == "" {
		return "–"
	}
	return best + " " + amount(r.Peers[best])
}

// amount writes a number as a person would: four digits at most, thousands apart.
func amount(n Number) string {
	if !n.Known() {
		return "–"
	}
	v := round(float64(n))
	switch {
	case v >= 10_000 || v <= -10_000:
		v = round3(v)
		fallthrough
	case v >= 1000 || v <= -1000:
		whole := fmt.Sprintf("%.0f", v)
		for i := len(whole) - 3; i > 0 && whole[i-1] != '-'; i -= 3 {
			whole = whole[:i] + "," + whole[i:]
		}
		return whole
	case v >= 100 || v <= -100:
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

// round3 keeps three significant digits of a large number: what a table of such spreads can bear.
func round3(v float64) float64 {
	unit := 1.0
	for abs := max(v, -v); abs >= 1000; abs /= 10 {
		unit *= 10
	}
	return float64(int64(v/unit+0.5)) * unit
}

func span(median, low, high Number) string {
	if !median.Known() {
		return "–"
	}
	if low == high {
		return amount(median)
	}
	return fmt.Sprintf("%s (%s–%s)", amount(median), amount(low), amount(high))
}

func times(n Number) string {
	if !n.Known() {
		return "–"
	}
	return fmt.Sprintf("%.2f ×", float64(n))
}

func percent(n Number) string {
	if !n.Known() {
		return "–"
	}
	return fmt.Sprintf("%.0f %%", 100*float64(n))
}

// verdict is the target, and whether it was met.
func verdict(r *Row) string {
	switch {
	case r.Met == nil:
		return r.Target
	case *r.Met:
		return "✓ " + r.Target
	}
	return "✗ " + r.Target
}
