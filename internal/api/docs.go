package api

import (
	"bytes"
	"compress/gzip"
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/swaggest/swgui/v5/static"
)

// The page's frame is our own because the library's has scripts and styles inside the HTML, which the policy forbids;
// the library brings Swagger UI itself, so that the documentation works without a network.
//
//go:embed static/docs.html static/docs.js
var docsFiles embed.FS

// docsAssets are the files of Swagger UI that the page needs, as they come with the library: compressed.
var docsAssets = map[string]string{
	"swagger-ui-bundle.js": "text/javascript; charset=utf-8",
	"swagger-ui.css":       "text/css; charset=utf-8",
}

// docsPolicy lets the page run its own scripts, read the API, and nothing else.
const docsPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// addDocs serves the contract, which must be complete by now, and the page that shows it.
func addDocs(api huma.API, table *routes) error {
	doc := api.OpenAPI()
	describeHealth(api)
	finish(doc)
	encoded, err := json.Marshal(doc)
	if err != nil {
		return fmt.Errorf("write OpenAPI: %w", err)
	}
	yaml := sync.OnceValues(doc.YAML) // not at the start, of which it would be the longest part
	page, err := docsFiles.ReadFile("static/docs.html")
	if err != nil {
		return err
	}
	script, err := docsFiles.ReadFile("static/docs.js")
	if err != nil {
		return err
	}

	table.Handle("GET /openapi.json", fixed("application/openapi+json", encoded))
	table.HandleFunc("GET /openapi.yaml", func(w http.ResponseWriter, r *http.Request) {
		encoded, err := yaml()
		if err != nil {
			panic(fmt.Errorf("write OpenAPI as YAML: %w", err))
		}
		fixed("application/openapi+yaml", encoded).ServeHTTP(w, r)
	})
	table.Handle("GET /docs", underDocsPolicy(fixed("text/html; charset=utf-8", page)))
	table.Handle("GET /docs/start.js", fixed("text/javascript; charset=utf-8", script))
	for name, contentType := range docsAssets {
		compressed, err := static.FS.ReadFile(name + ".gz")
		if err != nil {
			return err
		}
		table.Handle("GET /docs/"+name, underDocsPolicy(unpacked(contentType, compressed)))
	}
	return nil
}

func fixed(contentType string, body []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write(body)
	})
}

// unpacked answers with a file that is kept compressed; browsers take it as it is.
func unpacked(contentType string, compressed []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Vary", "Accept-Encoding")
		if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(compressed)
			return
		}
		reader, err := gzip.NewReader(bytes.NewReader(compressed))
		if err != nil {
			panic(fmt.Errorf("embedded file: %w", err))
		}
		_, _ = io.Copy(w, reader)
	})
}

func underDocsPolicy(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", docsPolicy)
		w.Header().Set("Cache-Control", "max-age=3600") // nothing private, and 0.4 MB
		next.ServeHTTP(w, r)
	})
}

func describeHealth(api huma.API) {
	status := func(word string) map[string]*huma.MediaType {
		return map[string]*huma.MediaType{"application/json": {
			Schema:  &huma.Schema{Type: huma.TypeObject, Properties: map[string]*huma.Schema{"status": {Type: huma.TypeString}}},
			Example: map[string]string{"status": word},
		}}
	}
	api.OpenAPI().AddOperation(&huma.Operation{
		OperationID: "isAlive", Method: http.MethodGet, Path: "/healthz", Tags: []string{"Health"}, Summary: "Is the process alive?",
		Description: "Asks nobody, Redis least of all: a restart would not repair it.",
		Responses:   map[string]*huma.Response{"200": {Description: "Alive", Content: status("alive")}},
	})
	api.OpenAPI().AddOperation(&huma.Operation{
		OperationID: "isReady", Method: http.MethodGet, Path: "/readyz", Tags: []string{"Health"}, Summary: "Should requests be sent here?",
		Description: "503 while the store cannot be reached, and once the process has been told to stop.",
		Responses: map[string]*huma.Response{
			"200": {Description: "Ready", Content: status("ready")},
			"503": {Description: kindNotReady.title, Content: map[string]*huma.MediaType{problemType: {
				Schema: schemaOf[Problem](api), Example: kindNotReady.problem(ErrDraining.Error()),
			}}},
		},
	})
}
