package suite

import (
	"context"
	"slices"
	"time"

	"github.com/seri-queue/seri/bench/load"
)

// Handlers of W8 take 0, 1, 10 and 100 ms in equal parts: 27.75 ms on average, so that 100 slots could end 3,604 a second.
const (
	mixSlots = 100
	mixBest  = mixSlots / 0.02775
)

// mixed is W8: handlers of very different length. Long ones must not keep slots from short ones, and two workers
// must share what is there.
func mixed() []experiment {
	length := func(r *Rig) time.Duration { return max(time.Duration(6*r.Scale*float64(time.Second)), 2*time.Second) }
	const warm = time.Second
	run := func(r *Rig, ctx context.Context, system string, works ...load.Work) ([]float64, error) {
		p := load.Produce{Tasks: int(1.3 * mixBest * (warm + length(r)).Seconds()), Mixed: true}
		return r.window(ctx, system, p, warm, length(r), works...)
	}
	one := func(system, tuning string, w load.Work) contender {
		w.Kind = load.Sleeper
		return contender{system, tuning, func(ctx context.Context, r *Rig) (Figures, error) {
			rates, err := run(r, ctx, system, w)
			return Figures{Values: rates}, err
		}}
	}
	two := func(system, tuning string, w load.Work) contender {
		w.Kind = load.Sleeper
		return contender{system, tuning, func(ctx context.Context, r *Rig) (Figures, error) {
			rates, err := run(r, ctx, system, w, w)
			if err != nil {
				return Figures{}, err
			}
			return Figures{Values: []float64{rates[0] + rates[1], slices.Max(rates) / slices.Min(rates)}}, nil
		}}
	}
	best := func(values ...float64) func(context.Context, *Rig) ([]float64, error) {
		return func(context.Context, *Rig) ([]float64, error) { return values, nil }
	}
	return []experiment{
		{
			workload: "W8",
			rows:     []rowSpec{{variant: "handlers of 0, 1, 10, 100 ms, one worker of 100", unit: "tasks/s", target: share(0.97)}},
			contenders: []contender{
				one(seriName, "", load.Work{Slots: mixSlots}),
				one(asynqName, "c100", load.Work{Slots: mixSlots}),
			},
			floor: best(mixBest),
		},
		{
			workload: "W8",
			rows: []rowSpec{
				{variant: "the same, two workers of 50: both together", unit: "tasks/s", target: share(0.97)},
				{variant: "the same, two workers of 50: the busier one ÷ the other", unit: "×", lower: true, target: atMost(1.1)},
			},
			contenders: []contender{
				two(seriName, "", load.Work{Slots: mixSlots / 2}),
				two(asynqName, "c50", load.Work{Slots: mixSlots / 2}),
			},
			floor: best(mixBest, 1),
		},
	}
}
