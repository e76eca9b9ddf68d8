package web_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/seri-queue/seri/web"
)

func TestScriptIsSmall(t *testing.T) {
	t.Parallel()
	const most = 6 << 10
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(web.Script)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	t.Logf("seri.js: %d bytes, %d packed", len(web.Script), packed.Len())
	if packed.Len() > most {
		t.Errorf("%d bytes packed, more than %d", packed.Len(), most)
	}
}

func TestTypesDeclareWhatTheScriptExports(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"class WatchError", "function watch", "class SeriProgress"} {
		if !strings.Contains(web.Script, "\nexport "+name) || !strings.Contains(web.Types, "\nexport "+name) {
			t.Errorf("%s is not in both", name)
		}
	}
}

// TestPackageHoldsWhatItNames looks at the folder as npm would publish it.
func TestPackageHoldsWhatItNames(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("package.json")
	if err != nil {
		t.Fatal(err)
	}
	var npm struct {
		Type         string
		Files        []string
		Types        string
		License      string
		Exports      map[string]struct{ Types, Default string }
		Dependencies map[string]string
	}
	if err := json.Unmarshal(text, &npm); err != nil {
		t.Fatal(err)
	}
	main := npm.Exports["."]
	if npm.Type != "module" || main.Default == "" || main.Types == "" || main.Types != npm.Types || npm.License != "MIT" || len(npm.Dependencies) > 0 {
		t.Errorf("package.json says %+v", npm)
	}
	published := make(map[string]bool)
	for _, name := range append([]string{"README.md", "LICENSE"}, npm.Files...) { // npm adds these two by itself
		if _, err := os.Stat(name); err != nil {
			t.Error(err)
		}
		published["./"+name] = true
	}
	if !published[main.Default] || !published[main.Types] {
		t.Errorf("%+v is not among the files that are published", main)
	}
	ours, err := os.ReadFile("LICENSE")
	if err != nil {
		t.Fatal(err)
	}
	if theirs, err := os.ReadFile("../LICENSE"); err != nil || !bytes.Equal(ours, theirs) {
		t.Errorf("the package's licence is not that of the repository, %v", err)
	}
}
