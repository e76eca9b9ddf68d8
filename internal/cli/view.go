package cli

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/seri-queue/seri/internal/cli/term"
	"github.com/seri-queue/seri/internal/wire"
)

// view shows a task while it is waited for: on a terminal as one line that is drawn again and again, elsewhere as a
// line for every change of its state, and one for its progress now and then.
type view struct {
	out   io.Writer
	begun time.Time
	done  chan struct{} // closed: the clock is to stop
	clock sync.WaitGroup

	mu      sync.Mutex
	task    wire.Task
	trouble string // with the connection; empty: none
	drawn   bool   // the terminal's cursor stands in the line
	fresh   bool   // the task has changed since it was logged
	logged  time.Time
	line    string // that was logged last
}

// logEvery is how often progress gets a line where lines cannot be drawn again.
const logEvery = 2 * time.Second

// newView returns a view that has begun to count the time.
func newView(out io.Writer) *view {
	v := &view{out: out, begun: time.Now(), done: make(chan struct{})}
	v.clock.Go(v.tick)
	return v
}

// tick draws the line every second, for its clock, and logs what was held back.
func (v *view) tick() {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for {
		select {
		case <-v.done:
			return
		case <-second.C:
			v.mu.Lock()
			v.update(false)
			v.mu.Unlock()
		}
	}
}

// show takes in a change of the task.
func (v *view) show(task wire.Task) {
	v.mu.Lock()
	defer v.mu.Unlock()
	changed := task.State != v.task.State || task.Attempt != v.task.Attempt || task.Reason != v.task.Reason
	v.task, v.fresh = task, true
	v.update(changed)
}

// update draws the line, or logs it if it is urgent or no other one has been logged of late.
func (v *view) update(urgent bool) {
	if term.Width(v.out) > 0 {
		v.draw()
	} else if urgent || time.Since(v.logged) >= logEvery {
		v.log()
	}
}

// note shows trouble with the connection; empty: it is over.
func (v *view) note(trouble string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if trouble == v.trouble {
		return
	}
	v.trouble = trouble
	if term.Width(v.out) > 0 {
		v.draw()
	} else {
		fmt.Fprintln(v.out, cmp.Or(trouble, "the API can be reached again"))
	}
}

// close leaves the last line standing.
func (v *view) close() {
	close(v.done)
	v.clock.Wait()
	if v.drawn {
		fmt.Fprintln(v.out)
	}
}

func (v *view) draw() {
	if v.task.State == "" {
		return
	}
	bar := bar{task: v.task, trouble: v.trouble, elapsed: time.Since(v.begun), now: time.Now(), ascii: !term.Unicode()}
	// One column stays free: a terminal that has written its last one may be in the next line already.
	fmt.Fprint(v.out, "\r"+bar.line(term.Width(v.out)-1)+"\x1b[K")
	v.drawn = true
}

func (v *view) log() {
	if !v.fresh {
		return
	}
	v.fresh = false
	bar := bar{task: v.task, now: time.Now()}
	line := strings.Join(strings.Fields(string(v.task.State)+" "+bar.percent()), " ")
	if message := bar.message(); message != "" {
		line += ": " + message
	}
	if line != v.line {
		fmt.Fprintln(v.out, line)
		v.line, v.logged = line, time.Now()
	}
}
