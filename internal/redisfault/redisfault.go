// Package redisfault tells faults of Redis from everything else that a call can come back with. It is the one place that
// knows the driver's errors and the server's codes; all others ask with errors.Is for [seri.ErrUnavailable] and
// [seri.ErrMemoryFull].
package redisfault

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
)

// Mark returns err as it is, text and chain, and adds what kind of fault it is: [seri.ErrMemoryFull],
// [seri.ErrUnavailable], or nothing if a repeat would meet the same.
func Mark(err error) error {
	switch {
	case err == nil, errors.Is(err, seri.ErrUnavailable):
		return err
	case hasCode(err, "OOM"):
		return marked{err, seri.ErrMemoryFull}
	case passing(err):
		return marked{err, seri.ErrUnavailable}
	}
	return err
}

// marked is an error and what kind of fault it is.
type marked struct {
	error
	kind error
}

// Unwrap makes errors.Is and errors.As look at both.
func (m marked) Unwrap() []error { return []error{m.error, m.kind} }

// codes are what Redis begins the answer with while it cannot serve, and will again.
var codes = []string{
	"LOADING",      // reads its data after a start
	"READONLY",     // was made a replica
	"MASTERDOWN",   // a replica that has lost its master
	"NOREPLICAS",   // has fewer replicas than it must
	"MISCONF",      // cannot save, and so takes no writes
	"BUSY",         // a script has been running for too long
	"UNBLOCKED",    // was made a replica while the call waited
	"CLUSTERDOWN",  // a part of the cluster has no master
	"TRYAGAIN",     // a slot is being moved
	"MOVED", "ASK", // so often that the driver has given up following
	"ERR max number of clients reached",
}

// texts are what the driver says, in errors that it does not export.
var texts = []string{
	"redis: all sentinels specified in configuration are unreachable",
	"redis: cluster has no nodes",
	"redis: connection pool timeout",
}

// MayHaveRun reports whether a command that came back with err may have been carried out, now or later: Redis has not
// answered, and the command may have reached it.
func MayHaveRun(err error) bool {
	if _, answered := errors.AsType[redis.Error](err); answered || err == nil {
		return false
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return false
	}
	return !errors.Is(err, redis.ErrPoolTimeout) && !errors.Is(err, redis.ErrPoolExhausted)
}

// Denied reports whether the server has answered that this user may not do it.
func Denied(err error) bool { return hasCode(err, "NOPERM") }

func passing(err error) bool {
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	for _, known := range []error{
		context.DeadlineExceeded, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, redis.ErrPoolTimeout, redis.ErrPoolExhausted,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	for _, text := range texts {
		if strings.Contains(err.Error(), text) {
			return true
		}
	}
	return hasCode(err, codes...)
}

// hasCode reports whether err is, or wraps, an answer of the server that begins with one of codes.
func hasCode(err error, codes ...string) bool {
	answer, ok := errors.AsType[redis.Error](err)
	if !ok {
		return false
	}
	for _, code := range codes {
		if rest, found := strings.CutPrefix(answer.Error(), code); found && (rest == "" || rest[0] == ' ') {
			return true
		}
	}
	return false
}
