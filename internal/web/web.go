// Package web serves the page at "/": forms that enqueue the tasks that come with Seri, and a list of all tasks that
// moves live; and the page at "/schedules": the schedules, live too, and a preview of when one would tick.
//
// The page is plain HTML, CSS and ES modules, embedded as they lie in static; there is no build step and nothing is
// loaded from elsewhere. It talks to the HTTP API alone, as any other client would:
//
//	POST /v1/tasks        a form is sent
//	GET /v1/events        one stream for everything (server-sent events, read with fetch so that a key can be sent)
//	GET /v1/tasks/{id}    an event was missed, or its result was too large to travel
//	DELETE /v1/tasks/{id} Revoke
//	/v1/schedules…        the list, pause and resume, run now, what comes and what came of ticks, the preview
//
// What tasks say (types, errors, results, progress) is not to be trusted. The page only ever makes text of it, and the
// policy sent along forbids every script, style and connection that is not the page's own.
package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed static
var static embed.FS

// policy allows what the page is made of, and nothing else. form-action: the forms are sent by script.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// Handler serves the pages at "/" and "/schedules", and their parts at "/app.js", "/app.css", "/app/…" and so on; anything
// else is 404. It is meant to be mounted at "/" beside more special patterns.
func Handler() http.Handler {
	files := make(map[string]file)
	err := fs.WalkDir(static, "static", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := static.ReadFile(name)
		files[urlPath(name)] = newFile(name, content)
		return err
	})
	if err != nil {
		panic("web: read embedded files: " + err.Error()) // cannot happen: they are part of the program
	}
	return handler(files)
}

func urlPath(name string) string {
	p := name[len("static"):]
	if p == "/index.html" {
		return "/"
	}
	return strings.TrimSuffix(p, ".html")
}

type file struct {
	content     []byte
	contentType string
	etag        string
}

func newFile(name string, content []byte) file {
	sum := sha256.Sum256(content)
	return file{
		content:     content,
		contentType: mime.TypeByExtension(path.Ext(name)),
		etag:        `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`,
	}
}

// handler is the embedded files by URL path.
type handler map[string]file

func (h handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Content-Security-Policy", policy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")

	f, ok := h[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		header.Set("Allow", "GET, HEAD")
		http.Error(w, "this page can only be read", http.StatusMethodNotAllowed)
		return
	}
	header.Set("Content-Type", f.contentType)
	header.Set("ETag", f.etag)
	// The names stay the same from release to release, and modules of two releases must not mix: ask every time,
	// which costs a 304 without a body.
	header.Set("Cache-Control", "no-cache")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.content))
}
