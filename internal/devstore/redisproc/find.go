package redisproc

import (
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
)

// minMajor is the oldest server that [Find] takes: Seri's scripts declare their flags, which older ones reject.
const minMajor = 7

// Binary is a server that could be run.
type Binary struct {
	Path    string
	Version string // as it tells: "7.0.15"
}

// Find looks for redis-server and then valkey-server on the PATH. Its error says which of them is missing or too old.
func Find() (Binary, error) {
	if !supported {
		return Binary{}, errors.New("redis-server cannot be run as a child on this system")
	}
	var faults []string
	for _, name := range []string{"redis-server", "valkey-server"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		version, err := versionOf(path)
		if err != nil {
			faults = append(faults, err.Error())
			continue
		}
		if major, _, _ := strings.Cut(version, "."); atLeast(major, minMajor) {
			return Binary{path, version}, nil
		}
		faults = append(faults, fmt.Sprintf("%s is version %s, older than %d.0", path, version, minMajor))
	}
	if len(faults) == 0 {
		faults = []string{"neither redis-server nor valkey-server is on the PATH"}
	}
	return Binary{}, errors.New(strings.Join(faults, "; "))
}

// versionPattern finds the version in "Redis server v=7.0.15 sha=00000000:0 malloc=…".
var versionPattern = regexp.MustCompile(`\bv=(\d+(?:\.\d+)*)`)

func versionOf(path string) (string, error) {
	out, err := exec.Command(path, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("%s --version: %w", path, err)
	}
	match := versionPattern.FindSubmatch(out)
	if match == nil {
		return "", fmt.Errorf("%s --version printed %q", path, out)
	}
	return string(match[1]), nil
}

func atLeast(major string, least int) bool {
	n, err := strconv.Atoi(major)
	return err == nil && n >= least
}
