package cloudwatch

import (
	"fmt"
	"testing"
	"time"

	"github.com/seri-queue/seri/internal/cloudwatch/cloudwatchtest"
)

// Over the wire, signed and encoded by the SDK: what was logged comes back, in order and nothing else.
func TestWhatIsShippedCanBeReadBackOverTheWire(t *testing.T) {
	t.Parallel()
	client := cloudwatchtest.Client(cloudwatchtest.Moto(t))
	begun := time.Now()
	aside := &notes{}
	s := New(client, Config{Group: "/seri/test", Stream: "worker/1", Wait: 50 * time.Millisecond, Flush: 30 * time.Second, Aside: aside})
	during(t, s, func() {
		for i := range 300 {
			fmt.Fprintf(s, `{"time":"2026-11-27T18:00:00Z","msg":"line %d <&> \"ä\"","task_id":"task-%d","token":%d}`+"\n", i, i%3, i)
		}
	})
	if s.Dropped() > 0 || aside.String() != "" {
		t.Errorf("%d dropped: %s", s.Dropped(), aside)
	}
	for task := range 3 {
		lines, more, err := Read(t.Context(), client, Span{"/seri/test", "worker/1", begun, time.Now()}, fmt.Sprint("task-", task), 1000)
		if err != nil || more || len(lines) != 100 {
			t.Fatalf("%d lines, %t, %v", len(lines), more, err)
		}
		for i, line := range lines {
			if want := fmt.Sprintf("line %d <&> \"ä\"", 3*i+task); line.Message != want || line.Token != uint64(3*i+task) {
				t.Fatalf("line %d is %+v, want %s", i, line, want)
			}
		}
	}
}
