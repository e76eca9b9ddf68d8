package store_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/permit"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/internal/store"
)

// Whatever single command of a duty is taken from a user, the duty is refused, by name.
func TestPermitFindsEachMissingCommandOfEachDuty(t *testing.T) {
	t.Parallel()
	server := redistest.Exclusive(t)
	admin := server.Client()
	rules := func(more ...any) error {
		return admin.Do(t.Context(), append([]any{"ACL", "SETUSER", "role", "reset", "on", ">pw", "~asynq:*", "~seri:*", "&asynq:cancel", "+@all"}, more...)...).Err()
	}
	if err := rules(); err != nil {
		t.Fatal(err)
	}
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr(), Username: "role", Password: "pw", MaxRetries: -1})
	t.Cleanup(func() { rdb.Close() })
	s, q := store.New(rdb, store.Config{}), keys.Queue("mail")
	for name, c := range map[string]struct {
		duty     store.Duty
		commands string
	}{
		"working":   {store.Working, "APPEND BLMOVE BLPOP DEL EXPIRE GET GETRANGE HDEL HGETALL HMGET HSET INCRBY LPUSH LRANGE LREM RPOP RPUSH SADD SCAN SET SUBSCRIBE TIME XADD XTRIM ZADD ZRANGE ZRANGEBYSCORE ZREM"},
		"producing": {store.Producing, "DEL EXISTS GET HGETALL HMGET HSET LINDEX LLEN LPUSH LREM MGET PUBLISH SET SETNX SISMEMBER SMEMBERS SMISMEMBER TIME XADD XINFO|STREAM XRANGE XREAD XREVRANGE ZADD ZCARD ZMSCORE ZRANGE ZREM ZREMRANGEBYSCORE ZREVRANGE"},
		"ticking":   {store.Ticking, "EXISTS HDEL HGET HINCRBY HMGET HSET LPUSH PUBLISH SMEMBERS TIME XADD ZADD ZRANGE ZREM"},
	} {
		if err := s.Permit(t.Context(), q, c.duty); err != nil {
			t.Errorf("%s, and nothing is missing: %v", name, err)
		}
		for command := range strings.FieldsSeq(c.commands) {
			if err := rules("-" + strings.ToLower(command)); err != nil {
				t.Fatal(err)
			}
			err := s.Permit(t.Context(), q, c.duty)
			if _, denied := errors.AsType[*permit.DeniedError](err); !denied || !strings.Contains(err.Error(), strings.Replace(command, "|", " ", 1)) || !strings.Contains(err.Error(), `"mail"`) {
				t.Errorf("%s without %s: %v", name, command, err)
			}
			if err := rules(); err != nil {
				t.Fatal(err)
			}
		}
	}
}
