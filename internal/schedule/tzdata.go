package schedule

import (
	"bufio"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// ZonesVersion says which time zone database is in use, for the log: two beats that disagree about far ticks may have
// different ones. Go takes the machine's if there is one, and otherwise the one that was built in.
func ZonesVersion() string {
	if os.Getenv("ZONEINFO") != "" {
		return "that of ZONEINFO"
	}
	for _, dir := range []string{"/usr/share/zoneinfo", "/usr/share/lib/zoneinfo", "/usr/lib/locale/TZ", "/etc/zoneinfo"} {
		if _, err := os.Stat(filepath.Join(dir, "Europe", "Berlin")); err == nil {
			return versionIn(dir) + " in " + dir
		}
	}
	if _, err := time.LoadLocation("Europe/Berlin"); err != nil {
		return "none"
	}
	return "the one built in by " + runtime.Version()
}

// versionIn reads what the database says about itself: "# version 2025b" at the head of its source, or a file of its own.
func versionIn(dir string) string {
	if text, err := os.ReadFile(filepath.Join(dir, "+VERSION")); err == nil {
		return strings.TrimSpace(string(text))
	}
	file, err := os.Open(filepath.Join(dir, "tzdata.zi"))
	if err != nil {
		return "an unknown version"
	}
	defer file.Close()
	line, _ := bufio.NewReader(file).ReadString('\n')
	if version, ok := strings.CutPrefix(strings.TrimSpace(line), "# version "); ok {
		return version
	}
	return "an unknown version"
}
