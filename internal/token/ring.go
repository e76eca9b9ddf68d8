package token

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	// DefaultTTL is how long a token lasts for which nothing else is asked.
	DefaultTTL = 15 * time.Minute
	// MinTTL and MaxTTL bound how long a token may last.
	MinTTL = 10 * time.Second
	MaxTTL = 12 * time.Hour
	// MaxBytes bounds a token's text.
	MaxBytes = 8 << 10

	issuer   = "seri"
	audience = "seri:live"
	kind     = "seri-live+jwt"
	skew     = time.Minute // how far ahead the clock of the server may be that made a token

	secretBytes = 32
)

// Ring is the secrets that sign tokens: the first signs, and all check. It is safe for concurrent use.
type Ring struct{ keys []secret }

type secret struct {
	id    string
	bytes []byte
}

var secretID = regexp.MustCompile(`^[A-Za-z0-9-]{1,32}$`)

// Parse reads secrets from text: entries "id:base64", separated by commas or line breaks, each of at least 32 random bytes:
// printf 'a:%s\n' "$(openssl rand -base64 32)". A line that begins with # is a comment. Text without an entry gives a nil
// Ring. The error lists every fault by the number of its entry, and repeats no secret.
func Parse(text string) (*Ring, error) {
	ring, n := new(Ring), 0
	var errs []error
	for line := range strings.Lines(text) {
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			continue
		}
		for entry := range strings.SplitSeq(line, ",") {
			if entry = strings.TrimSpace(entry); entry == "" {
				continue
			}
			n++
			if err := ring.add(entry); err != nil {
				errs = append(errs, fmt.Errorf("token secret %d: %w", n, err))
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, nil
	}
	return ring, nil
}

func (r *Ring) add(entry string) error {
	id, encoded, ok := strings.Cut(entry, ":")
	switch {
	case !ok:
		return errors.New("must be id:base64, has no colon")
	case !secretID.MatchString(id):
		return errors.New("the id must have 1 to 32 characters of A-Z, a-z, 0-9 and -")
	case slices.ContainsFunc(r.keys, func(k secret) bool { return k.id == id }):
		return fmt.Errorf("the id %s is there twice; a new secret needs a new id", id)
	}
	bytes, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(encoded, "="))
	if err != nil || len(bytes) < secretBytes {
		return fmt.Errorf("the secret of %s must be base64 of at least %d random bytes", id, secretBytes)
	}
	r.keys = append(r.keys, secret{id, bytes})
	return nil
}

// Development is a ring that everybody knows, for a server that answers everybody.
func Development() *Ring {
	return &Ring{keys: []secret{{"development", []byte("this secret is known to everybody")}}}
}

// Pass is what a token says.
type Pass struct {
	ID      string // of the token
	Issuer  string // ID of the API key for which it was made; empty: none
	Scope   Scope
	Origin  string // the one whose pages may use it; empty: any
	Expires time.Time
}

// claims are a token's payload.
type claims struct {
	jwt.RegisteredClaims
	Scope  Scope  `json:"scope"`
	Origin string `json:"origin,omitempty"`
}

// Mint makes a token, which lasts for ttl from now on. p.ID and p.Expires are set by it.
func (r *Ring) Mint(p Pass, ttl time.Duration, now time.Time) (text string, expires time.Time, err error) {
	if err := p.Scope.Check(); err != nil {
		return "", time.Time{}, err
	}
	if ttl < MinTTL || ttl > MaxTTL {
		return "", time.Time{}, fmt.Errorf("a token cannot last %v, only %v to %v", ttl, MinTTL, MaxTTL)
	}
	now = now.Truncate(time.Second)
	expires = now.Add(ttl).Truncate(time.Second)
	t := jwt.NewWithClaims(jwt.SigningMethodHS256, claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: issuer, Subject: p.Issuer, Audience: jwt.ClaimStrings{audience},
			IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(expires), ID: rand.Text(),
		},
		Scope: p.Scope, Origin: p.Origin,
	})
	t.Header["typ"], t.Header["kid"] = kind, r.keys[0].id
	if text, err = t.SignedString(r.keys[0].bytes); err == nil && len(text) > MaxBytes {
		err = fmt.Errorf("the names of its tasks and queues make the token longer than %d bytes", MaxBytes)
	}
	return text, expires, err
}

var (
	// ErrExpired refuses a token that was good.
	ErrExpired = errors.New("the token has expired")
	// ErrInvalid refuses a token that never was. Why is said to nobody: who has a good one does not need it.
	ErrInvalid = errors.New("the token is not valid here")
)

// Check returns what a token says, or [ErrExpired] or [ErrInvalid].
func (r *Ring) Check(text string, now time.Time) (Pass, error) {
	if r == nil || len(text) > MaxBytes {
		return Pass{}, ErrInvalid
	}
	var c claims
	parser := jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithStrictDecoding(),
		jwt.WithIssuer(issuer), jwt.WithAudience(audience), jwt.WithExpirationRequired(), jwt.WithTimeFunc(func() time.Time { return now }),
	)
	_, err := parser.ParseWithClaims(text, &c, r.secretOf)
	switch {
	case err != nil && errors.Is(err, jwt.ErrTokenExpired) && !errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return Pass{}, ErrExpired
	case err != nil:
		return Pass{}, ErrInvalid
	case c.IssuedAt == nil || c.IssuedAt.After(now.Add(skew)) || c.ExpiresAt.Sub(c.IssuedAt.Time) > MaxTTL:
		return Pass{}, ErrInvalid
	case len(c.Audience) != 1 || c.ID == "" || c.Scope.Check() != nil:
		return Pass{}, ErrInvalid
	}
	return Pass{ID: c.ID, Issuer: c.Subject, Scope: c.Scope, Origin: c.Origin, Expires: c.ExpiresAt.Time}, nil
}

// secretOf finds the secret that a token's header names, and takes no other member of it than those that [Ring.Mint] writes:
// what a signer wants to be heeded (crit, b64) or fetched (jku, x5u) is not understood here.
func (r *Ring) secretOf(t *jwt.Token) (any, error) {
	id, ok := t.Header["kid"].(string)
	if !ok || len(t.Header) != 3 || t.Header["typ"] != kind {
		return nil, ErrInvalid
	}
	for _, k := range r.keys {
		if k.id == id {
			return k.bytes, nil
		}
	}
	return nil, ErrInvalid
}
