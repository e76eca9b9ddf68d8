// Package examples_test holds what the manual shows, compiled and, where it needs no more than Redis, run.
package examples_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/beat"
	"github.com/seri-queue/seri/client"
	"github.com/seri-queue/seri/examples/email"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/lock"
	"github.com/seri-queue/seri/seritest"
	"github.com/seri-queue/seri/worker"
)

// A task with a policy of its own, whose handler reports progress and looks at why its context has ended.

var Import = seri.NewTask[ImportArgs, ImportResult]("orders:import",
	seri.Queue("imports"),
	seri.Timeout(10*time.Minute),
	seri.Retry(seri.Exponential(time.Second, 5*time.Minute)))

type ImportArgs struct {
	Rows []string `json:"rows"`
}

type ImportResult struct {
	Imported int `json:"imported"`
}

func importOrders(ctx context.Context, args ImportArgs) (ImportResult, error) {
	for i, row := range args.Rows {
		seri.Progress(ctx, int64(i), int64(len(args.Rows)), row) // cheap: call it as often as you like
		if err := importRow(ctx, row); err != nil {
			return ImportResult{}, fmt.Errorf("row %d: %w", i+1, err)
		}
	}
	seri.Log(ctx).Info("imported orders", "rows", len(args.Rows))
	return ImportResult{Imported: len(args.Rows)}, nil
}

func importRow(ctx context.Context, row string) error {
	if row == "" {
		return seri.Permanent(errors.New("the row is empty"))
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx) // ErrRevoked, ErrTimeout, ErrLeaseLost or ErrStopping
	default:
		return nil
	}
}

// What a handler can know about its attempt.
func describe(ctx context.Context) string {
	e, ok := seri.ExecutionFrom(ctx)
	if !ok {
		return "not in a handler"
	}
	return fmt.Sprintf("task %s of type %s, attempt %d, token %d, trace %s", e.ID, e.Type, e.Attempt, e.Token, e.Headers["trace"])
}

// The fencing token, handed on to a table that refuses lower ones.

var errOvertaken = errors.New("a newer attempt has written the report")

func saveReport(ctx context.Context, db *sql.DB, id string, body []byte) error {
	token, _ := seri.TokenFrom(ctx)
	done, err := db.ExecContext(ctx, `
		INSERT INTO reports (id, body, token) VALUES ($1, $2, $3)
		ON CONFLICT (id) DO UPDATE SET body = excluded.body, token = excluded.token
		WHERE reports.token <= excluded.token`, id, body, token)
	if err != nil {
		return fmt.Errorf("save report %s: %w", id, err)
	}
	if n, err := done.RowsAffected(); err == nil && n == 0 {
		return errOvertaken // this attempt is a zombie; whatever it returns now is refused by Redis too
	}
	return nil
}

func TestProgressAndErrorsOfAHandler(t *testing.T) {
	t.Parallel()
	var reports []seri.ProgressInfo

	got, err := seritest.Run(t, Import, importOrders, ImportArgs{Rows: []string{"a", "b"}}, seritest.Progress(&reports))

	if err != nil || got.Imported != 2 || len(reports) != 2 {
		t.Errorf("got %+v, %v, progress %v", got, err, reports)
	}
	if _, err := seritest.Run(t, Import, importOrders, ImportArgs{Rows: []string{""}}); !seri.IsPermanent(err) {
		t.Errorf("an empty row: got %v", err)
	}
}

func TestAHandlerKnowsItsAttempt(t *testing.T) {
	t.Parallel()
	task := seri.NewTask[string, string]("guide:describe")
	handler := func(ctx context.Context, _ string) (string, error) { return describe(ctx), nil }

	got, err := seritest.Run(t, task, handler, "",
		seritest.With(seri.ID("t1"), seri.Header("trace", "abc")), seritest.Attempt(2), seritest.Token(7))

	if want := "task t1 of type guide:describe, attempt 2, token 7, trace abc"; err != nil || got != want {
		t.Errorf("got %q, %v", got, err)
	}
}

