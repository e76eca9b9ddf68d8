package seri

import "context"

// Execution is what a handler can know about the attempt that it is: see [ExecutionFrom].
type Execution struct {
	ID      string
	Type    string
	Queue   string
	Owner   string // empty: none
	Headers map[string]string
	// Attempt counts the starts that ended in a failure of the handler, plus this one: 1 for the first.
	// An attempt that was handed back, or whose worker vanished, is not counted twice.
	Attempt int
	// Token is the fencing token of this lease: greater than that of every lease handed out before in the queue.
	// Hand it on to what the handler writes outside, where "refuse lower than the highest seen" stops a zombie
	// (Kleppmann, "How to do distributed locking", 2016). Below 2⁵³.
	Token uint64
}

// ExecutionFrom returns the attempt that ctx belongs to; false outside of a handler.
func ExecutionFrom(ctx context.Context) (Execution, bool) {
	e, ok := ctx.Value(executionKey{}).(*execution)
	if !ok {
		return Execution{}, false
	}
	return e.Execution, true
}

// TokenFrom returns the fencing token of the attempt that ctx belongs to; false outside of a handler.
func TokenFrom(ctx context.Context) (uint64, bool) {
	e, ok := ExecutionFrom(ctx)
	return e.Token, ok
}

// Progress reports how far the handler has come: done of total, in any unit, and a short text for people.
// total 0 means that the end is not known. The newest report within 100 ms is written, fenced by the lease's
// token, and becomes an event; the others are dropped. It never blocks, and does nothing outside of a handler.
func Progress(ctx context.Context, done, total int64, message string) {
	if e, ok := ctx.Value(executionKey{}).(*execution); ok && e.report != nil {
		e.report(ProgressInfo{Done: done, Total: total, Message: message})
	}
}

// ProgressInfo is one progress report.
type ProgressInfo struct {
	Done    int64  `json:"done"`
	Total   int64  `json:"total"` // 0: not known
	Message string `json:"message,omitempty"`
}

// WithExecution returns a context in which a handler finds e and in which its progress goes to report, which must
// not block; nil drops it. Workers and package seritest call it; a handler has no need to.
func WithExecution(ctx context.Context, e Execution, report func(ProgressInfo)) context.Context {
	return context.WithValue(ctx, executionKey{}, &execution{e, report})
}

type executionKey struct{}

type execution struct {
	Execution
	report func(ProgressInfo)
}
