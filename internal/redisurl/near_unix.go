//go:build unix

package redisurl

import "syscall"

// readNow reads what has arrived: 0 bytes if nothing has, fewer if the connection is at its end or broken. Having found
// nothing it lets other processes run: on a busy machine the server may be waiting for this very processor.
func readNow(fd uintptr, p []byte) int {
	n, err := syscall.Read(int(fd), p)
	switch {
	case err == syscall.EAGAIN || err == syscall.EINTR:
		yield()
		return 0
	case err != nil || n == 0:
		return -1
	}
	return n
}
