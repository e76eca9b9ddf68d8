package telemetry

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/seri-queue/seri/internal/pause"
)

const (
	exportTimeout = 10 * time.Second // of one batch, retries included, as OpenTelemetry has it by default
	retryFirst    = 500 * time.Millisecond
)

// client sends spans by OTLP over HTTP. OpenTelemetry's own exporter would bring gRPC with it, which it does not use for that,
// and 2.6 MB into each program.
type client struct {
	url     string
	headers http.Header
	gzip    bool
	timeout time.Duration
	http    *http.Client
}

// variable returns that of the variables for spans, or else the one for everything.
func variable(name string) (value, called string) {
	for _, called := range []string{"OTEL_EXPORTER_OTLP_TRACES_" + name, "OTEL_EXPORTER_OTLP_" + name} {
		if value := os.Getenv(called); value != "" {
			return value, called
		}
	}
	return "", "OTEL_EXPORTER_OTLP_" + name
}

// newClient reads the variables. The error lists everything that is wrong with them.
func newClient() (*client, error) {
	c := &client{url: "http://localhost:4318/v1/traces", headers: make(http.Header), timeout: exportTimeout, http: &http.Client{}}
	var errs []error
	endpoint, called := variable("ENDPOINT")
	if endpoint != "" {
		u, err := url.Parse(endpoint)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			errs = append(errs, fmt.Errorf("%s is %q, must be a URL such as http://localhost:4318", called, endpoint))
		} else if c.url = endpoint; !strings.Contains(called, "TRACES") {
			c.url = u.JoinPath("v1", "traces").String()
		}
	}
	if protocol, called := variable("PROTOCOL"); protocol != "" && protocol != "http/protobuf" {
		errs = append(errs, fmt.Errorf("%s is %q, must be http/protobuf: collectors take it at port 4318", called, protocol))
	}
	if headers, called := variable("HEADERS"); headers != "" {
		for pair := range strings.SplitSeq(headers, ",") {
			name, value, ok := strings.Cut(pair, "=")
			plain, err := url.PathUnescape(strings.TrimSpace(value))
			if !ok || err != nil || strings.TrimSpace(name) == "" {
				errs = append(errs, fmt.Errorf("%s must be name=value,… with values percent-encoded", called)) // and not what it is: it may hold a key
				continue
			}
			c.headers.Set(strings.TrimSpace(name), plain)
		}
	}
	if timeout, called := variable("TIMEOUT"); timeout != "" {
		ms, err := strconv.Atoi(timeout)
		if err != nil || ms < 1 {
			errs = append(errs, fmt.Errorf("%s is %q, must be milliseconds from 1 on", called, timeout))
		}
		c.timeout = time.Duration(ms) * time.Millisecond
	}
	switch compression, called := variable("COMPRESSION"); compression {
	case "", "none":
	case "gzip":
		c.gzip = true
	default:
		errs = append(errs, fmt.Errorf("%s is %q, must be gzip or none", called, compression))
	}
	return c, errors.Join(errs...)
}

// Start and Stop implement [otlptrace.Client]: there is nothing to start, and little to stop.
func (c *client) Start(context.Context) error { return nil }

func (c *client) Stop(context.Context) error {
	c.http.CloseIdleConnections()
	return nil
}

// UploadTraces implements [otlptrace.Client]. What passes is tried again within the timeout.
func (c *client) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	body, err := c.encode(spans)
	if err != nil {
		return fmt.Errorf("encode spans: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	for wait := retryFirst; ; wait *= 2 {
		after, err := c.post(ctx, body)
		if err == nil {
			return nil
		}
		if after == 0 || !pause.For(ctx, cmp.Or(max(after, 0), wait/2+rand.N(wait/2))) {
			return err
		}
	}
}

// encode writes an ExportTraceServiceRequest, of which the spans are the only field.
func (c *client) encode(spans []*tracepb.ResourceSpans) ([]byte, error) {
	var request []byte
	for _, s := range spans {
		encoded, err := proto.Marshal(s)
		if err != nil {
			return nil, err
		}
		request = protowire.AppendBytes(protowire.AppendTag(request, 1, protowire.BytesType), encoded)
	}
	if !c.gzip {
		return request, nil
	}
	var zipped bytes.Buffer
	writer := gzip.NewWriter(&zipped)
	if _, err := writer.Write(request); err != nil {
		return nil, err
	}
	if err := writer.Close(); err != nil {
		return nil, err
	}
	return zipped.Bytes(), nil
}

// post makes one call. again says when it may be tried again if it failed: 0: never; negative: after a while.
func (c *client) post(ctx context.Context, body []byte) (again time.Duration, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	request.Header = c.headers.Clone()
	request.Header.Set("Content-Type", "application/x-protobuf")
	if c.gzip {
		request.Header.Set("Content-Encoding", "gzip")
	}
	response, err := c.http.Do(request)
	if err != nil {
		return -1, err
	}
	defer response.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(response.Body, 1<<10)) // for the error, if it is one
	switch response.StatusCode {
	case http.StatusOK:
		return 0, nil
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		again = -1
		if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && seconds > 0 {
			again = time.Duration(seconds) * time.Second
		}
	}
	return again, fmt.Errorf("the collector answers %s: %.200s", response.Status, said)
}
