package cli

import (
	"context"
	"fmt"
	"runtime"

	"github.com/seri-queue/seri/internal/role"
)

type versionCommand struct{}

func (*versionCommand) Run(_ context.Context, std Streams) error {
	_, err := fmt.Fprintf(std.Out, "seri %s (%s/%s)\n", role.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}
