//go:build linux

package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"slices"
	"strings"
	"time"
)

// row is one figure.
type row struct {
	Scenario string  `json:"scenario"`
	What     string  `json:"what"`
	Unit     string  `json:"unit,omitempty"`
	Lower    bool    `json:"lower_is_better,omitempty"`
	Value    float64 `json:"value"`
	Target   string  `json:"target,omitempty"`
	Met      *bool   `json:"met,omitempty"`
	Command  string  `json:"command"`
}

// judge notes whether the target was met.
func (r row) judge(met bool) row {
	r.Met = &met
	return r
}

// line is the row for a terminal.
func (r row) line() string {
	text := fmt.Sprintf("%s: %s %s", r.What, figure(r.Value), r.Unit)
	if r.Target != "" {
		text += "  " + r.verdict()
	}
	return text
}

func (r row) verdict() string {
	if r.Met == nil {
		return r.Target
	}
	return map[bool]string{true: "✓ ", false: "✗ "}[*r.Met] + r.Target
}

// figure writes a number as a person would: three digits, thousands apart.
func figure(v float64) string {
	if math.Abs(v) < 100 {
		return fmt.Sprintf("%.3g", v)
	}
	unit := math.Pow(10, max(0, math.Floor(math.Log10(math.Abs(v)))-2))
	text := fmt.Sprintf("%.0f", math.Round(v/unit)*unit)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// save renews the rows of the scenarios that were measured, and the page.
func save(c config, fresh []row, machine string) error {
	rows, err := load(c.results)
	if err != nil {
		return err
	}
	rows = slices.DeleteFunc(rows, func(old row) bool {
		return slices.ContainsFunc(fresh, func(r row) bool { return r.Scenario == old.Scenario })
	})
	rows = append(rows, fresh...)
	order := names()
	slices.SortStableFunc(rows, func(a, b row) int { return slices.Index(order, a.Scenario) - slices.Index(order, b.Scenario) })
	b := []byte("[\n")
	for i, r := range rows {
		r.Value = math.Round(r.Value*1000) / 1000
		line, err := json.Marshal(r)
		if err != nil {
			return fmt.Errorf("save results: %w", err)
		}
		if b = append(b, line...); i < len(rows)-1 {
			b = append(b, ',')
		}
		b = append(b, '\n')
	}
	return errors.Join(os.WriteFile(c.results, append(b, "]\n"...), 0o644), savePage(c.page, machine, rows))
}

func load(name string) (rows []row, err error) {
	content, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal(content, &rows)
	}
	if err != nil {
		return nil, fmt.Errorf("read earlier results in %s: %w", name, err)
	}
	return rows, nil
}

// The part of the page that is generated stands between these.
const (
	beginMark = "<!-- live: begin -->"
	endMark   = "<!-- live: end -->"
)

func savePage(name, machine string, rows []row) error {
	page, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("renew %s: %w", name, err)
	}
	before, rest, found1 := bytes.Cut(page, []byte(beginMark))
	_, after, found2 := bytes.Cut(rest, []byte(endMark))
	if !found1 || !found2 {
		return fmt.Errorf("renew %s: the lines %q and %q are not there", name, beginMark, endMark)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s%s\n%s\n\n| what | unit | measured | target | how |\n|---|---|---|---|---|\n", before, beginMark, machine)
	for _, r := range rows {
		unit := r.Unit
		if r.Lower {
			unit = strings.TrimSpace(unit + " ↓")
		}
		fmt.Fprintf(&b, "| %s | %s | **%s** | %s | `%s` |\n", r.What, unit, figure(r.Value), r.verdict(), r.Command)
	}
	fmt.Fprintf(&b, "%s%s", endMark, after)
	return os.WriteFile(name, []byte(b.String()), 0o644)
}

func millis(d time.Duration) float64 { return d.Seconds() * 1000 }

func median[T cmp.Ordered](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}
