package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/seri-queue/seri/internal/cloudwatch"
	"github.com/seri-queue/seri/internal/emf"
	"github.com/seri-queue/seri/internal/pause"
	"github.com/seri-queue/seri/internal/telemetry"
	"github.com/seri-queue/seri/metrics"
)

// look is one way to look at a worker.
type look struct {
	name string
	// on begins it. off ends it, and says what is worth knowing about a run of so many tasks.
	on func(ctx context.Context) (w watch, off ending, err error)
}

// ending ends a look.
type ending func(tasks int) (note string)

var nothing = look{"nothing", func(context.Context) (watch, ending, error) {
	return watch{}, func(int) string { return "" }, nil
}}

// looks are what is measured. Whoever is at the other end (Prometheus, the collector, CloudWatch) is in this process, but for
// the reader of the standard output, so the processor time of both ends counts.
var looks = []look{
	{"metrics: `/metrics` read and EMF lines written, each once a second", figures},
	{"traces, all kept", func(ctx context.Context) (watch, ending, error) { return spans(ctx, 1) }},
	{"traces, one in ten kept", func(ctx context.Context) (watch, ending, error) { return spans(ctx, 0.1) }},
	{"a line a task to the standard output", standardOutput},
	{"a line a task to CloudWatch directly", func(ctx context.Context) (watch, ending, error) { return direct(ctx, takes) }},
	{"the same while CloudWatch throttles every call", func(ctx context.Context) (watch, ending, error) { return direct(ctx, throttles) }},
}

// figures tells them sixty times as often as the programs do by default.
func figures(ctx context.Context) (watch, ending, error) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return watch{}, nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	var (
		telling sync.WaitGroup
		told    atomic.Int64
		faults  atomic.Int64
		hangUp  = func() {}
	)
	tell := func(sources ...metrics.Source) {
		url, end, err := serve(metrics.Handler(sources...))
		if err != nil {
			faults.Add(1)
			return
		}
		hangUp = end
		lines := emf.New(null, "worker", sources...)
		telling.Go(func() {
			for pause.For(ctx, time.Second) {
				err := errors.Join(scrape(ctx, url), lines.Tell(ctx, time.Now()))
				switch {
				case err == nil:
					told.Add(1)
				case ctx.Err() == nil:
					faults.Add(1)
				}
			}
		})
	}
	return watch{figures: tell}, func(int) string {
		stop()
		telling.Wait()
		hangUp()
		null.Close()
		if n := faults.Load(); n > 0 {
			return fmt.Sprintf("FAILED %d times", n)
		}
		return fmt.Sprintf("told %d times in a run", told.Load())
	}, nil
}

// scrape does what Prometheus does.
func scrape(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	return nil
}

// spansOfATask are enqueue, wait and run.
const spansOfATask = 3

// spans has both ends of the queue make spans as the programs do, of a share of the traces.
func spans(ctx context.Context, share float64) (watch, ending, error) {
	var come atomic.Int64
	url, hangUp, err := serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the sender has hung up
		}
		come.Add(spansIn(body))
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	if err != nil {
		return watch{}, nil, err
	}
	for name, value := range map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": fmt.Sprint(share),
	} {
		if err := os.Setenv(name, value); err != nil {
			return watch{}, nil, err
		}
	}
	provider, end, err := telemetry.Open(ctx, "worker", "bench", slog.New(slog.DiscardHandler))
	if err != nil {
		return watch{}, nil, err
	}
	return watch{spans: provider}, func(tasks int) string {
		end()
		hangUp()
		return fmt.Sprintf("%.0f %% of the spans have arrived", 100*float64(come.Load())/(spansOfATask*share*float64(tasks)))
	}, nil
}

// spansIn counts the spans of an ExportTraceServiceRequest: resources, in them scopes, in them spans.
func spansIn(body []byte) (n int64) {
	each(body, 1, func(resource []byte) {
		each(resource, 2, func(scope []byte) {
			each(scope, 2, func([]byte) { n++ })
		})
	})
	return n
}

// each calls do with each message that a message has in one field.
func each(message []byte, field protowire.Number, do func([]byte)) {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return
		}
		m := protowire.ConsumeFieldValue(number, kind, message[n:])
		if m < 0 {
			return
		}
		if number == field && kind == protowire.BytesType {
			inner, _ := protowire.ConsumeBytes(message[n:])
			do(inner)
		}
		message = message[n+m:]
	}
}

// standardOutput writes lines into a pipe that another process reads, as a container's log driver does.
func standardOutput(ctx context.Context) (watch, ending, error) {
	driver := exec.CommandContext(ctx, "cat") // and what it writes goes nowhere
	pipe, err := driver.StdinPipe()
	if err == nil {
		err = driver.Start()
	}
	if err != nil {
		return watch{}, nil, fmt.Errorf("a reader of the standard output: %w", err)
	}
	lines := &counted{to: pipe}
	return watch{lines: slog.New(slog.NewJSONHandler(lines, nil))}, func(tasks int) string {
		pipe.Close()
		_ = driver.Wait()
		return fmt.Sprintf("%d lines for %d tasks, %d not written", lines.n.Load(), tasks, lines.failed.Load())
	}, nil
}

// counted counts lines on their way.
type counted struct {
	to        io.Writer
	n, failed atomic.Int64
}

func (c *counted) Write(b []byte) (int, error) {
	n, err := c.to.Write(b)
	c.n.Add(1)
	if err != nil {
		c.failed.Add(1)
	}
	return n, err
}

// direct ships lines with the SDK's client, signed and encoded, to a server that answers them all alike.
func direct(ctx context.Context, answer http.HandlerFunc) (watch, ending, error) {
	url, hangUp, err := serve(answer)
	if err != nil {
		return watch{}, nil, err
	}
	sink := cloudwatch.New(cloudwatchlogs.New(cloudwatchlogs.Options{
		Region: "eu-central-1", BaseEndpoint: aws.String(url), Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""),
	}), cloudwatch.Config{Group: "/seri/bench", Stream: "worker", Flush: time.Second})
	lines := &counted{to: sink}
	shipping, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- sink.Run(shipping) }()
	return watch{lines: slog.New(slog.NewJSONHandler(lines, nil))}, func(tasks int) string {
		dropped := sink.Dropped()
		stop()
		<-ended
		hangUp()
		return fmt.Sprintf("%d lines for %d tasks, %d dropped by then", lines.n.Load(), tasks, dropped)
	}, nil
}

func takes(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	_, _ = io.WriteString(w, "{}")
}

func throttles(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(http.StatusBadRequest)
	_, _ = io.WriteString(w, `{"__type":"ThrottlingException","message":"Rate exceeded"}`)
}

// serve answers on a port of the loopback interface until it is ended.
func serve(handler http.Handler) (url string, end func(), err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_ = server.Serve(listener) // until it is closed
	}()
	return "http://" + listener.Addr().String(), func() {
		server.Close()
		<-gone
	}, nil
}
