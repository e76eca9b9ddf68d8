//go:build !unix

package ground

import (
	"syscall"
	"time"
)

func unprivileged(string) (*syscall.SysProcAttr, error) { return nil, nil }

// treeCPU is not known here.
func treeCPU(int) time.Duration { return 0 }
