package gateway

import (
	"net/http"
	"testing"
	"time"
)

// ComeBacks returns the delays that so many clients are told.
func ComeBacks(t *testing.T, cfg Config, n int) []time.Duration {
	t.Helper()
	g, err := New(nil, cfg)
	if err != nil {
		t.Fatal(err)
	}
	delays := make([]time.Duration, n)
	for i := range delays {
		delays[i] = g.comeBack()
	}
	return delays
}

// AddressOf is what a request's client is counted by.
func AddressOf(remote string, forwarded ...string) string {
	return addressOf(&http.Request{RemoteAddr: remote, Header: http.Header{"X-Forwarded-For": forwarded}})
}

// CheckCommand returns what is wrong with a client's message.
func CheckCommand(message []byte) error {
	_, err := readCommand(message)
	return err
}

// SetClock has tokens end by another clock.
func (g *Gateway) SetClock(now func() time.Time) { g.now = now }

// Masked is a client's frame: its first byte as it stands, and a payload.
func Masked(first byte, payload string) []byte { return masked(first, payload) }

// MessageLimit bounds a client's message, in bytes.
const MessageLimit = readLimit
