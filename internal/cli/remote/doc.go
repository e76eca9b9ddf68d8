// Package remote talks to Seri's HTTP API for the command line: [Server] makes single calls, [Follower] waits for the
// end of a task. Its errors are for people: problems of the API in words, and what to do where there is no API.
package remote
