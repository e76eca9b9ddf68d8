// Package audit holds a live Redis against the registry of keys: what is there that nobody has declared, what should
// expire and does not, what has another type than its readers expect.
//
// It reads only, with SCAN, TYPE and PTTL, a batch at a time: it needs the memory of a batch, however many keys there
// are, and keeps Redis from its work for no longer than any other client does.
package audit
