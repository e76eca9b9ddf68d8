package tasks_test

import (
	"context"
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
	"github.com/seri-queue/seri/internal/typeschema"
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

// What a handler would refuse for good is refused with its place before it is enqueued, and nothing else is.
func TestPayloadsAreRefusedWhereHandlersWouldRefuseThem(t *testing.T) {
	t.Parallel()
	const source = `"source":"https://example.com/a"`
	cases := map[string]map[string]string{ // by type and payload: the field that is wrong; empty: none is
		"http.request": {
			`{"url":"https://example.com"}`:           "",
			`{"url":"HTTP://user:word@[::1]:80/ü?q"}`: "",
			`{"url":""}`:                                     "url",
			`{"url":"example.com"}`:                          "url",
			`{"url":"/path"}`:                                "url",
			`{"url":"ftp://example.com"}`:                    "url",
			`{"url":"file:///etc/passwd"}`:                   "url",
			`{"url":"http://"}`:                              "url",
			`{"url":"http://a b/"}`:                          "url",
			`{"url":"https://example.com","method":"PATCH"}`: "",
			`{"url":"https://example.com","method":"FETCH"}`: "method",
		},
		"image.thumbnail": {
			`{` + source + `,"sizes":[1,4096]}`:                            "",
			`{"source":"file:a.png","sizes":[1],"format":"png"}`:           "",
			`{"source":"data:image/png;base64,","sizes":[1]}`:              "source",
			`{` + source + `,"sizes":[]}`:                                  "sizes",
			`{` + source + `,"sizes":null}`:                                "sizes",
			`{` + source + `,"sizes":[16,0]}`:                              "sizes[1]",
			`{` + source + `,"sizes":[4097]}`:                              "sizes[0]",
			`{` + source + `,"sizes":[` + strings.Repeat("1,", 16) + `1]}`: "sizes",
			`{` + source + `,"sizes":[1],"format":"gif"}`:                  "format",
		},
		"csv.profile": {
			`{` + source + `,"delimiter":"tab","top":100}`: "",
			`{` + source + `,"delimiter":"\\t","top":0}`:   "",
			`{` + source + `,"delimiter":"\t"}`:            "",
			`{` + source + `,"delimiter":"→"}`:             "",
			`{` + source + `,"delimiter":""}`:              "",
			`{` + source + `,"delimiter":";;"}`:            "delimiter",
			`{` + source + `,"delimiter":"\n"}`:            "delimiter",
			`{` + source + `,"delimiter":"\""}`:            "delimiter",
			`{` + source + `,"delimiter":"\u0000"}`:        "delimiter",
			`{` + source + `,"top":-1}`:                    "top",
			`{` + source + `,"top":101}`:                   "top",
			`{"source":"a.csv"}`:                           "source",
		},
	}
	ended, end := context.WithCancel(t.Context()) // so that a payload that is right goes no further than to the network
	end()
	byType := handlers(t, tasks.Config{OutputDir: t.TempDir(), AllowFiles: t.TempDir()})
	for typ, payloads := range cases {
		published, err := typeschema.For(byType[typ].Args)
		if err != nil {
			t.Fatal(err)
		}
		for payload, want := range payloads {
			faults, err := new(typeschema.Validator).Check(published, []byte(payload))
			if err != nil || len(faults) != min(len(want), 1) || want != "" && faults[0].Path != want {
				t.Errorf("%s %s: %+v, %v; want %q to be refused", typ, payload, faults, err, want)
			}
			if _, err := byType[typ].Run(ended, []byte(payload)); want != "" && !seri.IsPermanent(err) {
				t.Errorf("%s %s: the handler says %v, and would have tried again", typ, payload, err)
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
