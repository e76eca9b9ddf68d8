// Command beat enqueues tasks on a schedule.
package main

import (
	_ "time/tzdata" // the image has no time zones

	"github.com/seri-queue/seri/internal/role"
)

func main() {
	role.Main("beat", "Enqueues tasks on a schedule. Any number may run; one leads.", new(role.Beat))
}
