// Command api serves Seri over HTTP: it enqueues tasks, tells what became of them, and streams their events to browsers.
package main

import (
	_ "time/tzdata" // the image has no time zones

	"github.com/seri-queue/seri/internal/role"
)

func main() {
	role.Main("api", "Serves Seri over HTTP: tasks in, live events out.", new(role.API))
}
