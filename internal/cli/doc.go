// Package cli is the command line `seri`: the roles of [github.com/seri-queue/seri/internal/role], and commands that
// enqueue, watch and inspect tasks over the HTTP API, so that they work against `seri dev` with any store as well as
// against a deployment. Only `seri keys --audit` looks into Redis itself.
//
// Results go to the standard output, everything else to the standard error. The exit code is 0 on success, 130 after
// Ctrl-C and 1 otherwise. What tasks, servers and users have supplied is made harmless before it is printed, by package
// [github.com/seri-queue/seri/internal/cli/term].
package cli
