package keys

import (
	"fmt"
	"testing"
)

// What asynq v0.26 names its keys; package compat holds them against asynq itself.
func TestKeysAreAsynqs(t *testing.T) {
	t.Parallel()
	q := Queue("mail")
	for got, want := range map[string]string{
		q.Task("t:1"):                    "asynq:{mail}:t:t:1",
		q.Pending():                      "asynq:{mail}:pending",
		q.Active():                       "asynq:{mail}:active",
		q.Lease():                        "asynq:{mail}:lease",
		q.Scheduled():                    "asynq:{mail}:scheduled",
		q.Retry():                        "asynq:{mail}:retry",
		q.Archived():                     "asynq:{mail}:archived",
		q.Completed():                    "asynq:{mail}:completed",
		q.Paused():                       "asynq:{mail}:paused",
		q.Processed():                    "asynq:{mail}:processed",
		q.Failed():                       "asynq:{mail}:failed",
		q.Unique("x", nil):               "asynq:{mail}:unique:x:",
		q.Unique("x", []byte{}):          "asynq:{mail}:unique:x:d41d8cd98f00b204e9800998ecf8427e",
		q.Unique("x:y", []byte("hello")): "asynq:{mail}:unique:x:y:5d41402abc4b2a76b9719d911017c592",
		Server("h:1:a"):                  "asynq:servers:{h:1:a}",
		Running("h:1:a"):                 "asynq:workers:{h:1:a}",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestOfTaskSplitsATasksKeyAndNoOther(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{
		Queue("mail").Task("t1"):    "mail t1 true",
		Queue("mail").Task("a:t:b"): "mail a:t:b true",
		Queue("a b").Task("}:t:"):   "a b }:t: true",
		Queue("mail").Pending():     "  false",
		Queue("mail").Events():      "  false",
		"asynq:queues":              "  false",
		"asynq:{mail":               "  false",
		"other:{mail}:t:x":          "  false",
		"":                          "  false",
	} {
		q, id, ok := OfTask(key)
		if got := fmt.Sprintf("%s %s %t", q, id, ok); got != want {
			t.Errorf("%q is %q, want %q", key, got, want)
		}
	}
}
