package cli_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seri-queue/seri/internal/api"
	"github.com/seri-queue/seri/internal/cli"
	"github.com/seri-queue/seri/internal/role"
)

// do runs a command that needs no api.
func do(t *testing.T, args ...string) result {
	t.Helper()
	var out, errs safeBuffer
	code := cli.Main(t.Context(), args, cli.Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
	return result{code, out.String(), errs.String()}
}

func TestHelpIsNoError(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{}, {"--help"}, {"enqueue", "--help"}, {"worker", "--help"}} {
		if r := do(t, args...); r.code != 0 || !strings.Contains(r.out, "Usage: seri") || r.err != "" {
			t.Errorf("seri %q ends with %d, prints %q", args, r.code, r.err)
		}
	}
	if r := do(t, "version"); r.code != 0 || !strings.HasPrefix(r.out, "seri ") {
		t.Errorf("seri version ends with %d, prints %q", r.code, r.out)
	}
	if r := do(t, "--version"); r.code != 0 || strings.TrimSpace(r.out) != role.Version() {
		t.Errorf("seri --version ends with %d, prints %q", r.code, r.out)
	}
}

func TestAKeyIsOneThatTheAPITakes(t *testing.T) {
	t.Parallel()

	r := do(t, "key", "web-1")

	fields := strings.Fields(r.out)
	var key, entry string
	for _, f := range fields {
		if strings.HasPrefix(f, "seri_web-1_") {
			key = f
		}
		if strings.HasPrefix(f, "web-1:") {
			entry = f
		}
	}
	if keys, err := api.ParseKeys(entry); r.code != 0 || key == "" || err != nil || keys.Len() != 1 || strings.Count(r.out, key) != 1 {
		t.Errorf("seri key prints %q (%v)", r.out, err)
	}
	if r := do(t, "key", "Web 1"); r.code != 1 || r.out != "" {
		t.Errorf("a bad name ends with %d, prints %q", r.code, r.out)
	}
}

func TestARoleThatIsConfiguredWronglySaysSo(t *testing.T) {
	t.Parallel()
	r := do(t, "worker", "--slots=0", "--lease=x")
	if r.code != 1 || !strings.Contains(r.err, "SERI_SLOTS") || !strings.Contains(r.err, "SERI_LEASE") {
		t.Errorf("ends with %d, prints %q", r.code, r.err)
	}
}

func TestNegativeDurationsAreRefusedAtTheirFlags(t *testing.T) {
	t.Parallel()
	r := do(t, "enqueue", "any", "--timeout=-5s", "--retention=-1m", "--delay=-1ms", "--unique-for=-1h", "--api-url", "http://127.0.0.1:1")
	for _, want := range []string{"--timeout is -5s", "--retention is -1m0s", "--delay is -1ms", "--unique-for is -1h0m0s"} {
		if r.code != 1 || !strings.Contains(r.err, want) {
			t.Errorf("ends with %d, prints %q, want %q", r.code, r.err, want)
		}
	}
}

func TestWhereThereIsNoAPIItIsSaidWhatToDo(t *testing.T) {
	t.Parallel()
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/moved/v1/queues" {
			http.Redirect(w, r, "https://elsewhere.example/v1/queues", http.StatusMovedPermanently)
			return
		}
		w.Header().Set("Content-Type", "text/html")
		if r.URL.Path == "/away/v1/queues" {
			w.WriteHeader(http.StatusBadGateway)
		}
		_, _ = w.Write([]byte("<html>"))
	}))
	t.Cleanup(page.Close)
	for name, c := range map[string]struct{ url, want string }{
		"nobody listens":         {"http://127.0.0.1:1", "is `seri dev` running? If it has another address, set SERI_API_URL, or SERI_HTTP_ADDR here too"},
		"no URL":                 {"localhost:8080", "must be a URL such as http://127.0.0.1:8080"},
		"another program":        {page.URL, "does not answer as Seri's API does"},
		"a balancer is alone":    {page.URL + "/away", "502 Bad Gateway"},
		"the API is elsewhere":   {page.URL + "/moved", "redirects to https://elsewhere.example/v1/queues; set SERI_API_URL"},
		"a name that is not one": {"http://seri.invalid", "is SERI_API_URL right?"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := do(t, "inspect", "--api-url", c.url)
			if r.code != 1 || !strings.Contains(r.err, c.want) || strings.Contains(r.err, "\x1b") {
				t.Errorf("ends with %d, prints %q, want %q", r.code, r.err, c.want)
			}
		})
	}
}

func TestAMissingAPIKeyIsNamed(t *testing.T) {
	t.Parallel()
	key, err := api.NewKey("")
	if err != nil {
		t.Fatal(err)
	}
	known, err := api.ParseKeys(key.Entry)
	if err != nil {
		t.Fatal(err)
	}
	handler, err := api.New(api.Config{Tasks: noTasks{}, Keys: known, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)

	if r := do(t, "inspect", "--api-url", server.URL); r.code != 1 || !strings.Contains(r.err, "set SERI_API_KEY") {
		t.Errorf("without a key it ends with %d, prints %q", r.code, r.err)
	}
	if r := do(t, "inspect", "--api-url", server.URL, "--api-key", key.Secret); r.code != 0 || !strings.Contains(r.out, "There are no queues yet") {
		t.Errorf("with a key it ends with %d, prints %q %q", r.code, r.out, r.err)
	}
}

func TestTheDocumentationOfKeysIsUpToDate(t *testing.T) {
	t.Parallel()
	written, err := os.ReadFile(filepath.Join("..", "..", "docs", "keys.md"))
	if err != nil {
		t.Fatal(err)
	}
	if printed := do(t, "keys", "--markdown").out; printed != string(written) {
		t.Error("docs/keys.md is out of date; run: go run ./cmd/seri keys --markdown > docs/keys.md")
	}
	if table := do(t, "keys").out; !strings.Contains(table, "asynq:{q}:pending") {
		t.Errorf("seri keys prints %q", table)
	}
}
