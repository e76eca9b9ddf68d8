package tasks_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/tasks"
	"github.com/seri-queue/seri/tasks/images"
	"github.com/seri-queue/seri/tasks/samples"
)

func handlers(t *testing.T, cfg tasks.Config) map[string]seri.Handler {
	t.Helper()
	list, err := tasks.Handlers(cfg)
	if err != nil {
		t.Fatal(err)
	}
	byType := make(map[string]seri.Handler)
	for _, h := range list {
		byType[h.Type] = h
	}
	return byType
}

func TestTheListIsComplete(t *testing.T) {
	t.Parallel()
	byType := handlers(t, tasks.Config{})

	if len(byType) != 3 || byType["http.request"].Run == nil || byType["image.thumbnail"].Run == nil || byType["csv.profile"].Run == nil {
		t.Errorf("got %d types", len(byType))
	}
}

// The arguments' schemas are what the API checks payloads against and shows to people.
func TestEveryArgumentIsDescribed(t *testing.T) {
	t.Parallel()
	required := map[string]string{"http.request": "[url]", "image.thumbnail": "[source sizes]", "csv.profile": "[source]"}
	for name, h := range handlers(t, tasks.Config{}) {
		for what, typ := range map[string]*jsonschema.Schema{"arguments": schema(t, h.Args), "result": schema(t, h.Result)} {
			for field, property := range typ.Properties {
				if property.Description == "" {
					t.Errorf("%s: %s: %s has no description", name, what, field)
				}
			}
			if what == "arguments" && fmt.Sprint(typ.Required) != required[name] {
				t.Errorf("%s requires %v, want %s", name, typ.Required, required[name])
			}
		}
	}
}

func TestTheZeroConfigurationIsSafe(t *testing.T) {
	t.Parallel()
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the inside was reached") }))
	t.Cleanup(inside.Close)
	byType := handlers(t, tasks.Config{})
	for typ, payload := range map[string]string{
		"http.request": `{"url":%q}`,
		"csv.profile":  `{"source":%q}`,
	} {
		for _, url := range []string{inside.URL, "file:///etc/passwd", "http://169.254.169.254/"} {
			if _, err := byType[typ].Run(t.Context(), fmt.Appendf(nil, payload, url)); !seri.IsPermanent(err) {
				t.Errorf("%s %s: got %v", typ, url, err)
			}
		}
	}
	if _, err := byType["image.thumbnail"].Run(t.Context(), []byte(`{"source":"file:///etc/passwd","sizes":[1]}`)); err == nil {
		t.Error("image.thumbnail read a file")
	}
}

// What the page of the app does: each task on the samples, served by the app itself.
func TestTheTasksRunOnTheSamples(t *testing.T) {
	t.Parallel()
	app := httptest.NewServer(http.StripPrefix("/samples/", http.FileServerFS(samples.FS)))
	t.Cleanup(app.Close)
	output := t.TempDir()
	byType := handlers(t, tasks.Config{AllowHosts: []string{app.Listener.Addr().String()}, OutputDir: output})
	run := func(typ, payload string, result any) {
		t.Helper()
		encoded, err := byType[typ].Run(t.Context(), []byte(payload))
		if err != nil {
			t.Fatalf("%s: %v", typ, err)
		}
		if err := json.Unmarshal(encoded, result); err != nil {
			t.Fatal(err)
		}
	}

	var answer struct{ Status int }
	run("http.request", fmt.Sprintf(`{"url":"%s/samples/cities.csv"}`, app.URL), &answer)
	var made images.ThumbnailResult
	run("image.thumbnail", fmt.Sprintf(`{"source":"%s/samples/photo.jpeg","sizes":[64]}`, app.URL), &made)
	var profile struct{ Rows int }
	run("csv.profile", fmt.Sprintf(`{"source":"%s/samples/cities.csv"}`, app.URL), &profile)

	if answer.Status != 200 || profile.Rows != 278 || len(made.Thumbnails) != 1 {
		t.Fatalf("got %+v, %+v, %+v", answer, made, profile)
	}
	if _, err := os.Stat(filepath.Join(output, made.Thumbnails[0].Path)); err != nil {
		t.Error(err)
	}
}

func TestConfigurationFaultsAreListedTogether(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}

	_, err := tasks.Handlers(tasks.Config{
		AllowHosts: []string{"http://x", "10.0.0.1/8"}, AllowFiles: file, OutputDir: file, Images: images.Config{MaxPixels: -1},
	})

	if err == nil {
		t.Fatal("it was accepted")
	}
	for _, want := range []string{`"http://x"`, `"10.0.0.1/8"`, "AllowFiles", "OutputDir", "Images"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s is missing in:\n%v", want, err)
		}
	}
}

func schema(t *testing.T, typ reflect.Type) *jsonschema.Schema {
	t.Helper()
	s, err := jsonschema.ForType(typ, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
