// Package elasticache logs in to Amazon ElastiCache with IAM: the password of a Redis user is a request to ElastiCache that
// is signed with the credentials of the process, and never sent. So there is no password to keep, to hand on or to rotate.
package elasticache

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/redisurl"
)

const (
	// validFor is how long ElastiCache accepts a token. It is asked for one only when a connection is made.
	validFor = 15 * time.Minute
	// ElastiCache ends a connection 12 h after its login. Ours are renewed 5 to 11 h after it.
	lifetime, jitter = 8 * time.Hour, 3 * time.Hour
	// retrieveTimeout bounds one call for the credentials of the process, which are kept until shortly before they expire.
	retrieveTimeout = 5 * time.Second
	// noBody is the SHA-256 of nothing.
	noBody = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

// Cache is what is logged in to.
type Cache struct {
	// Name is the ID of the replication group, or the name of a serverless cache; not its address.
	Name string
	// Serverless says which of the two.
	Serverless bool
}

// Open returns a client for the URL, which names the user but no password; region and credentials are what the environment
// says, on ECS those of the task role. It connects to nothing yet.
func Open(ctx context.Context, rawURL string, cache Cache) (redis.UniversalClient, error) {
	settings, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("settings of AWS: %w", err)
	}
	if settings.Region == "" {
		return nil, errors.New("settings of AWS: no region is set; set AWS_REGION")
	}
	s := &signer{cache: cache, region: settings.Region, credentials: settings.Credentials, now: time.Now}
	return redisurl.OpenAs(rawURL, redisurl.Login{Password: s.token, Lifetime: lifetime, Jitter: jitter})
}

// Check returns what is wrong with a URL that is to be opened by [Open].
func Check(rawURL string) error {
	rdb, err := redisurl.OpenAs(rawURL, redisurl.Login{})
	if err != nil {
		return err
	}
	return rdb.Close()
}

// signer makes tokens.
type signer struct {
	cache       Cache
	region      string
	credentials aws.CredentialsProvider
	now         func() time.Time
}

// token returns a password for the user: a presigned request, without its scheme.
func (s *signer) token(ctx context.Context, user string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, retrieveTimeout)
	defer cancel()
	credentials, err := s.credentials.Retrieve(ctx)
	if err != nil {
		return "", fmt.Errorf("credentials of AWS: %w", err)
	}
	query := url.Values{
		"Action": {"connect"}, "User": {user},
		"X-Amz-Expires": {strconv.Itoa(int(validFor / time.Second))}, // the signer does not add it
	}
	if s.cache.Serverless {
		query.Set("ResourceType", "ServerlessCache")
	}
	const scheme = "http://"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+strings.ToLower(s.cache.Name)+"/?"+query.Encode(), nil)
	if err != nil {
		return "", err
	}
	signed, _, err := v4.NewSigner().PresignHTTP(ctx, credentials, request, noBody, "elasticache", s.region, s.now())
	if err != nil {
		return "", fmt.Errorf("sign the login: %w", err)
	}
	return strings.TrimPrefix(signed, scheme), nil
}
