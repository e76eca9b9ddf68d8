package suite

import (
	"testing"

	"github.com/seri-queue/seri/bench/report"
)

func TestCurvesAreFlatOrNot(t *testing.T) {
	t.Parallel()
	rows := []report.Row{
		{Workload: "W9", Variant: "drain with 10000 queued", Seri: 1000},
		{Workload: "W9", Variant: "drain with 100000 queued", Seri: 950},
		{Workload: "W9", Variant: "drain with 10 active", Seri: 1000},
		{Workload: "W9", Variant: "drain with 1000 active", Seri: 700},
	}

	flat(rows)

	if rows[0].Met != nil || rows[1].Met == nil || !*rows[1].Met || rows[3].Met == nil || *rows[3].Met {
		t.Errorf("met: %v, %v, %v, %v", rows[0].Met, rows[1].Met, rows[2].Met, rows[3].Met)
	}
}

func TestEveryExperimentBeginsWithSeriAndNamesItsRows(t *testing.T) {
	t.Parallel()
	for _, w := range workloads {
		for _, e := range w.experiments() {
			if e.workload != w.name || len(e.rows) == 0 || len(e.contenders) == 0 || e.contenders[0].system != seriName {
				t.Errorf("%s has an experiment of %q with %d rows, %d contenders", w.name, e.workload, len(e.rows), len(e.contenders))
			}
			for _, c := range e.contenders[1:] {
				if c.system == seriName {
					t.Errorf("%s measures Seri twice in one experiment", e.workload)
				}
			}
		}
	}
}
