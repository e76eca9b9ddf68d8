//go:build !unix

package redisproc

import "syscall"

// supported is false where there is no /bin/sh to watch the server; [Find] then finds none.
const supported = false

func ownGroup() *syscall.SysProcAttr { return nil }
