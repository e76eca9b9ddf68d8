package cli

import (
	"context"
	"fmt"

	"github.com/seri-queue/seri/internal/api"
)

type keyCommand struct {
	ID string `arg:"" optional:"" help:"Name of the key: 1 to 32 of a-z, 0-9 and -. Default: random."`
}

func (c *keyCommand) Run(_ context.Context, std Streams) error {
	key, err := api.NewKey(c.ID)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(std.Out, `The key, for the client; it is shown this once and stored nowhere:
  %s

Its hash, for SERI_API_KEYS of the api:
  %s
`, key.Secret, key.Entry)
	return err
}
