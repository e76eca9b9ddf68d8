package load

import (
	"fmt"
	"time"
)

// Spec is the duty of one process: to produce or to work.
type Spec struct {
	System  string // key into the openers that [Child] gets
	URL     string // of the store
	Produce *Produce
	Work    *Work
	Profile string // file for a CPU profile; empty: none
}

// Produce says what to hand over.
type Produce struct {
	Tasks        int
	Producers    int           // goroutines that do it
	Batch        int           // tasks in one call; 0: one by one
	PayloadBytes int           // at least 40
	Queues       int           // how many queues share the tasks; 0: 1
	Every        time.Duration // a task each so often, by one goroutine; 0: as fast as possible
	DueIn        time.Duration // all tasks are due at one instant, so long after the start; 0: at once
	Mixed        bool          // tasks ask their handler to take 0, 1, 10 and 100 ms, in turn
	Retention    time.Duration
}

// Work says what to run.
type Work struct {
	Slots   int // handlers at once, in all servers of the process together
	Servers int // servers in the process, for systems that gain by several; 0: 1
	Queues  int // 0: 1
	Kind    Kind
	Result  int           // bytes of a result; 0: none
	Poll    time.Duration // how often a polling system looks for tasks; 0: its default
}

// Kind is what handlers do.
type Kind string

const (
	NoOp    Kind = "no-op"
	Sleeper Kind = "sleeper" // takes as long as the task asks
	Timer   Kind = "timer"   // notes how long after the task's instant it starts
	Holder  Kind = "holder"  // never returns
)

// QueueName returns the name of the i-th queue.
func QueueName(i int) string { return fmt.Sprintf("bench%d", i) }

// QueueNames returns the names of the first n queues, at least one.
func QueueNames(n int) []string {
	names := make([]string, max(n, 1))
	for i := range names {
		names[i] = QueueName(i)
	}
	return names
}

// Report is what a process has done, when it was stopped or had handed everything over.
type Report struct {
	Count  int64           // tasks handed over, or handlers that have ended (of a [Holder]: started)
	First  time.Time       // first call, or first handler's start
	Last   time.Time       // end of the last one
	CPU    time.Duration   // since the start signal
	RSS    int64           // resident memory, bytes; 0: not known
	Delays []time.Duration // of a [Timer], sorted; negative: early
}

// message is a line from child to parent.
type message struct {
	Ready  bool    `json:",omitempty"`
	Status *Report `json:",omitempty"` // in the midst of it, without Delays
	Report *Report `json:",omitempty"`
	Error  string  `json:",omitempty"`
}

// Commands from parent to child, a line each.
const (
	commandGo     = "go"
	commandStatus = "status"
	commandStop   = "stop"
)
