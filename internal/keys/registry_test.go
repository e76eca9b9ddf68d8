package keys

import (
	"strings"
	"testing"
)

func TestFindKnowsEveryKeyByItsOwnEntry(t *testing.T) {
	t.Parallel()
	q := Queue("mail")
	for key, want := range map[string]string{
		Partitions: "seri:v1:{partitions}", Beats: "seri:v1:{beats}", Queues: "asynq:queues", Servers: "asynq:servers", Workers: "asynq:workers", Types: "seri:v1:{types}",
		Server("h:1:a"): "asynq:servers:{<worker>}", Running("h:1:a"): "asynq:workers:{<worker>}", TypesOf("h:1:a"): "seri:v1:{types}:<worker>",
		Idempotency("ab12"): "seri:v1:idem:{<sha256>}", Lock("beat"): "seri:v1:lock:{<name>}", LockFence("beat"): "seri:v1:lock:{<name>}:fence",
		LockQueue("beat"): "seri:v1:lock:{<name>}:queue", LockPresence("beat"): "seri:v1:lock:{<name>}:presence",
		LockBells("beat") + "AB": "seri:v1:lock:{<name>}:bell:<nonce>", LockGuard("beat"): "seri:v1:lock:{<name>}:guard",
		q.Task("t1"): "asynq:{q}:t:<id>", q.Task("line\nbreak:processed"): "asynq:{q}:t:<id>",
		q.Pending(): "asynq:{q}:pending", q.Active(): "asynq:{q}:active", q.Lease(): "asynq:{q}:lease",
		q.Scheduled(): "asynq:{q}:scheduled", q.Retry(): "asynq:{q}:retry", q.Archived(): "asynq:{q}:archived",
		q.Completed(): "asynq:{q}:completed", q.Paused(): "asynq:{q}:paused",
		q.Processed(): "asynq:{q}:processed", q.Failed(): "asynq:{q}:failed",
		q.Processed() + ":2026-11-23": "asynq:{q}:processed:<day>", q.Failed() + ":2026-11-23": "asynq:{q}:failed:<day>",
		q.Unique("x", []byte("p")): "asynq:{q}:unique:<type>:<md5>", q.Unique("x", nil): "asynq:{q}:unique:<type>:<md5>",
		q.Fence(): "seri:v1:{q}:fence", q.Due(): "seri:v1:{q}:due", q.Wake(): "seri:v1:{q}:wake", q.Events(): "seri:v1:{q}:events",
		q.Trimmed(): "seri:v1:{q}:trimmed", q.Turn(): "seri:v1:{q}:turn", q.Cursor(): "seri:v1:{q}:cursor",
		q.Log("t1"): "seri:v1:{q}:log:<id>", q.Owner("user:42"): "seri:v1:{q}:owner:<label>", q.Schedule("nightly"): "seri:v1:{q}:schedule:<id>",
		q.History("nightly"): "seri:v1:{q}:history:<id>",
	} {
		if e, ok := Find(key); !ok || e.Pattern != want {
			t.Errorf("%q is found as %q, want %q", key, e.Pattern, want)
		}
	}
}

func TestFindKnowsNoStrangersKey(t *testing.T) {
	t.Parallel()
	for _, key := range []string{
		"", "other", "asynq:{mail}", "asynq:{mail}:", "asynq:{mail}:pending:x", "asynq:{mail}:processed:yesterday", "asynq:{}:pending",
		"seri:v1:{mail}:other", "seri:v2:{mail}:events", "x asynq:queues", "asynq:queues x", "seri:v1:mail:events",
	} {
		if e, ok := Find(key); ok {
			t.Errorf("%q is found as %q", key, e.Pattern)
		}
	}
}

func TestEveryEntrySaysWhatTheKeyIs(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for _, e := range Registry {
		if e.Pattern == "" || e.Type == "" || e.Owner == "" || e.Life == "" || e.Holds == "" {
			t.Errorf("entry %+v has a gap", e)
		}
		if seen[e.Pattern] {
			t.Errorf("%s is declared twice", e.Pattern)
		}
		seen[e.Pattern] = true
		if !strings.HasPrefix(e.Pattern, "asynq:") && !strings.HasPrefix(e.Pattern, "seri:v1:") {
			t.Errorf("%s has a strange prefix", e.Pattern)
		}
		if e.TTL && strings.HasPrefix(e.Life, "none") {
			t.Errorf("%s: a TTL or none?", e.Pattern)
		}
	}
}
