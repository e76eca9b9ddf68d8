//go:build unix

package redisproc

import "syscall"

const supported = true

// ownGroup puts the server into a process group of its own.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