// What a team's own tests look like.

type provider struct{}

func (provider) Send(_ context.Context, key string, _ int64, _ string) (string, error) {
	return "mail-" + key, nil
}

func greet(ctx context.Context, queue seri.Enqueuer, user int64) (string, error) {
	ticket, err := email.Welcome.Enqueue(ctx, queue, email.WelcomeArgs{UserID: user})
	if err != nil {
		return "", err
	}
	receipt, err := ticket.Wait(ctx)
	return receipt.MessageID, err
}

func TestGreet(t *testing.T) {
	t.Parallel()
	recorder := seritest.NewRecorder(t)
	mailer := &email.Mailer{Provider: provider{}}
	recorder.Handle(email.Welcome.HandledBy(mailer.SendWelcome)) // any function of the type does

	id, err := greet(t.Context(), recorder, 42)

	if err != nil || !strings.HasPrefix(id, "mail-") {
		t.Errorf("got %q, %v", id, err)
	}
	if sent := seritest.Args(t, recorder, email.Welcome); len(sent) != 1 || sent[0].UserID != 42 {
		t.Errorf("enqueued %v", sent)
	}
}

// Terms of a single call, and what may come back.
func enqueueWithTerms(ctx context.Context, queue seri.Enqueuer) error {
	_, err := email.Welcome.Enqueue(ctx, queue, email.WelcomeArgs{UserID: 42},
		seri.Queue("mail"),
		seri.ID("welcome-42"),
		seri.Delay(time.Minute),
		seri.Expires(time.Now().Add(time.Hour)),
		seri.Owner("user:42"),
		seri.Header("trace", "abc"))
	switch {
	case errors.Is(err, seri.ErrConflict): // the task welcome-42 is in the queue mail already
		return nil
	case errors.Is(err, seri.ErrDuplicate): // only with UniqueFor: an equal task is there
		return nil
	}
	return err
}

func TestTermsOfOneCall(t *testing.T) {
	t.Parallel()
	recorder := seritest.NewRecorder(t)

	err := errors.Join(enqueueWithTerms(t.Context(), recorder), enqueueWithTerms(t.Context(), recorder))

	if err != nil || len(recorder.Messages()) != 1 || recorder.Messages()[0].Queue != "mail" {
		t.Errorf("got %v, %v", err, recorder.Messages())
	}
}

// A client, with what a program asks of it.
func newClient() (*client.Client, error) {
	rdb, err := client.OpenRedis("redis://localhost:6379")
	if err != nil {
		return nil, err
	}
	return client.New(rdb, client.Config{}), nil
}

func greetAll(ctx context.Context, queue *client.Client, users []int64) error {
	var messages []seri.Message
	for _, user := range users {
		m, err := email.Welcome.Message(email.WelcomeArgs{UserID: user})
		if err != nil {
			return err
		}
		messages = append(messages, m)
	}
	return errors.Join(queue.EnqueueBatch(ctx, messages)...) // an answer for each task; nil: stored
}

func failedTasks(ctx context.Context, queue *client.Client) ([]string, error) {
	var failed []string
	for info, err := range queue.Tasks(ctx, "default", seri.Failed) {
		if err != nil {
			return nil, err
		}
		failed = append(failed, info.ID+": "+info.Error)
	}
	return failed, nil
}

func revoke(ctx context.Context, queue *client.Client, id string) error {
	info, err := queue.Revoke(ctx, "default", id)
	switch {
	case errors.Is(err, seri.ErrNotRevocable):
		return fmt.Errorf("too late: the task has %s", info.State)
	case err != nil:
		return err
	case info.State == seri.Active:
		return nil // its handler has been told; the task is revoked when the handler returns
	}
	return nil
}

