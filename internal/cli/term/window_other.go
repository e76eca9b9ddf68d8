//go:build !unix

package term

import "os"

// windowWidth knows no terminals here: output is plain lines.
func windowWidth(*os.File) int { return 0 }
