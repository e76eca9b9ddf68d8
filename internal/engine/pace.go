package engine

import "time"

// What is fetched ahead of free slots. The slots of fast tasks would otherwise wait for Redis most of their time; slow
// tasks are not hoarded, for another worker may have a free slot for them now.
const (
	aheadTime = 10 * time.Millisecond // the work that may wait here, as far as the tasks before tell; see surplus for the others
	aheadMost = 200                   // tasks; more would bring little more, and hold Redis up for a longer time at once
	slowTask  = 50 * time.Millisecond // from here on nothing is fetched ahead
)

// pace is a moving average of how long attempts take.
type pace struct {
	average time.Duration // 0: not known yet
}

// note takes in how long an attempt took.
func (p *pace) note(d time.Duration) {
	if p.average == 0 {
		p.average = max(d, 1)
		return
	}
	p.average = max(p.average+(d-p.average)/16, 1)
}

// ahead returns how many tasks to keep waiting for so many slots.
func (p *pace) ahead(slots int) int {
	if p.average == 0 || p.average >= slowTask {
		return 0
	}
	return int(min(time.Duration(slots)*aheadTime/p.average, aheadMost))
}
