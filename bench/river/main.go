// River is a measured process of River on PostgreSQL, for the benchmark beside it. It is a module of its own so that
// River and its driver are not in the module graph of Seri's users.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/seri-queue/seri/bench/load"
)

func main() {
	openers := map[string]load.Opener{"river": open}
	if err := load.Child(context.Background(), os.Stdin, os.Stdout, openers); err != nil {
		fmt.Fprintln(os.Stderr, "river:", err)
		os.Exit(1)
	}
}

// logger lets through what must show beside the figures.
func logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
}
