package schedule_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/seri-queue/seri/internal/schedule"
)

func ExampleParse() {
	newYork, err := time.LoadLocation("America/New_York")
	if err != nil {
		fmt.Println(err)
		return
	}
	spec, err := schedule.Parse("30 2 * * *", newYork)
	if err != nil {
		fmt.Println(err)
		return
	}

	// On 8 March 2026 the clocks go from 02:00 to 03:00.
	ticks := 0
	for tick := range spec.Ticks(time.Date(2026, 3, 7, 0, 0, 0, 0, newYork)) {
		fmt.Println(tick)
		if ticks++; ticks == 3 {
			break
		}
	}
	// Output:
	// 2026-03-07 02:30:00 -0500 EST
	// 2026-03-08 03:00:00 -0400 EDT
	// 2026-03-09 02:30:00 -0400 EDT
}

func ExampleParse_error() {
	_, err := schedule.Parse("0 0 30 feb *", time.UTC)
	fmt.Println(err)
	// Output:
	// spec "0 0 30 feb *": never ticks: it asks for day 30, and the longest of its months has 29 days; name a day that exists
}

func ExampleLoad() {
	schedules, err := schedule.Load(strings.NewReader(`
schedules:
  - id: nightly-report
    cron: "0 3 * * *"
    timezone: Europe/Berlin
    task: csv.profile
    payload: {source: "https://example.com/sales.csv"}
    expires_after: 1h
`))
	if err != nil {
		fmt.Println(err)
		return
	}

	nightly := schedules[0]
	tick := nightly.Spec.Next(time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC))
	task, err := nightly.Message(tick)
	if err != nil {
		fmt.Println(err)
		return
	}

	fmt.Println(tick)
	fmt.Println(task.ID)
	fmt.Println(task.Type, string(task.Payload))
	// Output:
	// 2026-07-01 03:00:00 +0200 CEST
	// sched:nightly-report:1782867600
	// csv.profile {"source":"https://example.com/sales.csv"}
}

func ExampleLoad_faults() {
	_, err := schedule.Load(strings.NewReader(`
schedules:
  - id: nightly-report
    cron: "0 24 * * *"
    timezone: Europe/Berlni
    task: csv.profile
`))
	fmt.Println(err)
	// Output:
	// line 4: schedule nightly-report: spec "0 24 * * *": hour "24" is not valid: end of range (24) above maximum (23): 24; use 0-23, ranges (1-5), lists (1,3,5), steps (*/2, 1-5/2) or *
	// line 5: schedule nightly-report: timezone "Europe/Berlni" is not known; use a name from the IANA database, such as Europe/Berlin or UTC
}
