//go:build !unix

package devstore

import (
	"errors"
	"os"
)

// Where no server can be run as a child, no directory is claimed, and these are not called.

var errLocked = errors.New("locked")

func tryLock(*os.File) error { return errors.ErrUnsupported }

func unlock(*os.File) error { return errors.ErrUnsupported }
