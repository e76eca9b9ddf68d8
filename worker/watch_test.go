package worker

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/client"
	"github.com/seri-queue/seri/internal/redistest"
)

// An api that is deployed with SERI_PARTITIONS before the workers are.
func TestPartitionsThatAreDeclaredWhileAWorkerRunsAreComplainedOf(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t)
	lines, log := io.Pipe()
	idle := seri.NewTask[seri.None, seri.None]("test:idle")
	w, err := New(rdb, []seri.Handler{
		idle.HandledBy(func(context.Context, seri.None) (none seri.None, err error) { return none, nil }),
	}, Config{Queues: map[string]int{"images": 1, "video": 1}, Partitions: map[string]int{"video": 4}, Logger: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	if err := w.agree(ctx); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer log.Close()
		w.watch(ctx, time.Millisecond)
	}()

	if err := client.New(rdb, client.Config{Partitions: map[string]int{"images": 8, "video": 4}}).Declare(ctx); err != nil {
		t.Fatal(err)
	}

	line := make([]byte, 1<<10)
	n, err := lines.Read(line)
	for _, part := range []string{"level=ERROR", "partitions are unserved", "queue=images served=1 on_record=8"} {
		if text := string(line[:n]); !strings.Contains(text, part) {
			t.Errorf("the log says %q, %v; want %s", text, err, part)
		}
	}
	stop()
	go io.Copy(io.Discard, lines)
	<-ended
}
