package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/events"
	"github.com/seri-queue/seri/internal/gateway"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/internal/token"
)

var (
	idleConnections = flag.Int("idle-connections", 5000, "how many WebSockets BenchmarkIdleWebSocket opens")
	idleTime        = flag.Duration("idle-time", 25*time.Second, "how long they are idle until they are measured")
)

// idleServer is the environment variable by which this program, run again, becomes a gateway alone: the URL of its Redis.
const idleServer = "SERI_TEST_IDLE_SERVER"

func TestMain(m *testing.M) {
	if url := os.Getenv(idleServer); url != "" {
		if err := serveIdle(url); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// anyTask is a snapshot in which each task that is asked for is there.
type anyTask struct{}

func (anyTask) Snapshots(_ context.Context, filters []events.Filter) ([]events.Snapshot, error) {
	shown := make([]events.Snapshot, len(filters))
	for i, f := range filters {
		shown[i].Tasks = []seri.Info{{ID: f.Task, Type: "t", Queue: "q", State: seri.Active, Seq: 1}}
	}
	return shown, nil
}

var idleSecret = "k:" + strings.Repeat("Zm9yIHRl", 8)

// footprint is what a gateway tells of its own memory, in bytes.
type footprint struct {
	Resident, Heap, Stacks, Goroutines int
}

// serveIdle is a gateway with all that belongs to one, until its standard input ends. It says where it listens.
func serveIdle(url string) error {
	options, err := redis.ParseURL(url)
	if err != nil {
		return err
	}
	ring, err := token.Parse(idleSecret)
	if err != nil {
		return err
	}
	logger := slog.New(slog.DiscardHandler)
	hub, err := events.New(redis.NewClient(options), anyTask{}, events.Config{Logger: logger})
	if err != nil {
		return err
	}
	g, err := gateway.New(hub, gateway.Config{Tokens: ring, Ping: 10 * time.Second, Logger: logger})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/v1/ws", g.WebSocket())
	mux.HandleFunc("/footprint", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("collect") != "" {
			debug.FreeOSMemory()
		}
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		json.NewEncoder(w).Encode(footprint{resident(), int(stats.HeapAlloc), int(stats.StackInuse), runtime.NumGoroutine()})
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go hub.Run(context.Background())
	go g.Run(context.Background())
	<-g.Opened()
	go http.Serve(listener, mux)
	fmt.Println(listener.Addr())
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// resident is what this process has in memory, in bytes.
func resident() int {
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		var kB int
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &kB); err == nil {
			return kB << 10
		}
	}
	return 0
}

// BenchmarkIdleWebSocket is what a connection takes of a gateway's memory that has subscribed to its task, with a token, and
// hears nothing but pings. The gateway is a process of its own, and the clients are another.
func BenchmarkIdleWebSocket(b *testing.B) {
	if resident() == 0 {
		b.Skip("there is no /proc here to tell what is resident")
	}
	rdb := redistest.New(b)
	if err := rdb.SAdd(b.Context(), keys.Queues, "q").Err(); err != nil {
		b.Fatal(err)
	}
	server := exec.CommandContext(b.Context(), os.Args[0])
	server.Env = append(os.Environ(), idleServer+"="+redistest.URL(rdb))
	server.Stderr = os.Stderr
	input, err := server.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	output, err := server.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := server.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { input.Close(); server.Wait() })
	var addr string
	if _, err := fmt.Fscanln(output, &addr); err != nil {
		b.Fatal(err)
	}
	ring, err := token.Parse(idleSecret)
	if err != nil {
		b.Fatal(err)
	}
	for _, conn := range openIdle(b, addr, ring, min(200, *idleConnections)) { // so that what is there once is there
		conn.Close()
	}
	b.ResetTimer()
	for range b.N {
		n := *idleConnections
		before := askFootprint(b, addr, true)
		conns := openIdle(b, addr, ring, n)
		<-time.After(*idleTime)
		after := askFootprint(b, addr, false)
		collected := askFootprint(b, addr, true)
		for _, conn := range conns {
			conn.Close()
		}
		b.ReportMetric(float64(after.Resident-before.Resident)/float64(n), "resident-B/conn")
		b.ReportMetric(float64(collected.Resident-before.Resident)/float64(n), "collected-B/conn")
		b.ReportMetric(float64(collected.Heap-before.Heap)/float64(n), "heap-B/conn")
		b.ReportMetric(float64(collected.Stacks-before.Stacks)/float64(n), "stack-B/conn")
		b.ReportMetric(float64(collected.Goroutines-before.Goroutines)/float64(n), "goroutines/conn")
	}
}

func askFootprint(b *testing.B, addr string, collect bool) (f footprint) {
	b.Helper()
	url := "http://" + addr + "/footprint"
	if collect {
		url += "?collect=1"
	}
	answer, err := http.Get(url)
	if err != nil {
		b.Fatal(err)
	}
	defer answer.Body.Close()
	if err := json.NewDecoder(answer.Body).Decode(&f); err != nil {
		b.Fatal(err)
	}
	return f
}

// openIdle opens connections that each watch a task, and answer pings.
func openIdle(b *testing.B, addr string, ring *token.Ring, n int) []*websocket.Conn {
	b.Helper()
	conns := make([]*websocket.Conn, n)
	errs := make([]error, n)
	var wg sync.WaitGroup
	next := make(chan int)
	for range 16 {
		wg.Go(func() {
			for i := range next {
				conns[i], errs[i] = openOne(b.Context(), addr, ring, i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		b.Fatal(err)
	}
	return conns
}

func openOne(ctx context.Context, addr string, ring *token.Ring, i int) (*websocket.Conn, error) {
	task := fmt.Sprintf("Q5YHRWTHQ6E6TDYKR5UJ%06d", i)
	text, _, err := ring.Mint(token.Pass{Issuer: "key", Scope: token.Scope{Tasks: []string{task}}}, time.Hour, time.Now())
	if err != nil {
		return nil, err
	}
	dialer := websocket.Dialer{Subprotocols: []string{"seri.v1", "seri.token." + text}, ReadBufferSize: 512, WriteBufferSize: 256}
	conn, _, err := dialer.DialContext(ctx, "ws://"+addr+"/v1/ws", http.Header{
		"Origin": {"http://" + addr}, "User-Agent": {"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"},
	})
	if err != nil {
		return nil, err
	}
	err = conn.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, `{"op":"subscribe","subscriptions":[{"id":%q,"task":%q}]}`, task, task))
	for range 2 { // what was subscribed, and the snapshot
		if err == nil {
			_, _, err = conn.ReadMessage()
		}
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	go func() {
		for {
			if _, _, err := conn.NextReader(); err != nil {
				return
			}
		}
	}()
	return conn, nil
}
