package redistest

import (
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// Embedded returns a client on the in-process store that `seri dev` falls back to.
func Embedded(t testing.TB) *redis.Client {
	t.Helper()
	return openSingle(t, miniredis.RunT(t).Addr(), 0)
}
