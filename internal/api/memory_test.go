package api

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seri-queue/seri/internal/redisurl"
)

func TestTheGuardGoesByTheFullestMaster(t *testing.T) {
	t.Parallel()
	const mb = 1 << 20
	for name, c := range map[string]struct {
		masters []redisurl.Memory
		full    bool
	}{
		"room":                     {[]redisurl.Memory{{Used: 84 * mb, Limit: 100 * mb}}, false},
		"at the limit":             {[]redisurl.Memory{{Used: 85 * mb, Limit: 100 * mb}}, true},
		"one of three":             {[]redisurl.Memory{{Used: 1, Limit: 100}, {Used: 99, Limit: 100}, {Used: 2, Limit: 100}}, true},
		"no limit":                 {[]redisurl.Memory{{Used: 99 * mb}}, false},
		"a server that tells none": {[]redisurl.Memory{{Addr: "a"}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewMemoryGuard(func(context.Context) ([]redisurl.Memory, error) { return c.masters, nil }, 85, slog.New(slog.DiscardHandler))
			g.look(t.Context())
			if g.Full() != c.full {
				t.Errorf("full is %t", g.Full())
			}
		})
	}
}

func TestTheGuardLooksEveryFewSecondsAndKeepsWhatItKnows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var used, looks atomic.Int64
		var away atomic.Bool
		used.Store(90)
		var log strings.Builder
		g := NewMemoryGuard(func(context.Context) ([]redisurl.Memory, error) {
			looks.Add(1)
			if away.Load() {
				return nil, errors.New("away")
			}
			return []redisurl.Memory{{Addr: "redis:6379", Used: used.Load(), Limit: 100}}, nil
		}, 85, slog.New(slog.NewTextHandler(&log, nil)))
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- g.Run(ctx) }()
		after := func(d time.Duration) bool {
			time.Sleep(d)
			synctest.Wait()
			return g.Full()
		}

		if !after(0) {
			t.Error("it has not looked at once")
		}
		away.Store(true)
		used.Store(10)
		if !after(10 * time.Second) {
			t.Error("it has forgotten what it knew while Redis was away")
		}
		away.Store(false)
		if after(3 * time.Second) {
			t.Error("3 s after there is room again it is still full")
		}
		if n := looks.Load(); n < 5 || n > 10 {
			t.Errorf("%d looks in 13 s", n)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if text := log.String(); strings.Count(text, "refused") != 1 || strings.Count(text, "taken again") != 1 || !strings.Contains(text, "used_bytes=90") {
			t.Errorf("the log:\n%s", text)
		}
	})
}

func TestAFullStoreTakesNoNewTaskAndAnswersForThoseItHas(t *testing.T) {
	t.Parallel()
	tasks, full := &fakeTasks{}, atomic.Bool{}
	h := newServer(t, Config{Tasks: tasks, Idempotency: &fakeIdempotency{}, AllowUnknownTypes: true, Full: full.Load})
	const one = `{"id":"t1","type":"free.form","payload":{}}`
	if w := do(h, "POST", "/v1/tasks", one, "Idempotency-Key", "k1"); w.Code != 202 {
		t.Fatalf("with room: %d %s", w.Code, w.Body)
	}
	full.Store(true)

	for _, r := range [][]string{
		{"POST", "/v1/tasks", `{"type":"free.form","payload":{}}`},
		{"POST", "/v1/tasks", `{"type":"free.form","payload":{}}`, "Idempotency-Key", "k2"},
		{"POST", "/v1/tasks/batch", `{"tasks":[{"type":"free.form","payload":{}}]}`},
	} {
		w := do(h, r[0], r[1], r[2], r[3:]...)
		if p := problemOf(t, w); w.Code != 503 || p.Type != "/problems/unavailable" || w.Header().Get("Retry-After") == "" || !strings.Contains(p.Detail, "full") {
			t.Errorf("%s %s: %d %s", r[1], r[2:], w.Code, w.Body)
		}
	}
	if len(tasks.tasks) != 1 {
		t.Errorf("%d tasks are stored, want the first alone", len(tasks.tasks))
	}
	if w := do(h, "POST", "/v1/tasks", one, "Idempotency-Key", "k1"); w.Code != 202 || w.Header().Get("Idempotent-Replayed") != "true" {
		t.Errorf("the repeat of what is stored: %d %s", w.Code, w.Body)
	}
	if w := do(h, "GET", "/v1/tasks/t1", ""); w.Code != 200 {
		t.Errorf("a look at what is stored: %d %s", w.Code, w.Body)
	}

	full.Store(false)
	if w := do(h, "POST", "/v1/tasks", `{"type":"free.form","payload":{}}`); w.Code != 202 {
		t.Errorf("with room again: %d %s", w.Code, w.Body)
	}
}
