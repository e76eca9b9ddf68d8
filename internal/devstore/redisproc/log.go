package redisproc

import (
	"bytes"
	"strings"
)

// keptLines is how much of the server's log an [ExitError] quotes: what a server says of its end takes up to three.
const keptLines = 3

// serverLog cuts what the server prints into lines and looks for the one that says that it is ready. Listening to the
// server instead of knocking at its port costs no polling, and cannot be answered by a stranger on the same port.
type serverLog struct {
	forward func(line string) // may be nil
	ready   func()            // called once
	started chan struct{}     // closed when ready may be called

	rest    []byte // the beginning of a line
	last    []string
	isReady bool
}

// Write is called by one goroutine of os/exec, which has ended when Wait returns.
func (l *serverLog) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		line, rest, found := bytes.Cut(l.rest, []byte("\n"))
		if !found {
			return len(p), nil
		}
		l.rest = bytes.Clone(rest)
		l.line(strings.TrimSpace(string(line)))
	}
}

func (l *serverLog) line(text string) {
	if text == "" {
		return
	}
	l.last = append(l.last, text)
	if len(l.last) > keptLines {
		l.last = l.last[1:]
	}
	if l.forward != nil {
		l.forward(text)
	}
	// "Ready to accept connections", with " tcp" or " unix" behind it from 7.2 on.
	if !l.isReady && strings.Contains(text, "eady to accept connections") {
		l.isReady = true
		<-l.started
		l.ready()
	}
}
