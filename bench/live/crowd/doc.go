// Package crowd is thousands of clients of a live gateway in one process, for as little memory and processor time as can be,
// because they share the machine with what is measured.
//
// [Start] runs the program anew as a crowd, which is one thread on an epoll: a member is a bare descriptor and some 100 bytes.
// [Crowd.Open] has the members connect, each with a token of its own, and ask for their tasks by the subprotocol seri.v1;
// without a secret they speak plain WebSocket to whatever answers. From then on they read, answer pings, and count by (task,
// number) what came, what came twice and what did not; the time of each event, from a stamp in it to the reading of it, goes
// into a [Histogram]. A member that is cut comes back after its last cursor, to the address that [Crowd.ComeBackTo] names.
//
// It needs Linux.
package crowd
