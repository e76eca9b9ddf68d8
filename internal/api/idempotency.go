package api

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redisfault"
)

// Idempotency remembers which task an Idempotency-Key stands for.
//
// The record is claimed, with the identity of the task to be, before the task is enqueued, and settled after. If the
// server dies in between, a repeat finds an open claim and enqueues under the same identity: if the first attempt had
// got that far, the ID's conflict shows it. Without the claim, a repeat would make a second task; without the
// settling, a repeat after the task has run and been deleted would run it again.
//
// A repeat does not wait for the request that claimed, so both may enqueue, in any order; the ID lets one of them
// through. A claim may be released only by the request that made it, and only while no other works under it: a repeat
// that had enqueued, and had not settled yet, would otherwise leave a task behind that no record knows, and the next
// request would make a second one. So a repeat shares the claim before it enqueues, and a shared claim is never
// released: its key stays bound to its body, also if every request was refused.
//
// What remains: see "Not promised" in the package's documentation.
type Idempotency interface {
	// Find returns the record of a key; false if there is none.
	Find(ctx context.Context, digest string) (IdempotencyRecord, bool, error)
	// Claim stores the record for 24 hours if the key has none. It returns the record that stands, and whether it is
	// the one given.
	Claim(ctx context.Context, digest string, r IdempotencyRecord) (standing IdempotencyRecord, claimed bool, err error)
	// Share notes on the open claim r that another request enqueues under it. It is false, and changes nothing, if the
	// record is no longer exactly r.
	Share(ctx context.Context, digest string, r IdempotencyRecord) (bool, error)
	// Settle notes that the task has been enqueued.
	Settle(ctx context.Context, digest string, r IdempotencyRecord) error
	// Release takes the claim r back. It is false, and changes nothing, if the record is no longer exactly r: shared,
	// settled, or another one.
	Release(ctx context.Context, digest string, r IdempotencyRecord) (bool, error)
}

// IdempotencyRecord is what is remembered about a key.
type IdempotencyRecord struct {
	Body    string    `json:"body"` // hex SHA-256 of the request's body, byte for byte
	Queue   string    `json:"queue"`
	ID      string    `json:"id"`
	At      time.Time `json:"at"`               // when the first request came, by that server's clock
	Shared  bool      `json:"shared,omitempty"` // a repeat enqueues too, or has
	Settled bool      `json:"settled,omitempty"`
}

// idempotencyLife is how long a key is remembered: longer than any client goes on retrying.
const idempotencyLife = 24 * time.Hour

// idempotencyDigest is the name under which a key is remembered. Keys are private to the API key that used them, and
// do not reach Redis in the clear.
func idempotencyDigest(keyID, idempotencyKey string) string {
	return digest([]byte(keyID + "\x00" + idempotencyKey))
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

//go:embed share.lua
var shareSource string

//go:embed release.lua
var releaseSource string

var (
	share   = redis.NewScript(shareSource)
	release = redis.NewScript(releaseSource)
)

// RedisIdempotency keeps the records in Redis, one key each.
type RedisIdempotency struct {
	rdb redis.UniversalClient
}

// NewRedisIdempotency returns the [Idempotency] on rdb.
func NewRedisIdempotency(rdb redis.UniversalClient) *RedisIdempotency {
	return &RedisIdempotency{rdb}
}

// Find implements [Idempotency].
func (s *RedisIdempotency) Find(ctx context.Context, digest string) (IdempotencyRecord, bool, error) {
	encoded, err := s.rdb.Get(ctx, keys.Idempotency(digest)).Result()
	return decodeRecord(encoded, err)
}

// Claim implements [Idempotency] by one SET NX GET.
func (s *RedisIdempotency) Claim(ctx context.Context, digest string, r IdempotencyRecord) (IdempotencyRecord, bool, error) {
	encoded, err := json.Marshal(r)
	if err != nil {
		return r, false, fmt.Errorf("encode idempotency record: %w", err)
	}
	before, err := s.rdb.SetArgs(ctx, keys.Idempotency(digest), encoded, redis.SetArgs{Mode: "NX", Get: true, TTL: idempotencyLife}).Result()
	standing, found, err := decodeRecord(before, err)
	if err != nil || found {
		return standing, false, err
	}
	return r, true, nil
}

// Share implements [Idempotency].
func (s *RedisIdempotency) Share(ctx context.Context, digest string, r IdempotencyRecord) (bool, error) {
	before, err := json.Marshal(r)
	if err != nil {
		return false, fmt.Errorf("encode idempotency record: %w", err)
	}
	r.Shared = true
	after, err := json.Marshal(r)
	if err != nil {
		return false, fmt.Errorf("encode idempotency record: %w", err)
	}
	shared, err := share.Run(ctx, s.rdb, []string{keys.Idempotency(digest)}, before, after).Bool()
	if err != nil {
		return false, fmt.Errorf("share idempotency record: %w", redisfault.Mark(err))
	}
	return shared, nil
}

// Settle implements [Idempotency].
func (s *RedisIdempotency) Settle(ctx context.Context, digest string, r IdempotencyRecord) error {
	r.Settled = true
	encoded, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode idempotency record: %w", err)
	}
	if err := s.rdb.Set(ctx, keys.Idempotency(digest), encoded, idempotencyLife).Err(); err != nil {
		return fmt.Errorf("settle idempotency record: %w", redisfault.Mark(err))
	}
	return nil
}

// Release implements [Idempotency].
func (s *RedisIdempotency) Release(ctx context.Context, digest string, r IdempotencyRecord) (bool, error) {
	encoded, err := json.Marshal(r)
	if err != nil {
		return false, fmt.Errorf("encode idempotency record: %w", err)
	}
	released, err := release.Run(ctx, s.rdb, []string{keys.Idempotency(digest)}, encoded).Bool()
	if err != nil {
		return false, fmt.Errorf("release idempotency record: %w", redisfault.Mark(err))
	}
	return released, nil
}

func decodeRecord(encoded string, err error) (r IdempotencyRecord, found bool, _ error) {
	if errors.Is(err, redis.Nil) {
		return r, false, nil
	}
	if err != nil {
		return r, false, fmt.Errorf("read idempotency record: %w", redisfault.Mark(err))
	}
	if err := json.Unmarshal([]byte(encoded), &r); err != nil {
		return r, false, fmt.Errorf("decode idempotency record: %w", err)
	}
	return r, true, nil
}
