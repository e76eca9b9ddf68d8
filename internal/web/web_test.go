package web_test

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/seri-queue/seri/internal/web"
)

func TestHandlerServesTheEmbeddedFilesOnly(t *testing.T) {
	t.Parallel()
	handler := web.Handler()

	for name, c := range map[string]struct {
		method, path string
		status       int
		contentType  string
	}{
		"the page":                       {"GET", "/", 200, "text/html; charset=utf-8"},
		"the page of schedules":          {"GET", "/schedules", 200, "text/html; charset=utf-8"},
		"no file of that page":           {"GET", "/schedules.html", 404, ""},
		"its script":                     {"GET", "/app.js", 200, "text/javascript; charset=utf-8"},
		"a module":                       {"GET", "/app/store.js", 200, "text/javascript; charset=utf-8"},
		"its style":                      {"GET", "/app.css", 200, "text/css; charset=utf-8"},
		"its mark":                       {"GET", "/favicon.svg", 200, "image/svg+xml"},
		"headers alone":                  {"HEAD", "/", 200, "text/html; charset=utf-8"},
		"no folder":                      {"GET", "/app/", 404, ""},
		"no other name for the page":     {"GET", "/tasks.html", 404, ""},
		"no part of a page":              {"GET", "/layout.html", 404, ""},
		"nothing outside of its files":   {"GET", "/../web.go", 404, ""},
		"nothing that is not there":      {"GET", "/nope", 404, ""},
		"nothing is to be sent to it":    {"POST", "/", 405, ""},
		"nothing is to be deleted there": {"DELETE", "/app.js", 405, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer := httptest.NewRecorder()

			handler.ServeHTTP(answer, httptest.NewRequest(c.method, c.path, nil))

			if answer.Code != c.status {
				t.Errorf("%s %s: status %d, want %d", c.method, c.path, answer.Code, c.status)
			}
			if got := answer.Header().Get("Content-Type"); c.contentType != "" && got != c.contentType {
				t.Errorf("%s %s: Content-Type %q, want %q", c.method, c.path, got, c.contentType)
			}
			if got := answer.Header().Get("Content-Security-Policy"); !strings.HasPrefix(got, "default-src 'none'; script-src 'self'; style-src 'self';") {
				t.Errorf("%s %s: Content-Security-Policy %q", c.method, c.path, got)
			}
			for header, want := range map[string]string{
				"X-Content-Type-Options":     "nosniff",
				"Referrer-Policy":            "no-referrer",
				"Cross-Origin-Opener-Policy": "same-origin",
			} {
				if got := answer.Header().Get(header); got != want {
					t.Errorf("%s %s: %s %q, want %q", c.method, c.path, header, got, want)
				}
			}
		})
	}
}

func TestHandlerAnswersAKnownVersionWithoutABody(t *testing.T) {
	t.Parallel()
	handler := web.Handler()
	first := httptest.NewRecorder()
	handler.ServeHTTP(first, httptest.NewRequest("GET", "/app.js", nil))

	request := httptest.NewRequest("GET", "/app.js", nil)
	request.Header.Set("If-None-Match", first.Header().Get("ETag"))
	second := httptest.NewRecorder()
	handler.ServeHTTP(second, request)

	if second.Code != http.StatusNotModified || second.Body.Len() > 0 {
		t.Errorf("status %d with %d bytes, want 304 without any", second.Code, second.Body.Len())
	}
}

// What the policy forbids would be dead code in the page, and what could turn a task's text into markup is not to be
// there at all.
func TestFilesKeepTheRulesOfThePage(t *testing.T) {
	t.Parallel()
	rules := map[string]struct {
		in        string // extension
		forbidden *regexp.Regexp
	}{
		"no inline script":                 {".html", regexp.MustCompile(`<script(?:>| [^>]*>[^<])|\son\w+=`)},
		"no inline style":                  {".html", regexp.MustCompile(`<style|\sstyle=`)},
		"nothing from elsewhere in markup": {".html", regexp.MustCompile(`(?:src|href)="(?:https?:)?//`)},
		"nothing from elsewhere in styles": {".css", regexp.MustCompile(`@import|url\(`)},
		"nothing makes markup from text":   {".js", regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|setHTML`)},
		"nothing makes code from text":     {".js", regexp.MustCompile(`\beval\(|new Function|set(?:Timeout|Interval)\(["'` + "`" + `]`)},
		"nothing outlives the tab":         {".js", regexp.MustCompile(`localStorage|indexedDB|document\.cookie`)},
		"no import from outside":           {".js", regexp.MustCompile(`from "[^./]`)},
	}
	imports := regexp.MustCompile(`from "([^"]+)"`)
	files := os.DirFS(".")

	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(files, name)
		for rule, r := range rules {
			if path.Ext(name) == r.in && r.forbidden.Match(content) {
				t.Errorf("%s: %s, but: %s", name, rule, r.forbidden.Find(content))
			}
		}
		for _, found := range imports.FindAllSubmatch(content, -1) {
			imported := path.Join(path.Dir(name), string(found[1]))
			if _, err := fs.Stat(files, imported); path.Ext(name) == ".js" && err != nil {
				t.Errorf("%s imports %s: %v", name, imported, err)
			}
		}
		return err
	})

	if err != nil {
		t.Fatal(err)
	}
}
