package role

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/seri-queue/seri/internal/ecs"
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
