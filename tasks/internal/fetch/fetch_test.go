package fetch_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/safehttp"
	"github.com/seri-queue/seri/tasks/internal/fetch"
)

func newOpener(t *testing.T, files string, allow ...string) *fetch.Opener {
	t.Helper()
	client, err := safehttp.New(safehttp.Config{Allow: allow})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	return &fetch.Opener{Client: client, Files: files}
}

func TestFilesAreReadBelowTheirDirectoryOnly(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	files := filepath.Join(base, "open")
	for path, text := range map[string]string{"open/a.csv": "inside", "open/sub/b c.csv": "deeper", "secret.csv": "secret", "open-too/x.csv": "beside"} {
		path = filepath.Join(base, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"out.csv": "../secret.csv", "abs.csv": filepath.Join(base, "secret.csv"), "in.csv": "a.csv"} {
		if err := os.Symlink(to, filepath.Join(files, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(files, "fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	opener := newOpener(t, files)

	for source, want := range map[string]string{
		"file://" + files + "/a.csv":           "inside",
		"file://localhost" + files + "/a.csv":  "inside",
		"file:" + files + "/a.csv":             "inside",
		"file:a.csv":                           "inside",
		"file:sub/b%20c.csv":                   "deeper",
		"file://" + files + "/sub/b%20c.csv":   "deeper",
		"file:in.csv":                          "inside",
		"file:sub/../a.csv":                    "inside",
		"file://" + base + "/x/../open/a.csv":  "inside",
		"FILE:a.csv":                           "inside",
		"file:" + files + "/./sub/../a.csv":    "inside",
		"file:" + files + "//a.csv":            "inside",
		"file:" + base + "/open/../open/a.csv": "inside",
	} {
		got, err := opener.Open(t.Context(), source)
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		text, _ := io.ReadAll(got)
		got.Close()
		if string(text) != want || got.Size != int64(len(want)) {
			t.Errorf("%s: got %q of %d bytes, want %q", source, text, got.Size, want)
		}
	}
	for _, source := range []string{
		"file:///etc/passwd",
		"file:../secret.csv",
		"file:sub/../../secret.csv",
		"file:%2e%2e/secret.csv",
		"file:..%2fsecret.csv",
		"file://" + base + "/secret.csv",
		"file://" + base + "/open-too/x.csv",
		"file://" + files + "/../secret.csv",
		"file://" + files,
		"file:",
		"file:.",
		"file:sub",
		"file:out.csv",
		"file:abs.csv",
		"file:fifo",
		"file:missing.csv",
		"file://evil.example" + files + "/a.csv",
	} {
		got, err := opener.Open(t.Context(), source)
		if err == nil {
			got.Close()
			t.Errorf("%s was opened", source)
		} else if !seri.IsPermanent(err) {
			t.Errorf("%s: %v is not permanent", source, err)
		}
	}
	if _, err := newOpener(t, "").Open(t.Context(), "file://"+files+"/a.csv"); !seri.IsPermanent(err) || !strings.Contains(err.Error(), "AllowFiles") {
		t.Errorf("without a directory: got %v", err)
	}
}

func TestAnswersSayWhetherToTryAgain(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		status     int
		retryAfter string
		permanent  bool
		delay      time.Duration // 0: the task's policy
	}{
		"not found":                         {status: 404, permanent: true},
		"gone":                              {status: 410, permanent: true},
		"no content, so no source":          {status: 204, permanent: true},
		"too many requests":                 {status: 429},
		"too many requests, with a time":    {status: 429, retryAfter: "7", delay: 7 * time.Second},
		"server error":                      {status: 500},
		"unavailable, with a time":          {status: 503, retryAfter: "60", delay: time.Minute},
		"unavailable for years":             {status: 503, retryAfter: "99999999", delay: 24 * time.Hour},
		"not found, with a time: no matter": {status: 404, retryAfter: "7", permanent: true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if c.retryAfter != "" {
					w.Header().Set("Retry-After", c.retryAfter)
				}
				w.WriteHeader(c.status)
				if c.status != 204 {
					io.WriteString(w, "sorry,\n\x1b[31m not now")
				}
			}))
			t.Cleanup(server.Close)

			_, err := newOpener(t, "", "127.0.0.1:*").Open(t.Context(), server.URL)

			if err == nil || seri.IsPermanent(err) != c.permanent {
				t.Fatalf("got %v, want it permanent: %t", err, c.permanent)
			}
			if delay, _ := seri.RetryDelay(err); delay != c.delay {
				t.Errorf("got a delay of %v, want %v", delay, c.delay)
			}
			if c.status != 204 && !strings.HasSuffix(err.Error(), ": sorry, [31m not now") {
				t.Errorf("the body's first words are not there, or not cleaned: %q", err)
			}
		})
	}
}

func TestWhatCannotBeFetched(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(nil)
	gone.Close()
	opener := newOpener(t, "", "127.0.0.1:*")
	for source, permanent := range map[string]bool{
		gone.URL:                                 false, // it may come back
		"http://10.0.0.1/":                       true,
		"ftp://example.com/":                     true,
		"photo.jpeg":                             true,
		"":                                       true,
		"http://user:password@[::1/":             true,
		"http://user:password@example.com:port/": true,
	} {
		_, err := opener.Open(t.Context(), source)
		if err == nil || seri.IsPermanent(err) != permanent {
			t.Errorf("%q: got %v, want it permanent: %t", source, err, permanent)
		} else if strings.Contains(err.Error(), "password") {
			t.Errorf("%q: the error tells the password: %v", source, err)
		}
	}
}
