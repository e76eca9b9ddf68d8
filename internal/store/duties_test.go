package store

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// Who writes a new script has to say whose it is, so that its commands are among those that are asked for.
func TestEveryScriptIsSomebodysDuty(t *testing.T) {
	t.Parallel()
	var known []string
	for _, sc := range slices.Concat(Working.scripts, Producing.scripts, Ticking.scripts) {
		known = append(known, sc.name)
	}
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	scripts := 0
	for _, f := range files {
		name, isScript := strings.CutSuffix(f.Name(), ".lua")
		if !isScript || name == "prelude" || name == "repair" { // which are parts of others
			continue
		}
		scripts++
		if !slices.Contains(known, name) {
			t.Errorf("script %s belongs to no duty", name)
		}
	}
	if scripts < 20 {
		t.Errorf("found %d scripts only", scripts)
	}
}
