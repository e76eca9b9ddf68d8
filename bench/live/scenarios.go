//go:build linux

package main

import "context"

// scenario is one thing that is measured.
type scenario struct {
	name, about string
	run         func(context.Context, *rig) ([]row, error)
}

// scenarios are all of them, in the order in which they run.
var scenarios = []scenario{
	{"full", "as many subscribers as the machine holds, each of its own task; a broadcast to all", full},
	{"single", "the same with one gateway that is filled to its descriptors", single},
	{"targeted", "each event to the one who watches its task; ten at once", targeted},
	{"latency", "from commit to the client's read, at a steady rate", latency},
	{"flat", "what an event costs beside many who do not want it", flat},
	{"kill", "a gateway is killed while tasks end", kill},
	{"peers", "plain servers of the usual libraries", peers},
	{"soak", "for long: is memory flat?", soak},
}

func names() []string {
	list := make([]string, len(scenarios))
	for i, s := range scenarios {
		list[i] = s.name
	}
	return list
}

const (
	perGateway  = 18_750 // 16 of them are 300,000
	fullGateway = 19_000 // what a gateway admits that may open 20,000 files
	repetitions = 5      // of which the median counts
)
