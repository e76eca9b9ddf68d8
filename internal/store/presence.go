package store

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redisfault"
	"github.com/seri-queue/seri/internal/wire"
)

// Worker is what a worker process tells about itself: to asynq's readers, and to the API which types it runs.
type Worker struct {
	Name    string // "host:pid:id"
	Server  wire.ServerInfo
	Running []wire.WorkerInfo
	Types   []Type
}

// Type is a type of task that some worker can run.
type Type struct {
	Name   string          `json:"name"`
	Args   json.RawMessage `json:"args,omitempty"`   // JSON Schema of the payload; absent: any
	Result json.RawMessage `json:"result,omitempty"` // JSON Schema of the result; absent: any
	Queues []string        `json:"queues"`           // from which that worker takes it
	Terms  Terms           `json:"terms"`
}

// Terms are the terms of a type's tasks, unless a producer sets others.
type Terms struct {
	Queue      string        `json:"queue"`
	MaxRetries int           `json:"max_retries"`
	Timeout    time.Duration `json:"timeout"`    // nanoseconds in JSON
	Retention  time.Duration `json:"retention"`  // nanoseconds in JSON
	UniqueFor  time.Duration `json:"unique_for"` // nanoseconds in JSON
}

var defaultTerms = Terms{
	Queue: seri.DefaultQueue, MaxRetries: seri.DefaultMaxRetries, Timeout: seri.DefaultTimeout, Retention: seri.DefaultRetention,
}

// Message returns a message with these terms; with the defaults if a worker of an earlier version has published none.
func (t Terms) Message() seri.Message {
	if t.Queue == "" {
		t = defaultTerms
	}
	return seri.Message{Queue: t.Queue, MaxRetries: t.MaxRetries, Timeout: t.Timeout, Retention: t.Retention, UniqueFor: t.UniqueFor}
}

// TermsOf returns the terms of a handler's type.
func TermsOf(h *seri.Handler) Terms {
	if h.Terms == nil {
		return defaultTerms
	}
	m := h.Terms
	return Terms{Queue: m.Queue, MaxRetries: m.MaxRetries, Timeout: m.Timeout, Retention: m.Retention, UniqueFor: m.UniqueFor}
}

var (
	//go:embed announce.lua
	announceSource string
	//go:embed enlist.lua
	enlistSource string

	announce = draining("announce", announceSource)
	enlist   = draining("enlist", enlistSource)
)

// Announce publishes w for ttl, in whole seconds, also in a full Redis. The keys lie in different slots, so it is not one
// step; each is right by itself.
func (s *Store) Announce(ctx context.Context, w Worker, ttl time.Duration) error {
	types, err := json.Marshal(w.Types)
	if err != nil {
		return fmt.Errorf("announce worker %s: encode types: %w", w.Name, err)
	}
	life := int64(ttl / time.Second)
	server, running := keys.Server(w.Name), keys.Running(w.Name)
	tasks := []any{life, w.Server.Encode()}
	for _, r := range w.Running {
		tasks = append(tasks, r.TaskID, r.Encode())
	}
	for _, err := range []error{
		s.runner.run(ctx, announce, []string{server, running}, tasks...).Err(),
		s.runner.run(ctx, enlist, []string{keys.Servers}, life, server).Err(),
		s.runner.run(ctx, enlist, []string{keys.Workers}, life, running).Err(),
		s.runner.run(ctx, enlist, []string{keys.Types, keys.TypesOf(w.Name)}, life, w.Name, types).Err(),
	} {
		if err != nil {
			return fmt.Errorf("announce worker %s: %w", w.Name, redisfault.Mark(err))
		}
	}
	return nil
}

// Withdraw removes what [Store.Announce] has published under name.
func (s *Store) Withdraw(ctx context.Context, name string) error {
	pipe := s.rdb.Pipeline()
	pipe.ZRem(ctx, keys.Servers, keys.Server(name))
	pipe.ZRem(ctx, keys.Workers, keys.Running(name))
	pipe.ZRem(ctx, keys.Types, name)
	for _, key := range []string{keys.Server(name), keys.Running(name), keys.TypesOf(name)} {
		pipe.Del(ctx, key)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("withdraw worker %s: %w", name, redisfault.Mark(err))
	}
	return nil
}

// Types returns what each live worker has published, by worker. Who lives is judged by Redis' clock, since the others are
// struck from the list.
func (s *Store) Types(ctx context.Context) (map[string][]Type, error) {
	now, err := s.rdb.Time(ctx).Result()
	if err != nil {
		return nil, fmt.Errorf("list types: %w", redisfault.Mark(err))
	}
	if err := s.rdb.ZRemRangeByScore(ctx, keys.Types, "-inf", "("+strconv.FormatInt(now.Unix(), 10)).Err(); err != nil {
		return nil, fmt.Errorf("list types: %w", redisfault.Mark(err))
	}
	workers, err := s.rdb.ZRange(ctx, keys.Types, 0, -1).Result()
	if err != nil {
		return nil, fmt.Errorf("list types: %w", redisfault.Mark(err))
	}
	if len(workers) == 0 {
		return nil, nil
	}
	names := make([]string, len(workers))
	for i, w := range workers {
		names[i] = keys.TypesOf(w)
	}
	values, err := s.rdb.MGet(ctx, names...).Result()
	if err != nil {
		return nil, fmt.Errorf("list types: %w", redisfault.Mark(err))
	}
	published := make(map[string][]Type, len(workers))
	for i, v := range values {
		text, ok := v.(string)
		if !ok {
			continue // gone since
		}
		var types []Type
		if err := json.Unmarshal([]byte(text), &types); err != nil {
			return nil, fmt.Errorf("types of worker %s: %w", workers[i], err)
		}
		published[workers[i]] = types
	}
	return published, nil
}
