package engine

import "golang.org/x/sync/errgroup"

// callsAtOnce bounds the calls that one part of the engine has under way, one for each queue, so that a worker of many queues
// leaves connections to its other parts. Of the completer's calls it does not bound those that are late, or the queues of a node
// that hangs would hold up all others: see [lanes].
const callsAtOnce = 8

// newCalls returns a group of calls that are made side by side.
func newCalls() *errgroup.Group {
	var calls errgroup.Group
	calls.SetLimit(callsAtOnce)
	return &calls
}
