package redisfault_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/redisfault"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/internal/redisurl"
)

// answer is what the server says, as the driver hands it on.
type answer string

func (a answer) Error() string { return string(a) }
func (answer) RedisError()     {}

func TestMark(t *testing.T) {
	t.Parallel()
	var full, away, neither = seri.ErrMemoryFull, seri.ErrUnavailable, error(nil)
	for name, c := range map[string]struct {
		err  error
		want error
	}{
		"memory full, in a script": {answer("OOM command not allowed when used memory > 'maxmemory'. script: 3b"), full},
		"loading":                  {answer("LOADING Redis is loading the dataset in memory"), away},
		"a replica":                {answer("READONLY You can't write against a read only replica. script: 3b"), away},
		"without its master":       {answer("MASTERDOWN Link with MASTER is down"), away},
		"without its replicas":     {answer("NOREPLICAS Not enough good replicas to write."), away},
		"cannot save":              {answer("MISCONF Redis is configured to save RDB snapshots"), away},
		"busy with a script":       {answer("BUSY Redis is busy running a script."), away},
		"made a replica meanwhile": {answer("UNBLOCKED force unblock from blocking operation"), away},
		"cluster down":             {answer("CLUSTERDOWN Hash slot not served"), away},
		"slot on its way":          {answer("TRYAGAIN Multiple keys request during rehashing of slot"), away},
		"moved too often":          {answer("MOVED 3999 127.0.0.1:6381"), away},
		"too many clients":         {answer("ERR max number of clients reached"), away},
		"broken connection":        {io.ErrUnexpectedEOF, away},
		"refused connection":       {&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, away},
		"late":                     {context.DeadlineExceeded, away},
		"no free connection":       {redis.ErrPoolTimeout, away},
		"no sentinel":              {errors.New("redis: all sentinels specified in configuration are unreachable: …"), away},

		"nothing":            {nil, neither},
		"no such key":        {redis.Nil, neither},
		"cancelled":          {context.Canceled, neither},
		"client closed":      {redis.ErrClosed, neither},
		"wrong type":         {answer("WRONGTYPE Operation against a key holding the wrong kind of value"), neither},
		"key of a busy name": {answer("BUSYKEY Target key name already exists."), neither},
		"no permission":      {answer("NOPERM this user has no permissions"), neither},
		"a task's own error": {errors.New("OOM in the handler"), neither},
		"a fenced write":     {&seri.FencedError{TaskID: "t"}, neither},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wrapped := c.err
			if wrapped != nil {
				wrapped = fmt.Errorf("enqueue: %w", wrapped)
			}

			got := redisfault.Mark(wrapped)

			if is := errors.Is(got, seri.ErrMemoryFull); is != (c.want == full) {
				t.Errorf("memory is full: %t", is)
			}
			if is := errors.Is(got, seri.ErrUnavailable); is != (c.want != nil) {
				t.Errorf("Redis is not available: %t", is)
			}
			if !errors.Is(got, c.err) || got != nil && got.Error() != wrapped.Error() {
				t.Errorf("%v has become %v", wrapped, got)
			}
		})
	}
}

// What real servers say, through the real driver.
func TestFaultsOfRealServersAreTold(t *testing.T) {
	t.Parallel()
	set := func(rdb redis.UniversalClient) error {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		return redisfault.Mark(rdb.Set(ctx, "k", "v", 0).Err())
	}
	for name, c := range map[string]struct {
		spoil func(t *testing.T, s *redistest.Server, rdb *redis.Client)
		want  error
	}{
		"stopped": {func(_ *testing.T, s *redistest.Server, _ *redis.Client) { s.Stop() }, seri.ErrUnavailable},
		"frozen":  {func(_ *testing.T, s *redistest.Server, _ *redis.Client) { s.Pause() }, seri.ErrUnavailable},
		"demoted": {config("replicaof", "127.0.0.1 1"), seri.ErrUnavailable},
		"lonely":  {config("min-replicas-to-write", "1"), seri.ErrUnavailable},
		"full":    {config("maxmemory", "1"), seri.ErrMemoryFull},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := redistest.Exclusive(t)
			rdb := s.Client()
			if err := set(rdb); err != nil {
				t.Fatal(err)
			}
			c.spoil(t, s, rdb)

			if err := set(rdb); !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
		})
	}
	t.Run("a cluster that has lost a node's slots", func(t *testing.T) {
		t.Parallel()
		rdb := redistest.ExclusiveCluster(t)
		node, err := rdb.MasterForKey(t.Context(), "k")
		if err != nil {
			t.Fatal(err)
		}
		slot := rdb.ClusterKeySlot(t.Context(), "k").Val()
		alone, err := redisurl.Open("redis://" + node.Options().Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer alone.Close()
		if err := set(alone); err != nil {
			t.Fatal(err)
		}
		if err := alone.ClusterDelSlots(t.Context(), int(slot)).Err(); err != nil {
			t.Fatal(err)
		}
		if err := set(alone); !errors.Is(err, seri.ErrUnavailable) {
			t.Errorf("error %v, want %v", err, seri.ErrUnavailable)
		}
	})
}

func config(name, value string) func(*testing.T, *redistest.Server, *redis.Client) {
	return func(t *testing.T, _ *redistest.Server, rdb *redis.Client) {
		t.Helper()
		var err error
		if name == "replicaof" { // which is no setting at run time
			err = rdb.ReplicaOf(t.Context(), "127.0.0.1", "1").Err()
		} else {
			err = rdb.ConfigSet(t.Context(), name, value).Err()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
