package cli_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seri-queue/seri/client"
	"github.com/seri-queue/seri/internal/api"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redistest"
)

// noTasks is a store without anything in it.
type noTasks struct{ api.Tasks }

func (noTasks) Queues(context.Context) ([]client.QueueInfo, error) { return nil, nil }
func (noTasks) Types(context.Context) ([]client.TypeInfo, error)   { return nil, nil }

func TestAnAuditListsWhatIsNotAsTheRegistrySays(t *testing.T) {
	t.Parallel()
	server := redistest.Exclusive(t)
	rdb := server.Client()
	idempotency := keys.Idempotency(strings.Repeat("a", 64))
	for key, value := range map[string]string{"asynq:{a}:processed": "1", idempotency: "for ever", "seri:v2:\x1b[2Jx": "", "other": ""} {
		if err := rdb.Set(t.Context(), key, value, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "lock"), []byte("1 "+server.URL()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	r := do(t, "keys", "--audit", "--dir", dir) // as if `seri dev` had the store

	if r.code != 1 || !strings.Contains(r.err, "2 of 3 keys are not as the registry says") {
		t.Errorf("ends with %d, prints %q", r.code, r.err)
	}
	for _, want := range []string{
		idempotency + " never expires, should (24 h); entry seri:v1:",
		`seri:v2:\x1b[2Jx is in no entry of the registry` + "\n",
		"   1  asynq:{q}:processed\n",
	} {
		if !strings.Contains(r.out, want) {
			t.Errorf("%q is not in\n%s", want, r.out)
		}
	}
}

func TestAnAuditWithoutARedisSaysWhatToDo(t *testing.T) {
	t.Parallel()
	gone := t.TempDir()
	if err := os.WriteFile(filepath.Join(gone, "lock"), []byte("1 redis://127.0.0.1:1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"none is known":         {[]string{"--dir", t.TempDir()}, "SERI_REDIS_URL is not set"},
		"that of dev has ended": {[]string{"--dir", gone}, "is it running?"},
		"the URL is wrong":      {[]string{"--redis-url", "http://a"}, "redis"},
		"nobody answers":        {[]string{"--redis-url", "redis://127.0.0.1:1"}, "is SERI_REDIS_URL right?"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if r := do(t, append([]string{"keys", "--audit"}, c.args...)...); r.code != 1 || !strings.Contains(r.err, c.want) {
				t.Errorf("ends with %d, prints %q, want %q", r.code, r.err, c.want)
			}
		})
	}
}
