package redisurl_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/redistest"
)

// A script whose answer was lost has run. The connection of this test loses the answer to every script, after the
// server has it.
func TestScriptsAreNotRepeatedWhenTheirAnswerIsLost(t *testing.T) {
	t.Parallel()
	ways := map[string]func(ctx context.Context, rdb redis.UniversalClient, key string) error{
		"alone": func(ctx context.Context, rdb redis.UniversalClient, key string) error {
			return rdb.Eval(ctx, `return redis.call("INCR", KEYS[1])`, []string{key}).Err()
		},
		"in a pipeline": func(ctx context.Context, rdb redis.UniversalClient, key string) error {
			_, err := rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
				p.Eval(ctx, `return redis.call("INCR", KEYS[1])`, []string{key})
				p.Get(ctx, key)
				return nil
			})
			return err
		},
	}
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) {
		for name, send := range ways {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				var sent atomic.Int64
				deaf := open(t, redistest.URL(rdb))
				loseAnswers(deaf, &sent)

				key := redistest.Queue(t)
				if err := send(t.Context(), deaf, key); err == nil {
					t.Error("the answer was not lost")
				}
				if n := sent.Load(); n != 1 {
					t.Errorf("the script was sent %d times, want once", n)
				}
			})
		}
	})
}

// loseAnswers makes every connection of rdb a lossy one.
func loseAnswers(rdb redis.UniversalClient, sent *atomic.Int64) {
	switch rdb := rdb.(type) {
	case *redis.ClusterClient:
		rdb.OnNewNode(func(node *redis.Client) { node.AddHook(lossyDial{sent}) })
	case *redis.Client:
		rdb.AddHook(lossyDial{sent})
	}
}

type lossyDial struct{ sent *atomic.Int64 }

func (h lossyDial) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := next(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &lossy{Conn: conn, sent: h.sent}, nil
	}
}

func (lossyDial) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (lossyDial) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// lossy is a connection that ends once a script has been written to it.
type lossy struct {
	net.Conn
	sent *atomic.Int64
	deaf atomic.Bool
}

func (c *lossy) Write(p []byte) (int, error) {
	if bytes.Contains(bytes.ToLower(p), []byte("\r\neval\r\n")) {
		c.sent.Add(1)
		c.deaf.Store(true)
	}
	return c.Conn.Write(p)
}

func (c *lossy) Read(p []byte) (int, error) {
	if c.deaf.Load() {
		return 0, io.EOF
	}
	return c.Conn.Read(p)
}
