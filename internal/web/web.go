// Package web serves the page at "/": forms that enqueue the tasks that come with Seri, and a list of all tasks that
// moves live; and the page at "/schedules": the schedules, live too, and a preview of when one would tick.
//
// The pages are plain HTML, CSS and ES modules, embedded as they lie in static; there is no build step and nothing is
// loaded from elsewhere. What the two have in common, from the head to the drawings, stands once, in pages/layout.html, and
// is put around each when the program starts. They talk to the HTTP API alone, as any other client would:
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
	"errors"
	"html/template"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed static
var static embed.FS

//go:embed pages
var pages embed.FS

// page is what the layout has to know of a page.
type page struct {
	Title, Description, Tagline string
	List                        string   // what it lists; also the ID of that section, and the file of what is its own
	Script                      string   // without the extension, as are Styles
	Styles                      []string // beside app.css
}

// addresses are the pages by their addresses.
var addresses = map[string]page{
	"/": {
		Title: "Seri: hand over a task, watch it run", Description: "Hand a task to Seri and watch it run, live.",
		Tagline: "Hand over a task. A worker runs it. Watch it here, live.",
		List:    "tasks", Script: "app", Styles: []string{"forms", "tasks"},
	},
	"/schedules": {
		Title: "Seri: schedules", Description: "The schedules of Seri: when they tick, and what came of it, live.",
		Tagline: "What runs by the clock, and what came of it, live.",
		List:    "schedules", Script: "schedules", Styles: []string{"forms", "tasks", "schedules"},
	},
}

// render returns the page as HTML.
func (p page) render() ([]byte, error) {
	layout, err := template.ParseFS(pages, "pages/layout.html", "pages/"+p.List+".html")
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = layout.Execute(&b, p)
	return b.Bytes(), err
}

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
		files[strings.TrimPrefix(name, "static")] = newFile(name, content)
		return err
	})
	for address, p := range addresses {
		content, failed := p.render()
		files[address] = newFile(".html", content)
		err = errors.Join(err, failed)
	}
	if err != nil {
		panic("web: read embedded files: " + err.Error()) // cannot happen: they are part of the program
	}
	return handler(files)
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
