//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "live: the crowd of clients needs Linux")
	os.Exit(1)
}
