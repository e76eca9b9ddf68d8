package web_test

import (
	"bytes"
	"compress/gzip"
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
