// Package prefetch tells the processor what memory is about to be needed, so that it is fetched while something else is done. It is
// worth it for who goes through so many objects that each is far away, and knows the next ones in time.
package prefetch

import "unsafe"

// line is what processors fetch at once, in bytes. Where it is more, some lines are asked for twice.
const line = 64

// First asks for the first bytes of an object. It changes nothing that a program can see: others may write to it meanwhile.
func First[T any](object *T, bytes uintptr) {
	for at := uintptr(0); at < min(bytes, unsafe.Sizeof(*object)); at += line {
		fetch(unsafe.Add(unsafe.Pointer(object), at))
	}
}
