// Package compat proves that Seri and stock asynq v0.26 understand each other, with asynq's own code on the other side:
// its Client enqueues and Seri runs; Seri enqueues, and its Inspector, asynqmon and its CLI read and act, and its Server
// runs. It holds nothing but tests, one file for each reader or actor; docs/asynq.md lists their calls.
//
// The gallery (gallery_test.go) has a task for each place that Seri can bring one to. The module in asynqmon is the
// dashboard, which needs an earlier asynq; the tests build it and talk to it.
package compat
