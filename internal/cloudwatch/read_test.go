package cloudwatch

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/seri-queue/seri/internal/cloudwatch/cloudwatchtest"
)

func TestExactlyTheLinesOfATaskAreRead(t *testing.T) {
	t.Parallel()
	service := &cloudwatchtest.Service{}
	s := New(service, Config{Group: "g", Stream: "s"})
	begun := time.Now()
	for _, id := range []string{"a", `we"ird\`, "Ünï"} {
		for i := range 100 {
			fmt.Fprintf(s, `{"time":"2026-11-27T18:00:00Z","msg":"line %d","task_id":%q,"task_id":"a name of the handler's"}`+"\n", i, id)
			fmt.Fprintln(s, `{"time":"2026-11-27T18:00:00Z","msg":"mentions a, Ünï","task_id":"ab"}`)
			fmt.Fprintln(s, `a: no JSON`)
		}
	}
	s.drain(t.Context(), nil)
	span := Span{"g", "s", begun, time.Now()}
	for _, id := range []string{"a", `we"ird\`, "Ünï"} {
		lines, more, err := Read(t.Context(), service, span, id, 1000)
		if err != nil || more || len(lines) != 100 || lines[99].Message != "line 99" {
			t.Errorf("%s: %d lines, %t, %v", id, len(lines), more, err)
		}
	}
	if lines, more, err := Read(t.Context(), service, span, "a", 7); err != nil || !more || len(lines) != 7 {
		t.Errorf("of a hundred lines: %d, %t, %v", len(lines), more, err)
	}
	for name, where := range map[string]Span{
		"another time":   {"g", "s", begun.Add(-2 * time.Hour), begun.Add(-time.Hour)},
		"another stream": {"g", "other", begun, time.Now()},
		"another group":  {"other", "s", begun, time.Now()},
	} {
		if lines, more, err := Read(t.Context(), service, where, "a", 7); err != nil || more || len(lines) != 0 {
			t.Errorf("%s: %d lines, %t, %v", name, len(lines), more, err)
		}
	}
	for _, wrong := range service.Violations() {
		t.Error(wrong)
	}
	service.Fault = func(context.Context, string) error { return throttled }
	if _, _, err := Read(t.Context(), service, span, "a", 7); !errors.Is(err, throttled) {
		t.Errorf("the error is %v", err)
	}
}
