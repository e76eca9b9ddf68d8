package schedule_test

import (
	"testing"
	"time"
	_ "time/tzdata" // the commands embed it; the tests must not depend on the machine's either

	"github.com/seri-queue/seri/internal/schedule"
)

func zone(tb testing.TB, name string) *time.Location {
	tb.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		tb.Fatal(err)
	}
	return z
}

func parse(tb testing.TB, text string, z *time.Location) schedule.Spec {
	tb.Helper()
	spec, err := schedule.Parse(text, z)
	if err != nil {
		tb.Fatal(err)
	}
	return spec
}
