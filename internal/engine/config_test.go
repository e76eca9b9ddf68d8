package engine

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/store"
)

func handlerOf(typ string) seri.Handler {
	return seri.Handler{Type: typ, Run: func(context.Context, []byte) ([]byte, error) { return nil, nil }}
}

func TestTheZeroConfigurationIsReady(t *testing.T) {
	t.Parallel()
	e, err := New(&store.Store{}, Config{Handlers: []seri.Handler{handlerOf("b"), handlerOf("a")}})
	if err != nil {
		t.Fatal(err)
	}
	if e.Slots != 10 || e.Lease != 30*time.Second || e.Grace != 25*time.Second || e.Crashes != 3 || e.Logger != slog.Default() ||
		len(e.Queues) != 1 || e.Queues[seri.DefaultQueue] != 1 || strings.Join(e.types, " ") != "a b" {
		t.Errorf("defaults are %+v, types %q", e.Config, e.types)
	}
	if parts := strings.Split(e.name, ":"); len(parts) != 3 || parts[2] == "" {
		t.Errorf("the worker is named %q, want host:pid:id", e.name)
	}
}

func TestAllFaultsOfAConfigurationAreListedAtOnce(t *testing.T) {
	t.Parallel()
	_, err := New(&store.Store{}, Config{
		Queues: map[string]int{"": 1, "a{b}": 1, "c": 0}, Slots: -1, Lease: time.Millisecond, Grace: -1, Crashes: -1,
		Handlers: []seri.Handler{handlerOf("twice"), handlerOf("twice"), {Type: "hollow"}},
	})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, fault := range []string{
		`names ""`, `names "a{b}"`, `gives "c" the weight 0`, "Slots is -1", "Lease is 1ms", "Grace is -1ns", "Crashes is -1",
		`names "twice" twice`, `a handler "hollow"`,
	} {
		if !strings.Contains(err.Error(), fault) {
			t.Errorf("no word about %q in:\n%v", fault, err)
		}
	}
	if _, err := New(&store.Store{}, Config{}); err == nil || !strings.Contains(err.Error(), "could run nothing") {
		t.Errorf("a worker without handlers: %v", err)
	}
}

func TestWithAFallbackEveryTypeIsTaken(t *testing.T) {
	t.Parallel()
	other := handlerOf("other")
	e, err := New(&store.Store{}, Config{Handlers: []seri.Handler{handlerOf("a")}, Fallback: func(typ string) *seri.Handler {
		if typ == "other" {
			return &other
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if e.types != nil {
		t.Errorf("takes %q only", e.types)
	}
	for typ, want := range map[string]*seri.Handler{"a": e.handlers["a"].handler, "other": &other, "unknown": nil} {
		if got, counts := e.handler(typ); got != want || counts != e.meters.Type(typ) {
			t.Errorf("%s is run by %v, want %v, and counted by %v", typ, got, want, counts)
		}
	}
}
