package report

import (
	"fmt"
	"html"
	"maps"
	"math"
	"strings"
)

// The plot's measures, in pixels.
const (
	plotWidth  = 880
	labelWidth = 330
	barArea    = plotWidth - labelWidth - 110
	barHeight  = 11
	groupGap   = 12
	plotTop    = 56
)

// plotStyle makes the plot readable on light and on dark pages.
const plotStyle = `
    text { font: 12px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328 }
    .title { font-weight: 600; font-size: 15px }
    .quiet { fill: #59636e; font-size: 11px }
    .seri { fill: #0969da } .asynq { fill: #bf8700 } .river { fill: #8250df }
    .floor { stroke: #cf222e; stroke-width: 2 }
    .track { fill: #818b981f }
    @media (prefers-color-scheme: dark) {
      text { fill: #f0f6fc } .quiet { fill: #9198a1 }
      .seri { fill: #4493f8 } .asynq { fill: #d29922 } .river { fill: #ab7df8 } .floor { stroke: #f85149 }
    }
`

// contestants are the bars of a row, in their order.
var contestants = []string{"seri", "asynq", "river"}

// SavePlot draws the throughput rows: a group of bars for each, whose length is relative to the largest in the group, since
// rows do not compare; a stroke stands at the floor.
func SavePlot(name string, rows []Row) error {
	var b strings.Builder
	y := plotTop
	for i := range rows {
		if r := &rows[i]; r.Unit == "tasks/s" && len(r.Peers) > 0 && r.Seri.Known() {
			y = plotRow(&b, r, y)
		}
	}
	height := y + 8
	svg := fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" aria-label="Tasks a second: Seri and its peers, and the physical limit">
  <style>%s</style>
  <text class="title" x="8" y="20">Tasks a second</text>
  <text class="quiet" x="8" y="38">each row to its own scale; the stroke is the floor, Redis with the scripts alone</text>
%s%s</svg>
`, plotWidth, height, plotWidth, height, plotStyle, legend(), b.String())
	return write(name, []byte(svg))
}

func legend() string {
	var b strings.Builder
	for i, name := range contestants {
		x := labelWidth + 150 + i*90
		fmt.Fprintf(&b, `  <rect class="%s" x="%d" y="11" width="11" height="11" rx="2"/><text x="%d" y="21">%s</text>`+"\n",
			name, x, x+16, title(name))
	}
	return b.String()
}

// plotRow draws one group and returns where the next one begins.
func plotRow(b *strings.Builder, r *Row, y int) int {
	values := map[string]Number{"seri": r.Seri}
	maps.Copy(values, r.Peers)
	most := 0.0
	for _, v := range values {
		most = math.Max(most, float64(v))
	}
	if r.Floor.Known() {
		most = math.Max(most, float64(r.Floor))
	}
	scale := func(v Number) float64 { return float64(v) / most * barArea }
	fmt.Fprintf(b, `  <text x="8" y="%d">%s</text>`+"\n", y+10, html.EscapeString(r.Workload+"  "+r.Variant))
	if r.RatioBestPeer.Known() {
		fmt.Fprintf(b, `  <text class="quiet" x="8" y="%d">%s the best peer</text>`+"\n", y+24, times(r.RatioBestPeer))
	}
	top := y
	for _, name := range contestants {
		v, measured := values[name]
		if !measured || !v.Known() {
			continue
		}
		fmt.Fprintf(b, `  <rect class="track" x="%d" y="%d" width="%d" height="%d"/>`+"\n", labelWidth, y, barArea, barHeight)
		fmt.Fprintf(b, `  <rect class="%s" x="%d" y="%d" width="%.1f" height="%d"><title>%s</title></rect>`+"\n",
			name, labelWidth, y, scale(v), barHeight, title(name))
		fmt.Fprintf(b, `  <text class="quiet" x="%d" y="%d">%s</text>`+"\n", labelWidth+barArea+8, y+10, amount(v))
		y += barHeight + 3
	}
	if r.Floor.Known() {
		x := float64(labelWidth) + scale(r.Floor)
		fmt.Fprintf(b, `  <line class="floor" x1="%.1f" x2="%.1f" y1="%d" y2="%d"><title>floor %s</title></line>`+"\n", x, x, top-2, y-1, amount(r.Floor))
	}
	return max(y, top+28) + groupGap
}

func title(name string) string {
	return map[string]string{"seri": "Seri", "asynq": "asynq", "river": "River"}[name]
}
