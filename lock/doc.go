// Package lock gives named locks with fencing tokens.
//
//	locks := lock.New(rdb)
//	err := locks.Do(ctx, "nightly-report", 15*time.Second, func(ctx context.Context, token uint64) error {
//		return report.Write(ctx, token) // the store refuses a token lower than the highest it has seen
//	})
//
// Use [Locks.Do] first: it waits for the lock, renews its lease, ends the context of the work when the lease can no
// longer be proven, and releases. [Locks.Acquire] and [Locks.Try] give a [Lock] to those who renew and release
// themselves. A [Guard] is a value in Redis that only the newest holder can write; docs/locks.md shows the same for
// PostgreSQL and S3.
//
// # What is promised
//
//   - The token of a holder is greater than that of every earlier holder of the same name, also after a failover of
//     Redis that lost writes, as long as the clocks of its servers differ by less than the failover takes.
//   - The context that [Locks.Do] hands out ends before another can have the lock, by the clock of this machine since
//     the last renewal that Redis has confirmed, less a tenth of the lease for clocks that run at different speeds.
//   - Who no longer holds the lock changes nothing: its renewals and releases are refused.
//   - Who waits is woken when the lock is released, in the order of arrival, and has it at the latest when the lease of
//     a holder that died ends. A waiter that died holds the others up for 3 s at most.
//   - A call whose reply was lost is repeated, and counts once.
//
// # What is not
//
//   - That two holders never run at the same time: no lock service can promise it, for a process that is paused does not
//     notice that its lease runs out. So what the lock protects has to compare tokens (Kleppmann, "How to do distributed
//     locking", 2016).
//   - That a lock is re-entrant: whoever asks again while holding it waits like anybody else.
package lock
