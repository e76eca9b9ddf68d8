// Package compat proves that Seri and stock asynq v0.26 understand each other, with asynq's own code on the other side:
// its Client enqueues and Seri runs; Seri enqueues, and its Inspector reads and acts, and its Server runs. It holds
// nothing but tests.
package compat
