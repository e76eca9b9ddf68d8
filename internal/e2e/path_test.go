package e2e_test

import (
	"image"
	_ "image/jpeg" // decodes what image.thumbnail writes
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/wire"
	"github.com/seri-queue/seri/tasks/images"
	"github.com/seri-queue/seri/tasks/tables"
	"github.com/seri-queue/seri/tasks/web"
)

// The whole path in three processes: HTTP, Redis, worker, event, subscriber.
func TestATaskGoesFromHTTPToAWorkerAndIsWatched(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	output := t.TempDir()
	s.worker("--output-dir", output)
	everything := s.watch("")

	requests := map[string]map[string]any{
		"image.thumbnail": {"source": s.url + "/samples/photo.jpeg", "sizes": []int{100, 50}},
		"csv.profile":     {"source": s.url + "/samples/cities.csv", "top": 3},
		"http.request":    {"url": s.url + "/healthz"},
	}
	ended := make(map[string]wire.Task)
	for typ, payload := range requests {
		posted := s.post(map[string]any{"type": typ, "payload": payload, "owner": "user:42"})
		s.watch("task=" + posted.ID).untilSucceeded(posted.ID)
		s.watchSocket("task=" + posted.ID).untilSucceeded(posted.ID)
		everything.untilSucceeded(posted.ID)
		ended[typ] = s.task(posted.ID)
	}

	for typ, task := range ended {
		expect(t, "state of "+typ, task.State, seri.Succeeded)
		expect(t, "attempts of "+typ, task.Attempt, 1)
		expect(t, "crashes of "+typ, task.Crashes, 0)
	}
	thumbnails := decode[images.ThumbnailResult](t, ended["image.thumbnail"].Result)
	expect(t, "thumbnails", len(thumbnails.Thumbnails), 2)
	for _, thumb := range thumbnails.Thumbnails {
		file, err := os.Open(filepath.Join(output, filepath.FromSlash(thumb.Path)))
		if err != nil {
			t.Fatal(err)
		}
		config, format, err := image.DecodeConfig(file)
		file.Close()
		if err != nil {
			t.Fatal(err)
		}
		expect(t, "format", format, "jpeg")
		expect(t, "longest edge", max(config.Width, config.Height), thumb.Size)
		expect(t, "size as told", []int{thumb.Width, thumb.Height}, []int{config.Width, config.Height})
	}
	profile := decode[tables.ProfileResult](t, ended["csv.profile"].Result)
	if len(profile.Columns) != 9 || profile.Rows < 200 {
		t.Errorf("the profile has %d columns and %d rows, want 9 and at least 200", len(profile.Columns), profile.Rows)
	}
	response := decode[web.Response](t, ended["http.request"].Result)
	expect(t, "status", response.Status, http.StatusOK)
	expect(t, "body", response.Body, `{"status":"alive"}`+"\n")
}

func TestNothingIsToldWithoutAKey(t *testing.T) {
	t.Parallel()
	s := newSite(t)

	for name, key := range map[string]string{"no key": "", "a wrong key": s.key + "x", "a key of another": "seri_other_" + s.key} {
		stranger := endpoint{t, s.url, key}
		for _, request := range []struct{ method, path string }{
			{"POST", "/v1/tasks"}, {"POST", "/v1/tasks/batch"}, {"GET", "/v1/tasks/x"}, {"DELETE", "/v1/tasks/x"},
			{"GET", "/v1/types"}, {"GET", "/v1/queues"}, {"GET", "/v1/queues/default/tasks"},
			{"POST", "/v1/queues/default/pause"}, {"GET", "/v1/events"}, {"GET", "/v1/ws"}, {"GET", "/v1/nothing"},
		} {
			if status, answer := stranger.call(request.method, request.path, nil); status != http.StatusUnauthorized {
				t.Errorf("%s %s with %s answered %d: %s", request.method, request.path, name, status, answer)
			}
		}
		for _, open := range []string{"/", "/healthz", "/readyz", "/openapi.json", "/docs", "/samples/photo.jpeg"} {
			if status, _ := stranger.call("GET", open, nil); status != http.StatusOK {
				t.Errorf("GET %s with %s answered %d, want 200", open, name, status)
			}
		}
	}
}
