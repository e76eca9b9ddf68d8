package redisproc

import (
	"fmt"
	"math/rand/v2"
	"net"
)

// FreePort returns a port that nobody listens on at the loopback interface. It stays below the range from which systems
// take the ports of outgoing connections (32768 on Linux, 49152 on macOS), so that none of these grabs it before the
// server does.
func FreePort() int {
	for {
		port := 10_000 + rand.IntN(22_000)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			l.Close()
			return port
		}
	}
}
