package docs_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/seri-queue/seri/internal/meter"
)

var kinds = map[meter.Kind]string{meter.Gauge: "gauge", meter.Total: "total", meter.Standing: "total, kept in Redis", meter.Timing: "histogram"}

func TestEveryFigureIsInTheManual(t *testing.T) {
	t.Parallel()
	rows := make(map[string]string)
	for _, cells := range pageNamed(t, "docs/metrics.md").table() {
		if strings.HasPrefix(cells[0], "seri_") {
			rows[cells[0]] = strings.Join(cells[1:], " | ")
		}
	}
	for _, f := range meter.Families {
		want := fmt.Sprintf("%s | %s | %s | %s | %s", f.CloudWatch, kinds[f.Kind], f.By, strings.Join(f.Labels, ", "), f.Help)
		if rows[f.Name] != want {
			t.Errorf("docs/metrics.md should have the row\n| `%s` | %s |", f.Name, want)
		}
		delete(rows, f.Name)
	}
	for name := range rows {
		t.Errorf("docs/metrics.md has a row for %s, which does not exist", name)
	}
}
