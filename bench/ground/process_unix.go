//go:build unix

package ground

import (
	"fmt"
	"os"
	osuser "os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// unprivileged returns how to run a process that refuses to be root, and gives it dir. Who is not root stays who he is.
func unprivileged(dir string) (*syscall.SysProcAttr, error) {
	own := &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for this process, which stops the other in its turn
	if os.Getuid() != 0 {
		return own, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		account, err := osuser.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.Atoi(account.Uid)
		gid, err2 := strconv.Atoi(account.Gid)
		if err1 != nil || err2 != nil {
			continue
		}
		own.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		return own, os.Chown(dir, uid, gid)
	}
	return nil, fmt.Errorf("PostgreSQL does not run as root, and there is no user %q or %q", "postgres", "nobody")
}

// clockTick is the unit of times in /proc on every Linux that Go runs on.
const clockTick = 10 * time.Millisecond

// treeCPU is what a process and its children have used, those that have ended among them; 0 without /proc.
func treeCPU(pid int) time.Duration {
	sum := time.Duration(0)
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is well-formed
	for _, name := range stats {
		content, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		// The second field is the program's name in parentheses, which may hold anything.
		_, rest, found := strings.Cut(string(content), ") ")
		fields := strings.Fields(rest)
		if !found || len(fields) < 15 {
			continue
		}
		own := filepath.Base(filepath.Dir(name)) == strconv.Itoa(pid)
		if !own && fields[1] != strconv.Itoa(pid) {
			continue
		}
		used := fields[11:13] // in user and system mode
		if own {
			used = fields[11:15] // and that of children that have ended
		}
		for _, ticks := range used {
			n, _ := strconv.Atoi(ticks) // always a number
			sum += time.Duration(n) * clockTick
		}
	}
	return sum
}
