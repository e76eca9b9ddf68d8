package redistest

import (
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/devstore"
)

// Embedded returns a client on an in-process store of its own, as `seri dev` falls back to: miniredis, whose keys expire
// with the clock (to 100 ms).
func Embedded(t testing.TB) *redis.Client {
	t.Helper()
	store, err := devstore.Embedded()
	if err != nil {
		t.Fatalf("redistest: %v", err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return open(t, store.URL()).(*redis.Client)
}
