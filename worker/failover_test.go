package worker_test

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/internal/redisurl"
	"github.com/seri-queue/seri/worker"
)

// ears are a hook that hears whether Redis answers with a code.
type ears struct {
	code  string
	heard chan struct{} // closed then
	once  sync.Once
}

func hear(code string) *ears { return &ears{code: code, heard: make(chan struct{})} }

func (e *ears) note(err error) {
	if answer, ok := errors.AsType[redis.Error](err); ok && strings.HasPrefix(answer.Error(), e.code+" ") {
		e.once.Do(func() { close(e.heard) })
	}
}

func (e *ears) DialHook(next redis.DialHook) redis.DialHook { return next }

func (e *ears) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		e.note(err)
		return err
	}
}

func (e *ears) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		for _, cmd := range cmds {
			e.note(cmd.Err())
		}
		return err
	}
}

// must fails the test if an administrator's command fails.
func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// What Redis answers while a failover goes on passes, and nobody has to do anything about it: the task whose outcome meets
// that answer has ended in its first attempt, those that wait behind it run once, and new ones are taken.
func TestAFailoverNeedsNoOperator(t *testing.T) {
	t.Parallel()
	for code, begin := range map[string]func(t *testing.T, e *ears) (w *world, harm func() (end func())){
		"READONLY": func(t *testing.T, e *ears) (*world, func() func()) {
			rdb := redistest.Exclusive(t).Client()
			rdb.AddHook(e)
			w := newWorld(t, rdb)
			return w, func() func() {
				w.must(rdb.ReplicaOf(w.ctx, "127.0.0.1", "1").Err())
				return func() { w.must(rdb.ReplicaOf(w.ctx, "NO", "ONE").Err()) }
			}
		},
		"LOADING": func(t *testing.T, e *ears) (*world, func() func()) {
			server := redistest.Exclusive(t, "--enable-debug-command", "yes", "--rdbcompression", "no")
			rdb := server.Client()
			rdb.AddHook(e)
			w := newWorld(t, rdb)
			return w, func() func() { return load(w, server) }
		},
		"CLUSTERDOWN": func(t *testing.T, e *ears) (*world, func() func()) {
			w := clusterWorld(t, e)
			return w, func() func() {
				node, slot := w.home()
				w.must(node.ClusterDelSlots(w.ctx, slot).Err())
				return func() { w.must(node.ClusterAddSlots(w.ctx, slot).Err()) }
			}
		},
		"MOVED": func(t *testing.T, e *ears) (*world, func() func()) {
			w := clusterWorld(t, e)
			return w, func() func() {
				w.move(1000)
				return func() {}
			}
		},
	} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			e := hear(code)
			w, harm := begin(t, e)
			b := newBlocking("test:block")
			running := put(w, b.task, "")
			w.work(worker.Config{Slots: 1, Lease: 10 * time.Second}, b.handler(), handleAdd())
			receive(w, b.started, "the handler")
			var waiting []string
			for i := range 20 {
				waiting = append(waiting, put(w, add, sum{i, i}).ID)
			}

			end := harm()
			b.release <- "in the end"
			receive(w, e.heard, "the answer "+code)
			end()

			for _, id := range append(waiting, running.ID) {
				if info := w.waitAgain(id); info.State != seri.Succeeded || info.Attempt != 1 || info.Crashes != 0 {
					t.Errorf("task %s is %s after attempt %d and %d crashes", id, info.State, info.Attempt, info.Crashes)
				}
			}
			w.end(put(w, add, sum{1, 1}).ID)
		})
	}
}

// load has the server read its data again, and answer LOADING, until it may end.
func load(w *world, server *redistest.Server) (end func()) {
	w.t.Helper()
	admin := server.Client()
	value := make([]byte, 1<<10)
	for i := range 300 {
		_, _ = rand.Read(value) // never fails
		w.must(admin.Set(w.ctx, fmt.Sprint("filler:", i), hex.EncodeToString(value), 0).Err())
	}
	w.must(admin.ConfigSet(w.ctx, "loading-process-events-interval-bytes", "1024").Err())
	w.must(admin.ConfigSet(w.ctx, "key-load-delay", "50000").Err()) // µs a key
	reloaded := make(chan error, 1)
	reloader := server.Client()
	go func() { reloaded <- reloader.Do(w.ctx, "DEBUG", "RELOAD").Err() }()
	for loading := false; !loading; {
		err := admin.Get(w.ctx, "filler:0").Err()
		loading = err != nil && strings.HasPrefix(err.Error(), "LOADING ")
		if !loading && err != nil {
			w.t.Fatal(err)
		}
	}
	return func() {
		w.t.Helper()
		w.must(admin.ConfigSet(w.ctx, "key-load-delay", "0").Err())
		<-reloaded // the client may have given up waiting for it
	}
}

