package role

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/client"
	"github.com/seri-queue/seri/internal/cloudwatch/cloudwatchtest"
	"github.com/seri-queue/seri/internal/redistest"
)

// A worker that ships its log by itself: it says that it has started as soon as it has, and at the end everything is there.
func TestALogIsShippedToCloudWatch(t *testing.T) {
	url := cloudwatchtest.Moto(t)
	for variable, value := range map[string]string{
		"AWS_ENDPOINT_URL": url, "AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(variable, value)
	}
	var worker Worker
	rdb := redistest.New(t)
	configured(t, &worker, "--redis-url", redistest.URL(rdb), "--log-sink", "cloudwatch", "--log-group", "/seri/test", "--output-dir", t.TempDir())
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	aside := &safeBuffer{}
	go func() { ended <- worker.Run(ctx, io.Discard, aside) }()

	client := cloudwatchtest.Client(url)
	messages := func() (found []string) {
		out, err := client.FilterLogEvents(t.Context(), &cloudwatchlogs.FilterLogEventsInput{LogGroupName: aws.String("/seri/test")})
		if err != nil {
			return nil // the group is not made yet
		}
		for _, e := range out.Events {
			var line struct{ Msg string }
			if err := json.Unmarshal([]byte(*e.Message), &line); err != nil || !strings.HasPrefix(*e.LogStreamName, "worker/") {
				t.Errorf("stream %s: %q", *e.LogStreamName, *e.Message)
			}
			found = append(found, line.Msg)
		}
		return found
	}
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for !strings.Contains(strings.Join(messages(), "\n"), "worker started") {
		select {
		case <-again.C:
		case err := <-ended:
			t.Fatal(err)
		}
	}
	ownLog(t, rdb)
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if all := messages(); all[len(all)-1] != "worker stopped" {
		t.Errorf("the log ends with %q", all)
	}
	if aside.String() != "" {
		t.Errorf("beside the log it says %s", aside)
	}
}

// ownLog has a task fail, and reads what the log says about it: the worker has kept with the task where that is.
func ownLog(t *testing.T, rdb redis.UniversalClient) {
	t.Helper()
	queue := client.New(rdb, client.Config{})
	for _, id := range []string{"other", "t1"} {
		m := seri.Message{ID: id, Type: "http.request", Queue: "default", Payload: []byte(`{"url":"http://127.0.0.1:1/"}`), Timeout: time.Minute}
		if err := queue.Enqueue(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		if _, err := queue.Wait(t.Context(), "default", id); err != nil {
			t.Fatal(err)
		}
	}
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for logs := new(reader); ; {
		log, err := queue.Log(t.Context(), "default", "t1")
		if err != nil {
			t.Fatal(err)
		}
		var lines []client.LogLine
		for _, place := range log.Places {
			if lines, _, err = logs.read(t.Context(), place, "t1", time.Now(), 100); err != nil {
				t.Fatal(err)
			}
		}
		if len(lines) == 1 && lines[0].Message == "task ended" && lines[0].Task == "t1" && lines[0].Attempt == 1 && len(log.Lines) == 0 {
			return
		}
		select {
		case <-again.C:
		case <-t.Context().Done():
			t.Fatalf("found %+v, of %+v", lines, log)
		}
	}
}

// safeBuffer is a buffer that is read while others write to it.
type safeBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func TestWhereTheLogGoesIsChecked(t *testing.T) {
	t.Parallel()
	for sentence, c := range map[string]struct {
		log  Log
		says string
	}{
		"a place that is none":      {Log{LogLevel: "info", LogFormat: "json", LogSink: "syslog"}, "--log-sink (SERI_LOG_SINK) is \"syslog\", must be stderr or cloudwatch"},
		"text to CloudWatch":        {Log{LogLevel: "info", LogFormat: "text", LogSink: "cloudwatch"}, "--log-format"},
		"a stream that none can be": {Log{LogLevel: "info", LogFormat: "json", LogStream: "a:b"}, "--log-stream"},
		"a group that none can be":  {Log{LogLevel: "info", LogFormat: "json", LogGroup: "a b"}, "--log-group"},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			var f faults
			c.log.check(&f)
			if err := f.err(); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("says %v, want %q", err, c.says)
			}
		})
	}
}
