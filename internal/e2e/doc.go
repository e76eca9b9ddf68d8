// Package e2e drives Seri as its users do: real processes on a real Redis, spoken to over HTTP and watched in a real
// browser. It holds nothing but tests.
//
// The test binary is its own fleet: started again with a role in its environment, it becomes the api, the worker, the
// beat or dev, through the same code as the commands (and with the race detector, if the test has it). The processes are
// killed, stopped, frozen and cut off as machines and operators do it, by signals; none outlives the test.
//
// Pictures of the page for people to look at:
//
//	go test ./internal/e2e -run Screenshots -screenshots DIR
package e2e