// clusterWorld is a world on a cluster of its own, whose nodes e listens to.
func clusterWorld(t *testing.T, e *ears) *world {
	t.Helper()
	rdb, err := redisurl.Open(redistest.URL(redistest.ExclusiveCluster(t)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rdb.Close() })
	rdb.(*redis.ClusterClient).OnNewNode(func(node *redis.Client) { node.AddHook(e) })
	return newWorld(t, rdb)
}

// home returns the node that the world's queue is on, and its slot.
func (w *world) home() (node *redis.Client, slot int) {
	w.t.Helper()
	key := keys.Queue(w.queue).Pending()
	at, err := w.rdb.ClusterKeySlot(w.ctx, key).Result()
	w.must(err)
	node, err = w.rdb.(*redis.ClusterClient).MasterForKey(w.ctx, key)
	w.must(err)
	return node, int(at)
}

// move moves the slot of the world's queue to another node, as redis-cli and ElastiCache do: so many keys at once.
func (w *world) move(step int) {
	w.t.Helper()
	from, slot := w.home()
	var mu sync.Mutex
	var nodes []*redis.Client
	w.must(w.rdb.(*redis.ClusterClient).ForEachMaster(w.ctx, func(_ context.Context, node *redis.Client) error {
		mu.Lock()
		defer mu.Unlock()
		if nodes = append(nodes, node); node.Options().Addr == from.Options().Addr { // the first one
			nodes[0], nodes[len(nodes)-1] = nodes[len(nodes)-1], nodes[0]
		}
		return nil
	}))
	id := func(node *redis.Client) string {
		text, err := node.Do(w.ctx, "CLUSTER", "MYID").Text()
		w.must(err)
		return text
	}
	to := nodes[1]
	host, port, err := net.SplitHostPort(to.Options().Addr)
	w.must(err)
	w.must(to.Do(w.ctx, "CLUSTER", "SETSLOT", slot, "IMPORTING", id(from)).Err())
	w.must(from.Do(w.ctx, "CLUSTER", "SETSLOT", slot, "MIGRATING", id(to)).Err())
	for {
		names, err := from.ClusterGetKeysInSlot(w.ctx, slot, step).Result()
		w.must(err)
		if len(names) == 0 {
			break
		}
		command := []any{"MIGRATE", host, port, "", 0, 5000, "REPLACE", "KEYS"}
		for _, name := range names {
			command = append(command, name)
		}
		w.must(from.Do(w.ctx, command...).Err())
	}
	for _, node := range []*redis.Client{to, from, nodes[2]} {
		w.must(node.Do(w.ctx, "CLUSTER", "SETSLOT", slot, "NODE", id(to)).Err())
	}
}

// A cluster gets more nodes while it works: a queue's keys go over in small portions, and its tasks run on.
func TestAQueueMovesToAnotherNodeWhileItsTasksRun(t *testing.T) {
	t.Parallel()
	const n = 1000
	e := hear("TRYAGAIN")
	w := clusterWorld(t, e)
	var mu sync.Mutex
	runs := make(map[int]int)
	quarter, moving := make(chan struct{}), make(chan struct{})
	task := seri.NewTask[int, int]("test:count", seri.MaxRetries(0))
	var tickets []string
	for i := range n {
		tickets = append(tickets, put(w, task, i).ID)
	}
	stop := w.work(worker.Config{Slots: 4, Lease: 10 * time.Second}, task.HandledBy(func(_ context.Context, i int) (int, error) {
		mu.Lock()
		runs[i]++
		total := len(runs)
		mu.Unlock()
		if total == n/4 {
			close(quarter)
		}
		if total >= n/4 {
			<-moving
		}
		return i, nil
	}))

	receive(w, quarter, "a quarter of the tasks")
	close(moving)
	w.move(10)
	receive(w, e.heard, "a call that met the move: without one, nothing is tested")

	for _, id := range tickets {
		if info := w.waitAgain(id); info.State != seri.Succeeded || info.Attempt != 1 || info.Crashes != 0 {
			t.Errorf("task %s is %s after attempt %d and %d crashes", id, info.State, info.Attempt, info.Crashes)
		}
	}
	stop()
	for i, times := range runs {
		if times != 1 {
			t.Errorf("task %d ran %d times", i, times)
		}
	}
}