func TestWhatAClientCanDo(t *testing.T) {
	t.Parallel()
	queue := client.New(redistest.New(t), client.Config{})
	if err := greetAll(t.Context(), queue, []int64{1, 2, 3}); err != nil {
		t.Fatal(err)
	}
	info, err := queue.Queue(t.Context(), "default")
	if err != nil || info.Pending != 3 {
		t.Fatalf("got %+v, %v", info, err)
	}
	var ids []string
	for info, err := range queue.Tasks(t.Context(), "default", seri.Pending) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, info.ID)
	}

	first, second := revoke(t.Context(), queue, ids[0]), revoke(t.Context(), queue, ids[0])
	failed, err := failedTasks(t.Context(), queue)

	if len(ids) != 3 || first != nil || second == nil || err != nil || len(failed) != 0 {
		t.Errorf("got %v, %v, %v, %v, %v", ids, first, second, failed, err)
	}
}

// Handlers written for asynq, run by Seri.

func asynqMux() *asynq.ServeMux {
	mux := asynq.NewServeMux()
	mux.HandleFunc("image:resize", func(ctx context.Context, task *asynq.Task) error {
		if len(task.Payload()) == 0 {
			return fmt.Errorf("no payload: %w", asynq.SkipRetry)
		}
		return nil
	})
	return mux
}

func newAsynqWorker(rdb redis.UniversalClient, mailer *email.Mailer) (*worker.Worker, error) {
	handlers := []seri.Handler{
		email.Welcome.HandledBy(mailer.SendWelcome), // what has moved already
	}
	return worker.New(rdb, handlers, worker.Config{Asynq: asynqMux()}) // all other types
}

func TestAsynqHandlersAndClientsGoOnWorking(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t)
	queue := client.New(rdb, client.Config{})
	stock := asynq.NewClientFromRedisClient(rdb)
	info, err := stock.Enqueue(asynq.NewTask("image:resize", []byte(`{}`)), asynq.Retention(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	w, err := newAsynqWorker(rdb, &email.Mailer{Provider: provider{}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- w.Run(ctx) }()

	ended, err := queue.Wait(t.Context(), info.Queue, info.ID)
	if err != nil || ended.State != seri.Succeeded {
		t.Errorf("the stock client's task: %+v, %v", ended, err)
	}
	if id, err := greet(t.Context(), queue, 42); err != nil || !strings.HasPrefix(id, "mail-") {
		t.Errorf("Seri's task: %q, %v", id, err)
	}
	if kept, err := asynq.NewInspectorFromRedisClient(rdb).GetTaskInfo(info.Queue, info.ID); err != nil || kept.State != asynq.TaskStateCompleted {
		t.Errorf("in asynq's Inspector: %+v, %v", kept, err)
	}

	stop()
	if err := <-stopped; err != nil {
		t.Errorf("worker ended with %v", err)
	}
}

// Schedules and locks in a program of one's own.

func newBeat(rdb redis.UniversalClient) (*beat.Beat, error) {
	greetEverybody, err := email.Welcome.Message(email.WelcomeArgs{UserID: 1})
	if err != nil {
		return nil, err
	}
	nightly, err := beat.NewSchedule("nightly-welcome", "30 2 * * *", nil, greetEverybody) // nil: UTC
	if err != nil {
		return nil, err
	}
	return beat.New(rdb, []beat.Schedule{nightly}, beat.Config{})
}

func rebuildIndex(ctx context.Context, rdb redis.UniversalClient, write func(ctx context.Context, token uint64) error) error {
	return lock.New(rdb).Do(ctx, "rebuild-index", 15*time.Second, func(ctx context.Context, token uint64) error {
		return write(ctx, token) // what is written to refuses a token lower than the highest that it has seen
	})
}

func TestSchedulesAndLocks(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t)
	if _, err := newBeat(rdb); err != nil {
		t.Error(err)
	}
	var tokens []uint64
	for range 3 {
		err := rebuildIndex(t.Context(), rdb, func(_ context.Context, token uint64) error {
			tokens = append(tokens, token)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if !slices.IsSorted(tokens) || tokens[0] == tokens[2] {
		t.Errorf("tokens do not rise: %v", tokens)
	}
}

// The rest is compiled only: it needs a server that a test does not have.
var _ = []any{newClient, saveReport}
