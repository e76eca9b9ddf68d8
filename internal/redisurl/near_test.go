package redisurl

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// pair returns both ends of a connection, the first one made by near.
func pair(t *testing.T) (*nearConn, net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	conn, err := near(new(net.Dialer).DialContext)(t.Context(), "tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	far, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = far.Close() })
	c, ok := conn.(*nearConn)
	if !ok {
		t.Skipf("a connection of type %T: one processor", conn)
	}
	return c, far
}

func TestANearAnswerIsReadWithoutSleep(t *testing.T) {
	c, far := pair(t)
	if _, err := far.Write([]byte("+OK\r\n")); err != nil {
		t.Fatal(err)
	}
	c.pause = 7
	var got [64]byte

	n := 0
	for start := time.Now(); n == 0 && time.Since(start) < 10*time.Second; c.rest = 0 { // what was written is not there at once
		n = c.lookFor(got[:])
	}

	if string(got[:n]) != "+OK\r\n" || c.pause != 0 {
		t.Errorf("read %q, pause %d", got[:n], c.pause)
	}
}

func TestAConnectionThatAnswersLateIsLookedAtMoreRarely(t *testing.T) {
	c, _ := pair(t)
	var pauses []int
	for range 12 {
		c.rest = 0
		if n := c.lookFor(make([]byte, 8)); n != 0 {
			t.Fatal(n)
		}
		pauses = append(pauses, c.rest)
	}
	if want := []int{1, 3, 7, 15, 31, 63, 127, 255, 511, 1023, 1024, 1024}; !slices.Equal(pauses, want) {
		t.Errorf("pauses %v, want %v", pauses, want)
	}
	c.rest = 2
	if c.lookFor(make([]byte, 8)); c.rest != 1 {
		t.Errorf("a look that is not due left rest at %d", c.rest)
	}
}

func TestReadsReturnEveryByteInOrder(t *testing.T) {
	c, far := pair(t)
	want := bytes.Repeat([]byte("0123456789abcdef"), 1<<14)
	go func() {
		for rest := want; len(rest) > 0; {
			n := min(len(rest), 1000+len(rest)%777)
			if _, err := far.Write(rest[:n]); err != nil {
				return
			}
			rest = rest[n:]
		}
		_ = far.Close()
	}()
	if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d of %d bytes, %v", len(got), len(want), err)
	}
}

func TestALookKeepsToWhatConnectionsPromise(t *testing.T) {
	for name, test := range map[string]struct {
		prepare func(c *nearConn, far net.Conn) error
		want    error
	}{
		"deadline": {func(c *nearConn, _ net.Conn) error { return c.SetReadDeadline(time.Now().Add(-time.Second)) }, os.ErrDeadlineExceeded},
		"closed":   {func(c *nearConn, _ net.Conn) error { return c.Close() }, net.ErrClosed},
		"end":      {func(_ *nearConn, far net.Conn) error { return far.Close() }, io.EOF},
	} {
		t.Run(name, func(t *testing.T) {
			c, far := pair(t)
			if err := test.prepare(c, far); err != nil {
				t.Fatal(err)
			}
			if n, err := c.Read(make([]byte, 8)); n != 0 || !errors.Is(err, test.want) {
				t.Errorf("read %d bytes, %v, want %v", n, err, test.want)
			}
		})
	}
}

func TestConnectionsOfOneProcessLookInTurn(t *testing.T) {
	var readers sync.WaitGroup
	for range 8 {
		c, far := pair(t)
		readers.Go(func() {
			for range 200 {
				var b [1]byte
				if _, err := far.Write([]byte("x")); err != nil {
					t.Error(err)
					return
				}
				if _, err := c.Read(b[:]); err != nil || b[0] != 'x' {
					t.Errorf("%q, %v", b, err)
					return
				}
			}
		})
	}
	readers.Wait()
	if looking.Load() {
		t.Error("nobody reads, and somebody still looks")
	}
}

func TestOnlyPlainConnectionsAreNear(t *testing.T) {
	for url, want := range map[string]bool{
		"redis://localhost": true, "unix:///run/redis.sock": true, "redis+cluster://localhost": true, "redis+sentinel://localhost?master=m": true,
		"rediss://localhost": false, "rediss+cluster://localhost": false, "rediss+sentinel://localhost?master=m": false,
	} {
		opts, _, err := parse(url)
		if err != nil {
			t.Fatal(err)
		}
		if got := opts.Dialer != nil; got != want {
			t.Errorf("%s: near %v, want %v", url, got, want)
		}
	}
}

func TestNearLeavesOtherConnectionsAndErrorsAlone(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	got, err := near(func(context.Context, string, string) (net.Conn, error) { return a, nil })(t.Context(), "tcp", "")
	if err != nil || got != a {
		t.Errorf("got %v, %v", got, err)
	}
	_, err = near(new(net.Dialer).DialContext)(t.Context(), "tcp", "127.0.0.1:1")
	if err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("got %v", err)
	}
}
