// Package seri is the vocabulary of Seri, an asynchronous task queue and scheduler on Redis.
//
// Declare a type of task once, with the types of its arguments and of its result:
//
//	var Welcome = seri.NewTask[WelcomeArgs, Receipt]("email:welcome", seri.MaxRetries(5))
//
// A producer hands tasks over, through package client, and may wait for the result:
//
//	ticket, err := email.Welcome.Enqueue(ctx, queue, email.WelcomeArgs{UserID: 42}, seri.Delay(time.Minute))
//	receipt, err := ticket.Wait(ctx) // an email.Receipt
//
// A worker, made by package worker, runs them with the function that is bound to the task:
//
//	handlers := []seri.Handler{email.Welcome.HandledBy(mailer.SendWelcome)}
//
// # Life of a task
//
//	          ┌───────────── retrying ◀──────────┐
//	          ▼                                  │ a failed attempt
//	new ─▶ pending ──────────▶ active ───────────┤
//	 │        ▲                 │ │ │            │
//	 └▶ scheduled               │ │ └─▶ failed   │ no retry left, permanent, poison
//	                            │ └───▶ revoked  ┘ withdrawn or expired (from any state before)
//	                            └─────▶ succeeded
//
// # Guarantees
//
// A task that was accepted runs at least once. Each attempt holds a lease with a fencing token that is greater than
// every token handed out before in its queue; every write of an attempt names it, and a write whose token is not the
// one on record changes nothing ([*FencedError]). So an attempt that was paused, cut off or taken for dead cannot
// overwrite the work of its successor. Each change of state and its [Event] are one write.
//
// # What is not promised
//
// A handler may run more than once, and two attempts may overlap in time: make handlers idempotent, or pass the token
// of [TokenFrom] on to what they write and refuse lower ones there. Redis replication is asynchronous: a failover may
// lose the newest acknowledged writes. Fencing holds while every worker of a queue is Seri's.
package seri
