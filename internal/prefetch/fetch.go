//go:build amd64 || arm64

package prefetch

import "unsafe"

// fetch asks for the line at p.
//
//go:noescape
func fetch(p unsafe.Pointer)
