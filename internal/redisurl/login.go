package redisurl

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Login logs in with passwords that are made as they are needed.
type Login struct {
	// Password returns the password of the URL's user, for a connection that is being made.
	Password func(ctx context.Context, user string) (string, error)
	// Lifetime is how long a connection is used: between Lifetime - Jitter and Lifetime + Jitter, each for a time of its own,
	// so that they are not all renewed at once. A connection is renewed between two calls, never in one; a blocking call that
	// begins just before the end outlasts it by as long as it blocks, which all of Seri's bound. A subscription (PUBLISH) is
	// not renewed: when the server ends it, it is made anew at once.
	Lifetime, Jitter time.Duration
}

// OpenAs is [Open] with a login in place of the URL's password. The URL must be one with TLS, and name a user.
// What [Clone] makes of the client logs in likewise.
func OpenAs(rawURL string, login Login) (redis.UniversalClient, error) {
	opts, kind, err := parse(rawURL)
	if err != nil {
		return nil, err
	}
	var faults []string
	if opts.TLSConfig == nil {
		faults = append(faults, "it must begin with rediss:// or rediss+cluster://, or the password could be read on its way")
	}
	if kind == sentinel || kind == socket {
		faults = append(faults, "it must lead to a server or a cluster")
	}
	if opts.Username == "" {
		faults = append(faults, "it must name the user: rediss://user@host:6379")
	}
	if opts.Password != "" {
		faults = append(faults, "it must have no password, which is made for each connection")
	}
	if len(faults) > 0 {
		return nil, errors.New("the Redis URL is wrong: " + strings.Join(faults, "; "))
	}
	user := opts.Username
	opts.CredentialsProviderContext = func(ctx context.Context) (string, string, error) {
		password, err := login.Password(ctx, user)
		if err != nil {
			return "", "", fmt.Errorf("password of the Redis user %s: %w", user, err)
		}
		return user, password, nil
	}
	opts.ConnMaxLifetime, opts.ConnMaxLifetimeJitter = login.Lifetime, login.Jitter
	return open(opts, kind), nil
}
