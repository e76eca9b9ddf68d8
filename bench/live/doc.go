// Live measures the gateway of live events at scale: `make bench-live`.
//
// It builds the api, starts it as gateways on a Redis of its own, and puts in front of each a crowd of clients (package crowd),
// all on the loopback interface. Beside them it measures, in the same run and with the same clients, plain servers of the
// usual libraries, and two that do nothing but write(2) and sendto(2): the limits. They are a module of their own, in bench/live/peers.
//
// Events are appended to the stream as Seri's scripts append them, but by the benchmark: no task runs, because nothing but the
// way from the stream to the client is measured. docs/performance.md has the results and says how to read them.
package main
