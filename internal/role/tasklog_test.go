package role

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/client"
	"github.com/seri-queue/seri/internal/ecs"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/worker"
)

// Not parallel: the agent says by the environment where it is.
func TestWhereTasksOwnLogsAreKept(t *testing.T) {
	agent := func(driver string) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"LogDriver":%q,"LogOptions":{"awslogs-group":"g","awslogs-stream":"s","awslogs-region":"r"}}`, driver)
		}))
		t.Cleanup(server.Close)
		return server.URL
	}
	awslogs, other := agent("awslogs"), agent("fluentd")
	shipped := Log{LogFormat: "json", LogSink: "cloudwatch", LogGroup: "G", LogStream: "S", region: "R"}
	for sentence, c := range map[string]struct {
		setting string
		log     Log
		uri     string
		want    string // the stream, "redis" or "off"; or what the error says
	}{
		"outside of AWS":                    {"auto", Log{LogFormat: "json"}, "", "redis"},
		"in ECS":                            {"auto", Log{LogFormat: "json"}, awslogs, "r g s"},
		"in ECS, as asked for":              {"cloudwatch", Log{LogFormat: "json"}, awslogs, "r g s"},
		"in ECS, with another driver":       {"auto", Log{LogFormat: "json"}, other, "redis"},
		"in ECS, as text":                   {"auto", Log{LogFormat: "text"}, awslogs, "redis"},
		"in ECS, and not there":             {"redis", Log{LogFormat: "json"}, awslogs, "redis"},
		"where the worker ships by itself":  {"auto", shipped, "", "R G S"},
		"nowhere":                           {"off", shipped, awslogs, "off"},
		"in CloudWatch, which is not there": {"cloudwatch", Log{LogFormat: "json"}, "", "this is not a container of ECS"},
		"in CloudWatch, by another driver":  {"cloudwatch", Log{LogFormat: "json"}, other, ecs.ErrNoStream.Error()},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Setenv(ecs.MetadataVariable, c.uri)
			var config worker.Config
			err := (&OwnLogs{TaskLog: c.setting}).keep(t.Context(), &c.log, &config, slog.New(slog.DiscardHandler))
			got := "redis"
			switch {
			case err != nil:
				got = err.Error()
			case config.LogStream != nil:
				got = config.LogStream.Region + " " + config.LogStream.Group + " " + config.LogStream.Stream
			case config.LogBytes < 0:
				got = "off"
			}
			if !strings.HasSuffix(got, c.want) && !strings.Contains(got, c.want+" ") {
				t.Errorf("kept in %s, want %s", got, c.want)
			}
		})
	}
	var f faults
	(&OwnLogs{TaskLog: "there"}).check(&f)
	if err := f.err(); err == nil || !strings.Contains(err.Error(), "--task-log (SERI_TASK_LOG) is \"there\", must be") {
		t.Errorf("says %v", err)
	}
}

// An api, as it is: who talks to it over a WebSocket follows what a task logs.
func TestALogIsFollowedAtTheAPI(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t)
	var api API
	configured(t, &api, "--redis-url", redistest.URL(rdb), "--insecure-dev", "--http-addr", "127.0.0.1:0", "--http-drain", "0s")
	ctx, stop := context.WithCancel(t.Context())
	log, ended := &addressIn{message: "api started", found: make(chan string, 1)}, make(chan error, 1)
	go func() { ended <- api.Run(ctx, io.Discard, log) }()
	addr := <-log.found
	m, err := seri.NewMessage("http.request", []byte(`{}`), seri.ID("t1"))
	if err != nil {
		t.Fatal(err)
	}
	if err := client.New(rdb, client.Config{}).Enqueue(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	q := keys.Queue("default")
	write := func(message string) { // as a worker does
		line := fmt.Sprintf("{\"time\":%q,\"level\":\"INFO\",\"msg\":%q,\"attempt\":1,\"token\":%d}\n", time.Now().Format(time.RFC3339Nano), message, time.Now().Add(time.Minute).UnixMicro())
		if err := rdb.Append(t.Context(), q.Log("t1"), line).Err(); err != nil {
			t.Fatal(err)
		}
	}
	write("one")

	dialer := websocket.Dialer{Subprotocols: []string{"seri.v1"}}
	conn, _, err := dialer.DialContext(t.Context(), "ws://"+addr+"/v1/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.WriteMessage(websocket.TextMessage, []byte(`{"op":"subscribe","subscriptions":[{"id":"L","task":"t1","log":true}]}`)); err != nil {
		t.Fatal(err)
	}
	var heard []string
	for !slices.Contains(heard, "two") {
		var frame struct {
			Type string
			Data struct{ Lines []client.LogLine }
		}
		if err := conn.ReadJSON(&frame); err != nil {
			t.Fatalf("%v, after %q", err, heard)
		}
		for _, l := range frame.Data.Lines {
			heard = append(heard, l.Message)
		}
		if len(heard) == 1 {
			write("two")
		}
	}
	if !slices.Equal(heard, []string{"one", "two"}) {
		t.Errorf("heard %q", heard)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
