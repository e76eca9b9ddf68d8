package beat_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/beat"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/worker"
)

// A beat enqueues a task every second, and a worker runs it. Any number of beats may run: one leads.
func Example() {
	rdb, closeRedis := redistest.ForExample()
	defer closeRedis()
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()

	report := seri.NewTask[struct{}, struct{}]("report:hourly")
	task, err := seri.NewMessage("report:hourly", []byte("{}"))
	if err != nil {
		panic(err)
	}
	every, err := beat.NewSchedule("hourly-report", "@every 1s", nil, task) // in earnest: "0 * * * *"
	if err != nil {
		panic(err)
	}
	beats, err := beat.New(rdb, []beat.Schedule{every}, beat.Config{Logger: quiet})
	if err != nil {
		panic(err)
	}
	handler := report.HandledBy(func(context.Context, struct{}) (struct{}, error) {
		defer stop()
		fmt.Println("the report is made")
		return struct{}{}, nil
	})
	works, err := worker.New(rdb, []seri.Handler{handler}, worker.Config{Logger: quiet, Slots: 1})
	if err != nil {
		panic(err)
	}

	ended := make(chan error, 1)
	go func() { ended <- beats.Run(ctx) }()
	if err := works.Run(ctx); err != nil {
		panic(err)
	}
	if err := <-ended; err != nil {
		panic(err)
	}
	// Output: the report is made
}

// What a schedule is to do when something stands in the way of a tick is its policy.
func ExampleNewSchedule() {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		panic(err)
	}
	task, err := seri.NewMessage("report:nightly", []byte("{}"), seri.Queue("reports"))
	if err != nil {
		panic(err)
	}
	s, err := beat.NewSchedule("nightly-report", "30 2 * * *", berlin, task)
	if err != nil {
		panic(err)
	}
	s.Catchup, s.Deadline = beat.CatchupLatest, 6*time.Hour // after an outage: the newest, if it is not too old
	s.Overlap = beat.OverlapSkip                            // never beside the one of the night before
	s.Jitter = 10 * time.Minute                             // not at the same instant as everybody else's

	// On 29 March 2026 the clocks go from 02:00 to 03:00.
	for tick := s.Next(time.Date(2026, 3, 27, 12, 0, 0, 0, berlin)); tick.Day() < 31; tick = s.Next(tick) {
		fmt.Println(tick)
	}
	// Output:
	// 2026-03-28 02:30:00 +0100 CET
	// 2026-03-29 03:00:00 +0200 CEST
	// 2026-03-30 02:30:00 +0200 CEST
}

// A file tells all that is wrong with it at once.
func ExampleRead() {
	_, err := beat.Read(strings.NewReader(`
schedules:
  - id: nightly-report
    cron: "0 24 * * *"
    timezone: Europe/Berlni
    task: report:nightly
    overlap: never
`))
	for line := range strings.Lines(err.Error()) {
		fmt.Println(strings.Join(strings.Fields(line)[:5], " "), "…")
	}
	// Output:
	// line 4: schedule nightly-report: spec …
	// line 5: schedule nightly-report: timezone …
	// line 7: schedule nightly-report: overlap …
}

var quiet = slog.New(slog.DiscardHandler)
