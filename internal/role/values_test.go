package role

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"github.com/seri-queue/seri/internal/api"
)

func TestADirectoryThatCannotBeWrittenToIsNoticedAtOnce(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	below := filepath.Join(file, "files")
	unreachable := "redis://127.0.0.1:1" // it is not asked
	for name, role := range map[string]Role{
		"worker": &Worker{Common: Common{RedisURL: unreachable}, Tasks: Tasks{OutputDir: below}},
		"dev":    &Dev{RedisURL: unreachable, Serve: Serve{HTTPAddr: "127.0.0.1:0"}, Tasks: Tasks{OutputDir: below}},
	} {
		err := role.Run(t.Context(), t.Output(), t.Output())
		if err == nil || !strings.HasPrefix(err.Error(), "--output-dir (SERI_OUTPUT_DIR) is \""+below) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}

	fresh := filepath.Join(t.TempDir(), "a", "b")
	for _, dir := range []string{"", fresh, fresh} {
		if err := (&Tasks{OutputDir: dir}).writable(); err != nil {
			t.Errorf("%q: %v", dir, err)
		}
	}
	if left, err := os.ReadDir(fresh); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestFaultsOfAPIKeysAreToldOfTheSettingTheyAreIn(t *testing.T) {
	t.Parallel()
	good, err := api.NewKey("one")
	if err != nil {
		t.Fatal(err)
	}
	file := func(text string) string {
		name := filepath.Join(t.TempDir(), "keys")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	const inKeys, inFile = "--api-keys (SERI_API_KEYS) is wrong", "--api-keys-file (SERI_API_KEYS_FILE) is wrong"
	for name, c := range map[string]struct {
		keys, file string
		want       []string // none: it is right
	}{
		"both are right":       {good.Entry, file("# none\n"), nil},
		"no such file":         {good.Entry, "/nowhere/keys", []string{inFile + ": open /nowhere/keys"}},
		"a fault in the file":  {good.Entry, file("two"), []string{inFile + ": API key 1"}},
		"a fault in the other": {"two", file(good.Entry), []string{inKeys + ": API key 1"}},
		"faults in both":       {"two", file("three"), []string{inKeys, inFile}},
		"one ID in both":       {good.Entry, file(good.Entry), []string{inFile + ": API key 2: the id one is there twice"}},
		"none in either":       {"", file(""), []string{"--api-keys (SERI_API_KEYS) is missing"}},
	} {
		var settings API
		parser, err := kong.New(&settings)
		if err == nil {
			_, err = parser.Parse([]string{"--redis-url", "redis://127.0.0.1:1", "--api-keys", c.keys, "--api-keys-file", c.file})
		}
		if err != nil {
			t.Fatal(err)
		}
		err = settings.Check()
		if (err == nil) != (c.want == nil) || err != nil && strings.Count(err.Error(), "(SERI_") != len(c.want) {
			t.Errorf("%s: %v", name, err)
		}
		for _, want := range c.want {
			if err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v; want %s", name, err, want)
			}
		}
	}
}

func TestAProgramNamesItselfOnce(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"no Redis": "worker: no Redis", "worker: no Redis": "worker: no Redis", "worker: worker: x": "worker: x", "beat: x": "worker: beat: x",
	} {
		if got := complaint("worker", errors.New(text)); got != want {
			t.Errorf("of %q it says %q", text, got)
		}
	}
}

func TestWeightsAreReadByQueue(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		text string
		want map[string]int
	}{
		"names with weights":                   {"mail=3,default=1", map[string]int{"mail": 3, "default": 1}},
		"a name alone weighs 1":                {"mail", map[string]int{"mail": 1}},
		"spaces around an item are left out":   {" mail=3 , default ", map[string]int{"mail": 3, "default": 1}},
		"a name may itself hold an equal sign": {"a=b=2", map[string]int{"a=b": 2}},
	}
	for sentence, c := range cases {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			var w Weights
			if err := w.UnmarshalText([]byte(c.text)); err != nil || w.wrong != "" || !maps.Equal(w.ByQueue, c.want) {
				t.Errorf("%q is read as %v, %q, %v; want %v", c.text, w.ByQueue, w.wrong, err, c.want)
			}
		})
	}
}

func TestEveryFaultOfWeightsIsTold(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		text string
		says []string
	}{
		"a weight below 1 and a name with braces": {"a=0,b{}", []string{`"a=0"`, `"b{}"`}},
		"a weight that is no number":              {"a=many", []string{`"a=many"`}},
		"a name that is empty":                    {"a,,b=-1", []string{`""`, `"b=-1"`}},
		"a queue that is there twice":             {"a,b=x,a=2", []string{`"b=x"`, `"a" twice`}},
	}
	for sentence, c := range cases {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			var w Weights
			if err := w.UnmarshalText([]byte(c.text)); err != nil {
				t.Fatal(err)
			}
			for _, part := range c.says {
				if !strings.Contains(w.wrong, part) {
					t.Errorf("%q: says %q, which does not name %s", c.text, w.wrong, part)
				}
			}
		})
	}
}

func TestDurationsInLogsAreForPeople(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"json", "text"} {
		var out bytes.Buffer
		(&Log{LogLevel: "info", LogFormat: format}).logger(&out).Info("worker started", "lease", 4*time.Second)
		want := "lease=4s"
		if format == "json" {
			want = `"lease":"4s"`
			if !json.Valid(out.Bytes()) {
				t.Errorf("not JSON: %s", &out)
			}
		}
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s: %q, want %s in it", format, &out, want)
		}
	}
}
