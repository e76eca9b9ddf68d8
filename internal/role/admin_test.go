package role

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/client"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/meter"
	"github.com/seri-queue/seri/internal/redistest"
)

// addressIn is a log that passes on the address in the first line with the message.
type addressIn struct {
	message string
	found   chan string
	rest    bytes.Buffer
}

func (a *addressIn) Write(b []byte) (int, error) {
	var line struct{ Msg, Addr string }
	if json.Unmarshal(b, &line) == nil && line.Msg == a.message {
		a.found <- line.Addr
	}
	return a.rest.Write(b)
}

// configured reads settings into a role as its program does.
func configured(t *testing.T, r Role, flags ...string) {
	t.Helper()
	parser, err := kong.New(r)
	if err == nil {
		_, err = parser.Parse(flags)
	}
	if err == nil {
		err = r.Check()
	}
	if err != nil {
		t.Fatal(err)
	}
}

func fetch(t *testing.T, url string) string {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// Every figure that there is can be seen at a process that is all roles, and none that is not declared.
func TestEveryFigureIsServed(t *testing.T) {
	t.Parallel()
	server := redistest.Exclusive(t, "--maxmemory", "100mb")
	rdb := server.Client()
	if err := rdb.HSet(t.Context(), keys.Queue("default").Repairs(), "no_lease", 2).Err(); err != nil { // as a sweep has left it
		t.Fatal(err)
	}
	var dev Dev
	configured(t, &dev, "--redis-url", server.URL(), "--http-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0",
		"--log-level", "info", "--log-format", "json", "--output-dir", t.TempDir())
	ctx, stop := context.WithCancel(context.Background())
	ended, log := make(chan error, 1), &addressIn{message: "metrics are served", found: make(chan string, 1)}
	go func() { ended <- dev.Run(ctx, io.Discard, log) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("%v\n%s", err, &log.rest)
		}
	})
	var addr string
	select {
	case addr = <-log.found:
	case err := <-ended:
		ended <- nil
		t.Fatal(err)
	}

	queue := client.New(rdb, client.Config{})
	m := seri.Message{ID: "t1", Type: "http.request", Queue: "default", Payload: []byte(`{"url":"http://127.0.0.1:1/"}`), Timeout: time.Minute}
	if err := queue.Enqueue(ctx, m); err != nil {
		t.Fatal(err)
	}
	text := ""
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for !strings.Contains(text, `outcome="failed",type="http.request"} 1`) || !strings.Contains(text, `seri_task_seconds_count{type="http.request"} 1`) ||
		!strings.Contains(text, `seri_queue_archived_tasks{queue="default"} 1`) { // which are read one after another
		text = fetch(t, "http://"+addr+"/metrics")
		select {
		case <-again.C:
		case <-t.Context().Done():
			t.Fatal(text)
		}
	}
	text = fetch(t, "http://"+addr+"/metrics") // the one before may have asked Redis before the end of the task
	for _, f := range meter.Families {
		elsewhere := f == meter.LinesShipped || f.By == "relay" // which is told where the log is shipped, and by a role of its own
		if !strings.Contains(text, "\n"+f.Name) && !elsewhere {
			t.Errorf("%s is not told", f.Name)
		}
	}
	for _, line := range []string{
		`seri_tasks_total{outcome="failed",type="http.request"} 1`, `seri_task_seconds_count{type="http.request"} 1`,
		`seri_queue_archived_tasks{queue="default"} 1`, `seri_queue_repairs_total{kind="no_lease",queue="default"} 2`,
		`seri_worker_slots 10`, `role="dev"`,
	} {
		if !strings.Contains(text, line) {
			t.Errorf("%q is missing in\n%s", line, text)
		}
	}
	if other, err := http.Get("http://" + addr + "/v1/queues"); err != nil || other.StatusCode != http.StatusNotFound {
		t.Errorf("the port serves more than metrics: %v, %v", other, err)
	}
}
