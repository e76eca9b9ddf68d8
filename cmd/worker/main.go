// Command worker runs the tasks of package tasks. Copy it, or call package worker, to run your own.
package main

import (
	_ "time/tzdata" // the image has no time zones

	"github.com/seri-queue/seri/internal/role"
)

func main() {
	role.Main("worker", "Runs tasks.", new(role.Worker))
}
