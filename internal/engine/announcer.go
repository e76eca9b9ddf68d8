package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"reflect"
	"time"

	"github.com/seri-queue/seri/internal/pause"
	"github.com/seri-queue/seri/internal/store"
	"github.com/seri-queue/seri/internal/typeschema"
	"github.com/seri-queue/seri/internal/wire"
)

// announceEvery is how often a worker shows itself; it is taken for gone after three times that.
const announceEvery = 5 * time.Second

// announcer shows this process to asynq's readers, and to the API which types it can run.
type announcer struct {
	engine   *Engine
	registry *registry
	types    []store.Type
	logger   *slog.Logger
}

func newAnnouncer(e *Engine, r *registry, logger *slog.Logger) (*announcer, error) {
	a := &announcer{engine: e, registry: r, logger: logger}
	queues := make([]string, len(e.queues))
	for i, q := range e.queues {
		queues[i] = string(q)
	}
	for _, h := range e.Handlers {
		t := store.Type{Name: h.Type, Queues: queues, Terms: store.TermsOf(&h)}
		var err error
		for _, schema := range []struct {
			of reflect.Type
			to *[]byte
		}{{h.Args, (*[]byte)(&t.Args)}, {h.Result, (*[]byte)(&t.Result)}} {
			if schema.of == nil {
				continue
			}
			encoded, failed := typeschema.For(schema.of)
			*schema.to, err = encoded, errors.Join(err, failed)
		}
		if err != nil {
			return nil, fmt.Errorf("schema of task %s: %w", h.Type, err)
		}
		a.types = append(a.types, t)
	}
	return a, nil
}

func (a *announcer) run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := a.announce(ctx); err != nil && ctx.Err() == nil {
			a.logger.WarnContext(ctx, "worker not announced", "error", err)
		}
		pause.For(ctx, announceEvery*3/4+rand.N(announceEvery/4)) // workers that started together drift apart
	}
	farewell, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := a.engine.store.Withdraw(farewell, a.engine.name); err != nil {
		a.logger.WarnContext(ctx, "worker not withdrawn", "error", err)
	}
	return nil
}

func (a *announcer) announce(ctx context.Context) error {
	e := a.engine
	w := store.Worker{
		Name: e.name,
		Server: wire.ServerInfo{
			Host: e.host, PID: os.Getpid(), ID: e.id, Concurrency: e.Slots - e.Stuck(), Queues: e.Queues, StrictPriority: e.Strict,
			Status: "active", Started: e.started, Fenced: true,
		},
		Types: a.types,
	}
	for _, attempts := range a.registry.byQueue() {
		for _, at := range attempts {
			m := &at.lease.Message
			info := wire.WorkerInfo{
				Host: e.host, PID: os.Getpid(), ServerID: e.id, TaskID: m.ID, TaskType: m.Type, Payload: m.Payload,
				Queue: string(at.lease.Queue), Started: time.UnixMicro(int64(at.lease.Token)), // the token is Redis' clock, or close to it
			}
			// As if it had started with its lease: when its slot began is the slot's to know.
			info.Deadline = (&attempt{lease: at.lease, started: info.Started}).limit()
			w.Running = append(w.Running, info)
		}
	}
	w.Server.ActiveWorkers = len(w.Running)
	return e.store.Announce(ctx, w, 3*announceEvery)
}
