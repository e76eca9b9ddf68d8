package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/seri-queue/seri/bench/load"
)

// args is the payload as it is: it is JSON already.
type args struct {
	payload json.RawMessage
}

var _ river.JobArgs = args{}

// Kind is the type of every measured job.
func (args) Kind() string { return "bench" }

// MarshalJSON keeps the payload.
func (a args) MarshalJSON() ([]byte, error) { return a.payload, nil }

// UnmarshalJSON keeps the payload.
func (a *args) UnmarshalJSON(payload []byte) error {
	a.payload = append(a.payload[:0], payload...)
	return nil
}

type system struct {
	pool   *pgxpool.Pool
	insert *river.Client[pgx.Tx] // which works on no queue
}

// open connects, and makes River's tables if they are not there.
func open(ctx context.Context, spec load.Spec) (load.System, error) {
	config, err := pgxpool.ParseConfig(spec.URL)
	if err != nil {
		return nil, err
	}
	config.MaxConns = 30 // more do not help it on a few cores
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Logger: logger()})
	if err != nil {
		return nil, err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return nil, fmt.Errorf("make River's tables: %w", err)
	}
	insert, err := river.NewClient(riverpgxv5.New(pool), &river.Config{Logger: logger()})
	if err != nil {
		return nil, err
	}
	return &system{pool, insert}, nil
}

func options(t load.Task) *river.InsertOpts {
	return &river.InsertOpts{Queue: t.Queue, ScheduledAt: t.Due}
}

// Enqueue is part of [load.System].
func (s *system) Enqueue(ctx context.Context, t load.Task) error {
	_, err := s.insert.Insert(ctx, args{t.Payload}, options(t))
	return err
}

// EnqueueMany is part of [load.System]. It uses PostgreSQL's COPY.
func (s *system) EnqueueMany(ctx context.Context, tasks []load.Task) error {
	params := make([]river.InsertManyParams, len(tasks))
	for i, t := range tasks {
		params[i] = river.InsertManyParams{Args: args{t.Payload}, InsertOpts: options(t)}
	}
	_, err := s.insert.InsertManyFast(ctx, params)
	return err
}

// jobs runs what is measured.
type jobs struct {
	river.WorkerDefaults[args]
	handle load.Handle
}

// Work is part of [river.Worker].
func (j *jobs) Work(ctx context.Context, job *river.Job[args]) error {
	if result := j.handle(ctx, job.EncodedArgs); result != nil {
		return river.RecordOutput(ctx, json.RawMessage(result))
	}
	return nil
}

// Work is part of [load.System].
func (s *system) Work(ctx context.Context, w load.Work, handle load.Handle) error {
	workers := river.NewWorkers()
	river.AddWorker(workers, &jobs{handle: handle})
	queues := make(map[string]river.QueueConfig)
	for _, q := range load.QueueNames(w.Queues) {
		queues[q] = river.QueueConfig{MaxWorkers: max(w.Slots/max(w.Queues, 1), 1)}
	}
	config := &river.Config{Queues: queues, Workers: workers, Logger: logger()}
	if w.Poll > 0 { // the tuned setting: River's own lower bound
		config.FetchCooldown, config.FetchPollInterval = time.Millisecond, time.Millisecond
	}
	client, err := river.NewClient(riverpgxv5.New(s.pool), config)
	if err != nil {
		return err
	}
	if err := client.Start(ctx); err != nil {
		return err
	}
	<-ctx.Done()
	<-client.Stopped()
	return nil
}
