//go:build !unix

package load

import "time"

// cpuTime is not known here.
func cpuTime() time.Duration { return 0 }

// residentBytes is not known here.
func residentBytes() int64 { return 0 }
