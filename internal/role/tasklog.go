package role

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"

	"github.com/seri-queue/seri/client"
	"github.com/seri-queue/seri/internal/api"
	"github.com/seri-queue/seri/internal/cloudwatch"
	"github.com/seri-queue/seri/internal/ecs"
	"github.com/seri-queue/seri/internal/gateway"
	"github.com/seri-queue/seri/worker"
)

// OwnLogs is the setting of where tasks' own logs are kept.
type OwnLogs struct {
	TaskLog string `env:"SERI_TASK_LOG" default:"auto" placeholder:"WHERE" help:"Where tasks' own logs are kept: redis; cloudwatch, which has them already where the worker's log goes there; off; or auto, which is cloudwatch in ECS and with --log-sink=cloudwatch, and redis elsewhere."`
}

var ownLogs = []string{"auto", "redis", "cloudwatch", "off"}

func (o *OwnLogs) check(f *faults) {
	if !slices.Contains(ownLogs, o.TaskLog) {
		f.add("task-log", fmt.Sprintf("is %q, must be auto, redis, cloudwatch or off", o.TaskLog))
	}
}

// keep sets in config where tasks' own logs are kept, of a worker with the given log.
func (o *OwnLogs) keep(ctx context.Context, log *Log, config *worker.Config, logger *slog.Logger) error {
	if o.TaskLog == "redis" || o.TaskLog == "off" {
		if o.TaskLog == "off" {
			config.LogBytes = -1
		}
		return nil
	}
	if log.LogSink == "cloudwatch" {
		config.LogStream = &worker.LogStream{Region: log.region, Group: log.LogGroup, Stream: log.LogStream}
		return nil
	}
	uri := os.Getenv(ecs.MetadataVariable)
	if uri == "" {
		if o.TaskLog == "cloudwatch" {
			return fmt.Errorf("--task-log (SERI_TASK_LOG) is cloudwatch, but the log does not go there: this is not a container of ECS (no %s), and --log-sink is not cloudwatch", ecs.MetadataVariable)
		}
		return nil
	}
	stream, err := ecs.LogStream(ctx, uri)
	switch {
	case err == nil && log.LogFormat == "text":
		err = errors.New("--log-format is text, in which nobody finds a task's lines")
	case err == nil:
		config.LogStream = &worker.LogStream{Region: stream.Region, Group: stream.Group, Stream: stream.Stream}
		return nil
	}
	if o.TaskLog == "cloudwatch" {
		return fmt.Errorf("--task-log (SERI_TASK_LOG) is cloudwatch: %w", err)
	}
	logger.WarnContext(ctx, "tasks' own logs are kept in redis: the stream of this container's log is not known", "error", err)
	return nil
}

// logsOf opens tasks' own logs in the store, to follow them live.
func logsOf(queues *client.Client) func(ctx context.Context, queue, task string) (gateway.LogTail, error) {
	return func(ctx context.Context, queue, task string) (gateway.LogTail, error) {
		if queue == "" {
			info, err := queues.Find(ctx, task)
			if err != nil {
				return nil, err
			}
			queue = info.Queue
		}
		tail, err := queues.TailLog(ctx, queue, task)
		if err != nil {
			return nil, err // and not a tail that is none
		}
		return tail, nil
	}
}

// reader reads tasks' logs from CloudWatch, with a client for each region that is made when it is asked for first.
type reader struct {
	mu      sync.Mutex
	clients map[string]*cloudwatchlogs.Client
}

func (r *reader) client(ctx context.Context, region string) (*cloudwatchlogs.Client, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.clients[region]; c != nil {
		return c, nil
	}
	c, err := cloudwatch.Open(ctx, region)
	if err == nil {
		if r.clients == nil {
			r.clients = make(map[string]*cloudwatchlogs.Client)
		}
		r.clients[region] = c
	}
	return c, err
}

var _ api.LogReader = new(reader).read

func (r *reader) read(ctx context.Context, from client.LogPlace, task string, until time.Time, limit int) ([]client.LogLine, bool, error) {
	c, err := r.client(ctx, from.Region)
	if err != nil {
		return nil, false, err
	}
	return cloudwatch.Read(ctx, c, cloudwatch.Span{Group: from.Group, Stream: from.Stream, From: from.From, To: until}, task, limit)
}
