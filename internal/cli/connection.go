package cli

import (
	"net"
	"os"

	"github.com/seri-queue/seri/internal/cli/remote"
)

// connection are the flags that say which API a command talks to.
type connection struct {
	APIURL string `name:"api-url" env:"SERI_API_URL" placeholder:"URL" help:"Where the api is. Default: at $SERI_HTTP_ADDR, or else http://127.0.0.1:8080."`
	APIKey string `name:"api-key" env:"SERI_API_KEY" placeholder:"KEY" help:"API key. Prefer the variable: flags are seen in the list of processes."`
}

func (c *connection) open() (*remote.Server, error) {
	base := c.APIURL
	if base == "" {
		base = listening(os.Getenv("SERI_HTTP_ADDR"))
	}
	return remote.Open(base, c.APIKey)
}

// listening is the URL of an api on this machine that was told to listen at addr; empty: at its usual address.
func listening(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "http://127.0.0.1:8080"
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}
