// Package lock gives named locks with fencing tokens.
//
//	locks := lock.New(rdb)
//	err := locks.Do(ctx, "nightly-report", 15*time.Second, func(ctx context.Context, token uint64) error {
//		return report.Write(ctx, token) // the store refuses a token lower than the highest it has seen
//	})
//
// # What is promised
//
// The token of a holder is greater than that of every earlier holder of the same name, also after a failover of Redis
// that lost writes, as long as the clocks of its servers differ by less than the failover takes. The context that
// [Locks.Do] hands out ends as soon as the lease can no longer be proven to be alive. A lock is not re-entrant.
//
// # What is not
//
// That two holders never run at the same time: no lock service can promise it, for a process that is paused does not
// notice that its lease runs out. So what the lock protects has to compare tokens (Kleppmann, "How to do distributed
// locking", 2016).
package lock
