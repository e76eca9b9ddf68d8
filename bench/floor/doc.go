// Package floor measures what is physically possible: the store's own scripts, replayed by a client that does next to
// nothing. Commands are encoded before the clock starts, written as they are, and their replies are only cut, not decoded.
//
// The commands are not written down here but recorded from the store itself, so that the floor is of the scripts as they
// are, whatever becomes of them: a hook in the Redis client keeps what the store would have sent ([recorder]).
package floor
