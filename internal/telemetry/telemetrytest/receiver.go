// Package telemetrytest has a collector of OpenTelemetry for tests: it takes spans by OTLP over HTTP, and keeps them.
package telemetrytest

import (
	"compress/gzip"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// Span is what tests look at.
type Span struct {
	Service, Name, Trace, ID, Parent string
	Kind                             string
	Begin, End                       uint64 // Unix nanoseconds
	Attributes                       map[string]string
	Error                            string
}

// Receiver is a collector.
type Receiver struct {
	URL string // for OTEL_EXPORTER_OTLP_ENDPOINT

	mu    sync.Mutex
	spans []Span
	wrong []int // statuses to answer the next calls with
	asked []http.Header
}

// Run starts a collector, until the test ends.
func Run(t testing.TB) *Receiver {
	t.Helper()
	r := &Receiver{}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	r.URL = server.URL
	return r
}

// Spans returns those that have come.
func (r *Receiver) Spans() []Span {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.spans)
}

// Refuse has the next calls answered with these statuses.
func (r *Receiver) Refuse(statuses ...int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wrong = statuses
}

// Asked returns the headers of the calls that have come.
func (r *Receiver) Asked() []http.Header {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.asked)
}

// refused answers a call that is to be refused.
func (r *Receiver) refused(w http.ResponseWriter, request *http.Request) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, request.Header)
	if len(r.wrong) == 0 {
		return false
	}
	http.Error(w, "not now", r.wrong[0])
	r.wrong = r.wrong[1:]
	return true
}

// ServeHTTP implements [http.Handler].
func (r *Receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	if request.Method != http.MethodPost || request.URL.Path != "/v1/traces" || request.Header.Get("Content-Type") != "application/x-protobuf" {
		http.Error(w, "POST /v1/traces takes application/x-protobuf", http.StatusBadRequest)
		return
	}
	if r.refused(w, request) {
		return
	}
	body := io.Reader(request.Body)
	if request.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		body = unzipped
	}
	content, err := io.ReadAll(body)
	var export []*tracepb.ResourceSpans
	if err == nil {
		export, err = decode(content)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.keep(export)
	w.Header().Set("Content-Type", "application/x-protobuf") // of an answer whose fields all have their defaults
}

// decode reads an ExportTraceServiceRequest: spans in its field 1, and nothing else.
func decode(content []byte) (spans []*tracepb.ResourceSpans, err error) {
	for len(content) > 0 {
		number, kind, n := protowire.ConsumeTag(content)
		if n < 0 || number != 1 || kind != protowire.BytesType {
			return nil, errors.New("not a request of spans")
		}
		encoded, m := protowire.ConsumeBytes(content[n:])
		if m < 0 {
			return nil, protowire.ParseError(m)
		}
		content = content[n+m:]
		s := &tracepb.ResourceSpans{}
		if err := proto.Unmarshal(encoded, s); err != nil {
			return nil, err
		}
		spans = append(spans, s)
	}
	return spans, nil
}

func (r *Receiver) keep(export []*tracepb.ResourceSpans) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, resource := range export {
		service := ""
		for _, a := range resource.GetResource().GetAttributes() {
			if a.GetKey() == "service.name" {
				service = a.GetValue().GetStringValue()
			}
		}
		for _, scope := range resource.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				span := Span{
					Service: service, Name: s.GetName(), Kind: s.GetKind().String(), Trace: hex.EncodeToString(s.GetTraceId()),
					ID: hex.EncodeToString(s.GetSpanId()), Parent: hex.EncodeToString(s.GetParentSpanId()),
					Begin: s.GetStartTimeUnixNano(), End: s.GetEndTimeUnixNano(), Attributes: make(map[string]string), Error: s.GetStatus().GetMessage(),
				}
				for _, a := range s.GetAttributes() {
					span.Attributes[a.GetKey()] = a.GetValue().GetStringValue()
				}
				r.spans = append(r.spans, span)
			}
		}
	}
}
