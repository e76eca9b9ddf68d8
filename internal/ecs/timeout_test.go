package ecs

import (
	"context"
	"errors"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

func TestACallEndsAfterItsTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // not parallel: the client is one for all
		before := client
		defer func() { client = before }()
		ours, agents := net.Pipe() // an agent that takes the call and says nothing
		defer agents.Close()
		go func() {
			buffer := make([]byte, 1<<10)
			for {
				if _, err := agents.Read(buffer); err != nil {
					return
				}
			}
		}()
		transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return ours, nil }}
		defer transport.CloseIdleConnections()
		client = &http.Client{Transport: transport}

		begun := time.Now()
		err := NewProtection("http://169.254.170.2/api/id").Protect(t.Context(), time.Hour)

		if took := time.Since(begun); !errors.Is(err, context.DeadlineExceeded) || took != callTimeout {
			t.Errorf("error %v after %v, want the end after %v", err, took, callTimeout)
		}
	})
}
