package gateway

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/seri-queue/seri/internal/consumers"
	"github.com/seri-queue/seri/internal/events"
	"github.com/seri-queue/seri/internal/token"
)

// TestEveryEndIsDocumented holds both documents against every code and reason with which a WebSocket is closed.
func TestEveryEndIsDocumented(t *testing.T) {
	t.Parallel()
	g, err := New(nil, Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	manual, err := os.ReadFile("../../docs/events.md")
	if err != nil {
		t.Fatal(err)
	}
	ends := []error{
		&events.SlowError{Cursor: "q@1-0:0"}, errStopping, events.ErrStopped, errUnexpected, token.ErrExpired, errIdle, errRate,
		consumers.ErrTaken, errUnacknowledged,
		errors.New("something of Redis'"),
	}
	for code := range brokenReasons {
		ends = append(ends, &brokenError{code, "something"})
	}

	told := make(map[int]bool)
	for _, end := range ends {
		code, reason := g.farewell(end)
		word, _, _ := strings.Cut(strings.TrimPrefix(reason, "reason="), "&")
		told[code] = true
		if !strings.HasPrefix(reason, "reason=") || word == "" || len(reason) > reasonLimit {
			t.Errorf("%v: the reason is %q", end, reason)
		}
		if said := fmt.Sprintf("close %d, `reason=%s", code, word); !strings.Contains(string(manual), said) {
			t.Errorf("docs/events.md does not say %s", said)
		}
		if said := fmt.Sprintf("- %d `reason=%s", code, word); !strings.Contains(string(AsyncAPI), said) {
			t.Errorf("asyncapi.yaml does not say %s", said)
		}
	}
	for name, code := range codesInSource(t) {
		if !told[code] {
			t.Errorf("websocket.%s is used; what it is told for is missing here", name)
		}
	}
}

// codesInSource are the close codes that the package's source has, but for those that nobody may send.
func codesInSource(t *testing.T) map[string]int {
	t.Helper()
	known := map[string]int{
		"CloseNormalClosure": websocket.CloseNormalClosure, "CloseGoingAway": websocket.CloseGoingAway,
		"CloseProtocolError": websocket.CloseProtocolError, "CloseUnsupportedData": websocket.CloseUnsupportedData,
		"CloseInvalidFramePayloadData": websocket.CloseInvalidFramePayloadData, "ClosePolicyViolation": websocket.ClosePolicyViolation,
		"CloseMessageTooBig": websocket.CloseMessageTooBig, "CloseMandatoryExtension": websocket.CloseMandatoryExtension,
		"CloseInternalServerErr": websocket.CloseInternalServerErr, "CloseServiceRestart": websocket.CloseServiceRestart,
		"CloseTryAgainLater": websocket.CloseTryAgainLater,
	}
	never := map[string]bool{"CloseMessage": true, "CloseNoStatusReceived": true, "CloseAbnormalClosure": true}
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	used := make(map[string]int)
	for _, source := range sources {
		if strings.HasSuffix(source, "_test.go") {
			continue
		}
		text, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range regexp.MustCompile(`\bwebsocket\.(Close[A-Z]\w+)`).FindAllSubmatch(text, -1) {
			name := string(found[1])
			code, ok := known[name]
			switch {
			case ok:
				used[name] = code
			case !never[name]:
				t.Errorf("%s has websocket.%s, which is no code that is known here", source, name)
			}
		}
	}
	if len(used) < 7 {
		t.Errorf("only %v are used; is this the source?", used)
	}
	return used
}
