package events

import (
	"encoding/json"
	"testing"

	"github.com/seri-queue/seri/internal/wire"
)

func TestFramesAboutNoEventHaveDifferentIDs(t *testing.T) {
	t.Parallel()
	s := &Subscription{queue: "q"}
	note := func() (Frame, error) { return Note(wire.TypeSubscribed, "", wire.Subscribed{}) }
	dropped := func() (Frame, error) { return droppedFrame(1, "q@1-0:0") }
	seen := make(map[string]bool)

	for range 20 {
		for kind, frame := range map[string]func() (Frame, error){wire.TypeAlive: s.Alive, wire.TypeSubscribed: note, wire.TypeDropped: dropped} {
			f, err := frame()
			var ce wire.CloudEvent
			if wrong := json.Unmarshal(f.JSON, &ce); wrong != nil {
				t.Fatal(wrong)
			}
			if err != nil || ce.Type != kind || ce.ID == "" || ce.Cursor != f.Cursor || seen[ce.ID] {
				t.Errorf("got %s, %v", f.JSON, err)
			}
			seen[ce.ID] = true
		}
	}
}
