package cli

import "github.com/seri-queue/seri/internal/cli/remote"

// connection are the flags that say which API a command talks to.
type connection struct {
	APIURL string `name:"api-url" env:"SERI_API_URL" default:"http://127.0.0.1:8080" help:"Where the api is."`
	APIKey string `name:"api-key" env:"SERI_API_KEY" placeholder:"KEY" help:"API key. Prefer the variable: flags are seen in the list of processes."`
}

func (c *connection) open() (*remote.Server, error) { return remote.Open(c.APIURL, c.APIKey) }
