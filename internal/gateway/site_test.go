package gateway_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/events"
	"github.com/seri-queue/seri/internal/gateway"
	"github.com/seri-queue/seri/internal/gateway/gatewaytest"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redistest"
)

const patience = 30 * time.Second

// site is a gateway behind an HTTP server, on a Redis with one queue, "q", in which the task "a" exists.
type site struct {
	t    *testing.T
	rdb  redis.UniversalClient
	url  string
	stop func() // ends the gateway and waits for it
}

type snapshotter struct{}

func (snapshotter) Snapshots(_ context.Context, filters []events.Filter) ([]events.Snapshot, error) {
	shown := make([]events.Snapshot, len(filters))
	for i, f := range filters {
		switch f.Task {
		case "", "a":
			shown[i].Tasks = []seri.Info{{ID: "a", Type: "t", Queue: "q", State: seri.Pending, Seq: 1, Payload: []byte(`"p"`)}}
		case "broken":
			return nil, errors.New("the connection was refused")
		}
	}
	return shown, nil
}

func newSite(t *testing.T, cfg gateway.Config, hubCfg events.Config) *site {
	t.Helper()
	return newSiteOn(t, redistest.New(t), cfg, hubCfg)
}

func newSiteOn(t *testing.T, rdb redis.UniversalClient, cfg gateway.Config, hubCfg events.Config) *site {
	t.Helper()
	return newSiteAs(t, rdb, cfg, hubCfg, nature{})
}

// nature is how a site may differ from others. The zero value is that of most.
type nature struct {
	now   func() time.Time                                                 // nil: time.Now
	shows events.Snapshotter                                               // nil: a snapshotter
	serve func(rdb redis.UniversalClient, g *gateway.Gateway) *http.Server // nil: nothing but the two endpoints
}

func serveLive(_ redis.UniversalClient, g *gateway.Gateway) *http.Server {
	mux := http.NewServeMux()
	mux.Handle("/v1/events", g.SSE())
	mux.Handle("/v1/ws", g.WebSocket())
	return &http.Server{Handler: mux}
}

func newSiteAs(t *testing.T, rdb redis.UniversalClient, cfg gateway.Config, hubCfg events.Config, is nature) *site {
	t.Helper()
	if is.now == nil {
		is.now = time.Now
	}
	if is.serve == nil {
		is.serve = serveLive
	}
	s := &site{t: t, rdb: rdb}
	if err := s.rdb.SAdd(t.Context(), keys.Queues, "q").Err(); err != nil {
		t.Fatal(err)
	}
	hubCfg.Logger, cfg.Logger = slog.New(slog.DiscardHandler), slog.New(slog.DiscardHandler)
	hub, err := events.New(s.rdb, cmp.Or[events.Snapshotter](is.shows, snapshotter{}), hubCfg)
	if err != nil {
		t.Fatal(err)
	}
	g, err := gateway.New(hub, cfg)
	if err != nil {
		t.Fatal(err)
	}
	g.SetClock(is.now)
	server := httptest.NewUnstartedServer(nil)
	server.Config = is.serve(rdb, g)
	server.Start()
	s.url = server.URL

	ctx, cancel := context.WithCancel(context.Background())
	hubDone, gatewayDone := make(chan struct{}), make(chan struct{})
	hubCtx, cancelHub := context.WithCancel(context.Background())
	go func() { defer close(hubDone); hub.Run(hubCtx) }()
	go func() { defer close(gatewayDone); g.Run(ctx) }()
	s.stop = func() { cancel(); <-gatewayDone }
	t.Cleanup(func() {
		s.stop()
		cancelHub()
		<-hubDone
		server.Close()
	})
	<-g.Opened()
	return s
}

func errorsAsStatus(err error) (*gatewaytest.StatusError, bool) {
	return errors.AsType[*gatewaytest.StatusError](err)
}

func (s *site) emit(task string, seqs ...int) {
	s.t.Helper()
	s.emitAs("progress", task, seqs...)
}

func (s *site) emitAs(kind, task string, seqs ...int) {
	s.t.Helper()
	var b []string
	for _, seq := range seqs {
		b = append(b, fmt.Sprintf(`{"kind":%q,"task":%q,"type":"t","seq":%d,"at":1763800000123,"owner":"user:1","data":{"done":1,"total":3}}`, kind, task, seq))
	}
	err := s.rdb.XAdd(s.t.Context(), &redis.XAddArgs{
		Stream: keys.Queue("q").Events(), Values: []string{"e", "[" + strings.Join(b, ",") + "]"},
	}).Err()
	if err != nil {
		s.t.Fatal(err)
	}
}

// open opens a stream by either transport.
func (s *site) open(transport, query string) (*gatewaytest.Stream, error) {
	return s.openWith(transport, query, nil)
}

func (s *site) openWith(transport, query string, header http.Header) (*gatewaytest.Stream, error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	s.t.Cleanup(cancel)
	var stream *gatewaytest.Stream
	var err error
	if transport == "SSE" {
		stream, err = gatewaytest.SSE(ctx, s.url+"/v1/events?"+query, header)
	} else {
		stream, err = gatewaytest.WebSocket(ctx, s.url+"/v1/ws?"+query, header)
	}
	if err == nil {
		s.t.Cleanup(func() { stream.Close() })
	}
	return stream, err
}

func (s *site) mustOpen(transport, query string) *gatewaytest.Stream {
	s.t.Helper()
	stream, err := s.open(transport, query)
	if err != nil {
		s.t.Fatal(err)
	}
	return stream
}

// narrow is a dialer of connections that hold little of what is not read.
func narrow(protocols ...string) websocket.Dialer {
	return websocket.Dialer{Subprotocols: protocols, NetDialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err == nil {
			err = conn.(*net.TCPConn).SetReadBuffer(4 << 10)
		}
		return conn, err
	}}
}

// seqs are the numbers from one on, to another.
func seqs(from, to int) []int {
	all := make([]int, 0, to-from+1)
	for n := from; n <= to; n++ {
		all = append(all, n)
	}
	return all
}

// read returns n frames, each as its type without "dev.seri." and its sequence, and the last cursor.
func read(t *testing.T, stream *gatewaytest.Stream, n int) (frames []string, cursor string) {
	t.Helper()
	for range n {
		ce, err := stream.Next()
		if err != nil {
			t.Fatalf("after %v: %v", frames, err)
		}
		frames = append(frames, strings.TrimPrefix(ce.Type, "dev.seri.")+ce.Sequence)
		cursor = ce.Cursor
	}
	return frames, cursor
}

func expect(t *testing.T, got []string, want ...string) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// each runs a test for both transports.
func each(t *testing.T, test func(t *testing.T, transport string)) {
	t.Parallel()
	for _, transport := range []string{"SSE", "WebSocket"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			test(t, transport)
		})
	}
}
