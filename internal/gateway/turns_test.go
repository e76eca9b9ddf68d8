package gateway_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/seri-queue/seri/internal/events"
	"github.com/seri-queue/seri/internal/gateway"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/wire"
)

// TestClientThatReadsSlowlyIsHeardInBetween is about the length of a turn: thousands of frames wait for a client, and the gateway
// waits for it to take them. What it says meanwhile is answered after a few more, and not after a thousand.
func TestClientThatReadsSlowlyIsHeardInBetween(t *testing.T) {
	t.Parallel()
	s := newSite(t, gateway.Config{WriteTimeout: time.Minute}, events.Config{Buffer: 8 << 20})
	dialer := narrow("seri.v1")
	conn, _, err := dialer.Dial("ws"+strings.TrimPrefix(s.url, "http")+"/v1/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(patience))
	k := &talker{t, conn}
	k.say(`{"op":"subscribe","subscriptions":[{"id":"Q","queue":"q"}]}`)
	k.hear("subscribed Q", "snapshot Q")
	other := s.mustOpen("SSE", "queue=q")
	read(t, other, 1)

	const waiting = 2500
	s.emitAs("queued", "a", seqs(2, waiting)...)
	read(t, other, waiting-1)
	k.say(`{"op":"ping"}`)
	s.emitAs("queued", "a", waiting+1)
	read(t, other, 1) // by which the gateway has noticed

	frames := 0
	for ; ; frames++ {
		ce, err := k.next()
		if err != nil {
			t.Fatalf("after %d frames: %v", frames, err)
		}
		if ce.Type == wire.TypeAlive {
			break
		}
	}
	t.Logf("answered after %d frames", frames)
	if frames > 650 { // of which the network had taken some before
		t.Errorf("a ping was answered after %d frames of the %d that waited", frames, waiting)
	}
}

// during is a snapshotter that something happens to while it reads.
type during struct {
	snapshotter
	happens func()
}

func (d *during) Snapshots(ctx context.Context, filters []events.Filter) ([]events.Snapshot, error) {
	d.happens()
	return d.snapshotter.Snapshots(ctx, filters)
}

func TestTokenThatEndsWhileASnapshotIsReadDoesNotShowIt(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	s, k := newGuardedSiteAs(t, gateway.Config{}, events.Config{}, nature{
		now:   func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) },
		shows: &during{happens: func() { ahead.Store(int64(time.Hour)) }},
	})
	client := s.talk(nil)
	client.say(`{"op":"subscribe","token":%q,"subscriptions":[{"id":"A","task":"a"}]}`, k.mint(ofA, time.Minute))

	client.hear("subscribed A", "error 401 A")

	_, err := client.next()
	if closed, ok := errors.AsType[*websocket.CloseError](err); !ok || closed.Code != websocket.ClosePolicyViolation || closed.Text != "reason=expired" {
		t.Errorf("then came %v", err)
	}
}

// TestClientThatGoesOnSendingGetsToReadWhyItIsClosed is about what comes after a frame that must not be: nobody can tell what it
// means, but a connection that is closed before it was read is reset, and the close frame may be lost with it.
func TestClientThatGoesOnSendingGetsToReadWhyItIsClosed(t *testing.T) {
	t.Parallel()
	k := newSite(t, gateway.Config{}, events.Config{}).talk(nil)
	k.conn.SetCloseHandler(func(int, string) error { return nil }) // what would be written would take the reset's place
	below := k.conn.NetConn()
	below.SetDeadline(time.Now().Add(patience))

	if _, err := below.Write(append(gateway.Masked(0xc1, "x"), make([]byte, 64<<10)...)); err != nil {
		t.Fatal(err)
	}

	if code, reason := k.hearEnd(); code != websocket.CloseProtocolError || reason != "reason=protocol&detail=reserved+bits" {
		t.Errorf("closed with %d %s", code, reason)
	}
	if _, err := io.Copy(io.Discard, below); err != nil {
		t.Errorf("then came %v", err)
	}
}

// TestCursorOfATalkativeClientMovesOn is about one that is never pinged, because it says something and is answered: what others have
// had meanwhile is behind its cursor all the same, or it would resume before what is trimmed away.
func TestCursorOfATalkativeClientMovesOn(t *testing.T) {
	t.Parallel()
	s := newSite(t, gateway.Config{Ping: 200 * time.Millisecond, Messages: 100_000}, events.Config{Recent: 1})
	k := s.talk(nil)
	k.say(`{"op":"subscribe","subscriptions":[{"id":"A","task":"a"}]}`)
	k.hear("subscribed A", "snapshot A")
	k.say(`{"op":"ping"}`)
	first := k.hear("alive").Cursor
	s.emit("b", 2, 3, 4)

	last := first
	for until := time.Now().Add(patience); last == first && time.Now().Before(until); {
		k.say(`{"op":"ping"}`)
		last = k.hear("alive").Cursor
	}

	if last == first {
		t.Fatalf("the cursor is still %s", last)
	}
	k.conn.Close()
	if err := s.rdb.XTrimMaxLen(t.Context(), keys.Queue("q").Events(), 1).Err(); err != nil {
		t.Fatal(err)
	}
	k = s.talk(nil)
	k.say(`{"op":"subscribe","after":%q,"subscriptions":[{"id":"A","task":"a"}]}`, last)
	k.hear("subscribed A resumed")
	s.emit("a", 9)
	k.hear("task.progress a9")
}
