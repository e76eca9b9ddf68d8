package gateway

import (
	"math"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"sync"
	"syscall"
	"time"
)

// admission counts connections, and refuses those that are too many.
type admission struct {
	all, perHolder, perAddress int

	mu        sync.Mutex
	open      int
	moves     int // comings and goings, since the beginning
	holders   map[string]int
	addresses map[string]int
	measured  time.Time // when memory was last looked at
	crowded   bool      // and what came of it
}

func newAdmission(c Config) *admission {
	return &admission{
		all: c.Connections, perHolder: c.PerHolder, perAddress: c.PerAddress,
		holders: make(map[string]int), addresses: make(map[string]int),
	}
}

// refusal says why a connection is not admitted.
type refusal int

const (
	admitted refusal = iota
	houseFull
	holderFull
	addressFull
)

// admit counts a connection; leave must be called once if it was admitted.
func (a *admission) admit(holder, address string) refusal {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.open >= a.all || a.outOfMemory():
		return houseFull
	case holder != "" && a.holders[holder] >= a.perHolder:
		return holderFull
	case address != "" && a.addresses[address] >= a.perAddress:
		return addressFull
	}
	a.open++
	a.moves++
	count(a.holders, holder, 1)
	count(a.addresses, address, 1)
	return admitted
}

func (a *admission) leave(holder, address string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.open--
	a.moves++
	count(a.holders, holder, -1)
	count(a.addresses, address, -1)
}

// moved returns how many have come and gone since the beginning.
func (a *admission) moved() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.moves
}

func count(m map[string]int, name string, by int) {
	if name == "" {
		return
	}
	if m[name] += by; m[name] == 0 {
		delete(m, name)
	}
}

// outOfMemory reports whether what lives in the process has come close to GOMEMLIMIT; without one, it never has. The lock is
// held.
func (a *admission) outOfMemory() bool {
	const often = 500 * time.Millisecond
	now := time.Now()
	if now.Sub(a.measured) < often {
		return a.crowded
	}
	a.measured = now
	limit := debug.SetMemoryLimit(-1) // only asks
	if limit == math.MaxInt64 {
		a.crowded = false
		return false
	}
	a.crowded = float64(occupied()) > 0.8*float64(limit) // the rest is room for garbage
	return a.crowded
}

// occupied returns the bytes of memory that a collection would not give back, as the last one has found. What is garbage
// does not count: under a limit it is collected in time, and until then there may be as much of it as the limit lets.
func occupied() uint64 {
	samples := []metrics.Sample{
		{Name: "/memory/classes/total:bytes"}, {Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/free:bytes"}, {Name: "/memory/classes/heap/released:bytes"},
	}
	metrics.Read(samples)
	of := func(i int) uint64 { return samples[i].Value.Uint64() }
	return of(0) + of(1) - of(2) - of(3) - of(4)
}

// Descriptors returns how many connections the process may have open, leaving a twentieth of its descriptors for Redis and for
// requests.
func Descriptors() int {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 10_000
	}
	return int(min(limit.Cur, 1_000_000) * 19 / 20)
}

// addressOf returns the address that a client is counted by; empty: it is not known. A peer in a private network is taken
// for a proxy in front of us, which has added the client's address to X-Forwarded-For: the last one there that is public
// is what the outermost proxy of ours has seen. A peer with a public address speaks for itself.
func addressOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	if peer, err := netip.ParseAddr(host); err == nil && public(peer) {
		return network(peer)
	}
	var all []string
	for _, header := range r.Header["X-Forwarded-For"] {
		all = append(all, strings.Split(header, ",")...)
	}
	for i := len(all) - 1; i >= 0; i-- {
		address, err := netip.ParseAddr(strings.TrimSpace(all[i]))
		if err != nil {
			return ""
		}
		if public(address) {
			return network(address)
		}
	}
	return ""
}

func public(a netip.Addr) bool {
	a = a.Unmap()
	return !a.IsPrivate() && !a.IsLoopback() && !a.IsLinkLocalUnicast() && !a.IsUnspecified()
}

// network is what one client has for itself: an address of IPv4, 64 bits of one of IPv6.
func network(a netip.Addr) string {
	a = a.Unmap()
	if a.Is4() {
		return a.String()
	}
	prefix, err := a.WithZone("").Prefix(64)
	if err != nil {
		return a.String()
	}
	return prefix.String()
}
