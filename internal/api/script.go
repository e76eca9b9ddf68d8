package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"time"

	"github.com/seri-queue/seri/web"
)

// addScript serves the module with which pages watch, to pages of every origin: it is no secret, and what it can do is up
// to tokens and origins.
func addScript(table *routes) {
	for path, f := range map[string]struct{ contentType, text string }{
		"/seri.js":   {"text/javascript; charset=utf-8", web.Script},
		"/seri.d.ts": {"text/plain; charset=utf-8", web.Types},
	} {
		content, sum := []byte(f.text), sha256.Sum256([]byte(f.text))
		etag := `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
		table.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			h := w.Header()
			h.Set("Content-Type", f.contentType)
			h.Set("ETag", etag)
			h.Set("Cache-Control", "public, max-age=300") // an upgrade of the server is an upgrade of its pages
			h.Set("Access-Control-Allow-Origin", "*")
			h.Set("Cross-Origin-Resource-Policy", "cross-origin")
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
		})
	}
}
