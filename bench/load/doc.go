// Package load is what a measured process does: it hands tasks over, or it runs them, on any of the systems that are
// compared, and says how many, when, and what that cost.
//
// Each producer and each worker is a process of its own, as in production: the parent describes its duty in a [Spec] and
// starts it with [Start]; the process calls [Child]. They speak in lines of JSON over stdin and stdout. A child whose
// stdin closes ends at once, so none outlives its parent.
package load
