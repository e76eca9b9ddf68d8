package api

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
)

// Keys are the API keys that a server knows: their IDs and the SHA-256 of each, never the keys themselves. A plain
// hash is enough because a key carries 256 bits of randomness; there is nothing to guess, salt or stretch.
type Keys struct {
	hashes map[string][sha256.Size]byte
}

// ParseKeys reads API keys from text: entries "id:sha256", separated by commas or line breaks. A line that begins with #
// is a comment. The hash is that of the whole key, in hex: printf %s "$KEY" | sha256sum.
// The error lists every fault by the number of its entry, and repeats nothing that might be a secret.
func ParseKeys(text string) (*Keys, error) {
	keys := &Keys{hashes: make(map[string][sha256.Size]byte)}
	var errs []error
	n := 0
	for line := range strings.Lines(text) {
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			continue
		}
		for entry := range strings.SplitSeq(line, ",") {
			entry = strings.TrimSpace(entry)
			if entry == "" {
				continue
			}
			n++
			if err := keys.add(entry); err != nil {
				errs = append(errs, fmt.Errorf("API key %d: %w", n, err))
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return keys, nil
}

func (k *Keys) add(entry string) error {
	if strings.HasPrefix(entry, keyPrefix) {
		return errors.New("this is a key itself; the server is given id:sha256, and a key that stood in a configuration should be replaced")
	}
	id, encoded, ok := strings.Cut(entry, ":")
	switch {
	case !ok:
		return errors.New("must be id:sha256, has no colon")
	case !keyID.MatchString(id):
		return errors.New("the id must have 1 to 32 characters of a-z, 0-9 and -")
	}
	hash, err := hex.DecodeString(encoded)
	if err != nil || len(hash) != sha256.Size {
		return fmt.Errorf("the hash of %s must have %d hex digits, has %d characters", id, 2*sha256.Size, len(encoded))
	}
	if _, twice := k.hashes[id]; twice {
		return fmt.Errorf("the id %s is there twice; for two live keys during a rotation give them two ids", id)
	}
	k.hashes[id] = [sha256.Size]byte(hash)
	return nil
}

// Len returns the number of keys. A nil Keys has none.
func (k *Keys) Len() int {
	if k == nil {
		return 0
	}
	return len(k.hashes)
}

// find returns the ID of an API key, if the server knows it. It does the same work for a key that it does not know.
func (k *Keys) find(key string) (id string, ok bool) {
	hash := sha256.Sum256([]byte(key))
	id, _, wellFormed := strings.Cut(strings.TrimPrefix(key, keyPrefix), "_")
	var known [sha256.Size]byte
	if k != nil {
		known, ok = k.hashes[id]
	}
	equal := subtle.ConstantTimeCompare(hash[:], known[:]) == 1
	if !ok || !equal || !wellFormed || !strings.HasPrefix(key, keyPrefix) {
		return "", false
	}
	return id, true
}

const keyPrefix = "seri_"

var keyID = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)

// Key is a new API key.
type Key struct {
	ID     string
	Secret string // the whole key, "seri_<id>_<secret>": shown once, stored nowhere
	Entry  string // "id:sha256", for the server's configuration
}

// NewKey makes an API key under an ID of 1 to 32 characters of a-z, 0-9 and -; an empty ID gets a random one.
func NewKey(id string) (Key, error) {
	if id == "" {
		id = strings.ToLower(rand.Text()[:8])
	}
	if !keyID.MatchString(id) {
		return Key{}, fmt.Errorf("key id %q must have 1 to 32 characters of a-z, 0-9 and -", id)
	}
	secret := keyPrefix + id + "_" + rand.Text() + rand.Text() // 52 characters of 5 bits
	hash := sha256.Sum256([]byte(secret))
	return Key{ID: id, Secret: secret, Entry: id + ":" + hex.EncodeToString(hash[:])}, nil
}

// requireKey lets a request pass that carries a known API key, and notes the key's ID.
func (s *server) requireKey(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, ok := s.keyOf(r)
		switch {
		case ok:
			requestFrom(r.Context()).keyID = id
			next.ServeHTTP(w, r)
		case bearerOf(r) != "":
			unauthorized("this server does not know the key").write(w)
		default:
			unauthorized("").write(w)
		}
	})
}

// bearerOf returns what a request brings in the header Authorization.
func bearerOf(r *http.Request) string {
	scheme, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(text)
}

// keyOf returns the ID of the API key that a request brings, if the server knows it.
func (s *server) keyOf(r *http.Request) (id string, ok bool) {
	text := bearerOf(r)
	if text == "" {
		return "", false
	}
	return s.config.Keys.find(text)
}

// unauthorized refuses a request without a key or a token, or, with a detail, one whose key or token is no good.
func unauthorized(detail string) *Problem {
	const realm = `Bearer realm="seri"`
	if detail == "" {
		return kindUnauthorized.problem(`send "Authorization: Bearer seri_<id>_<secret>"`).withHeader("WWW-Authenticate", realm)
	}
	return kindUnauthorized.problem(detail).withHeader("WWW-Authenticate", realm+`, error="invalid_token"`)
}
