package elasticache

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/elasticache/elasticachetest"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/internal/redisurl"
)

// The names that AWS itself uses in examples.
var account = elasticachetest.Account{
	Region: "eu-central-1", Cache: "seri", User: "seri-worker", KeyID: "AKIDEXAMPLE", Secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
}

func signerOf(a elasticachetest.Account, now func() time.Time) *signer {
	return &signer{
		cache: Cache{a.Cache, a.Serverless}, region: a.Region, now: now,
		credentials: credentials.NewStaticCredentialsProvider(a.KeyID, a.Secret, a.SessionToken),
	}
}

func TestATokenIsWhatElastiCacheChecks(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 27, 20, 40, 0, 0, time.UTC)
	role, serverless, odd := account, account, account
	role.SessionToken = "IQoJb3JpZ2luX2VjE+/=&?" // with what has to be escaped
	serverless.Serverless = true
	odd.User = "user +/=&~*"
	for sentence, a := range map[string]elasticachetest.Account{
		"with keys": account, "with the keys of a role": role, "of a serverless cache": serverless, "of a user with an odd name": odd,
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			token, err := signerOf(a, func() time.Time { return at }).token(t.Context(), a.User)
			if err != nil {
				t.Fatal(err)
			}
			if err := a.Verify(a.User, token, at.Add(14*time.Minute)); err != nil {
				t.Errorf("%v: %s", err, token)
			}
			if a.Verify(a.User, token, at.Add(16*time.Minute)) == nil || a.Verify(a.User, token+"0", at) == nil {
				t.Error("the check accepts anything")
			}
		})
	}
	// Computed once by another program (Python's hmac), so that the check above cannot agree with a mistake of its own.
	token, err := signerOf(account, func() time.Time { return at }).token(t.Context(), account.User)
	if err != nil {
		t.Fatal(err)
	}
	if _, signature, _ := strings.Cut(token, "X-Amz-Signature="); signature != golden {
		t.Errorf("the signature is %s, must be %s", signature, golden)
	}
}

const golden = "c043e393d90baf5fb54bf1a03aae621b39b668dc6dd1ad9737f918e638145781"

func TestANameInCapitalsIsSignedInLowerCase(t *testing.T) {
	t.Parallel()
	s := signerOf(account, time.Now)
	s.cache.Name = "Seri"
	token, err := s.token(t.Context(), account.User)
	if err != nil {
		t.Fatal(err)
	}
	if err := account.Verify(account.User, token, time.Now()); err != nil {
		t.Error(err)
	}
}

// Each connection has a token of its own, and none is used for longer than its lifetime.
func TestConnectionsAreRenewed(t *testing.T) {
	t.Parallel()
	proxy := elasticachetest.Run(t, redistest.New(t).Options().Addr, account)
	s := signerOf(account, time.Now)
	rdb, err := redisurl.OpenAs(proxy.URL()+"&pool_size=1", redisurl.Login{Password: s.token, Lifetime: 20 * time.Millisecond, Jitter: 5 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer rdb.Close()
	clone, err := redisurl.Clone(rdb, 1, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer clone.Close()
	seen := make(map[int64]bool)
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for len(seen) < 6 {
		for _, c := range []redis.UniversalClient{rdb, clone} {
			id, err := c.(*redis.Client).ClientID(t.Context()).Result()
			if err != nil {
				t.Fatal(err)
			}
			seen[id] = true
		}
		<-again.C
	}
	if taken, wrong := proxy.Logins(); len(taken) < 6 || len(wrong) > 0 {
		t.Errorf("%d logins, and others were refused: %v", len(taken), wrong)
	}
}

// A token is made when a connection is: also for one that takes the place of one that was cut off hours later.
func TestAConnectionThatWasCutIsMadeAnewWithANewToken(t *testing.T) {
	t.Parallel()
	proxy := elasticachetest.Run(t, redistest.New(t).Options().Addr, account)
	now := time.Now()
	s := signerOf(account, func() time.Time { return now })
	rdb, err := redisurl.OpenAs(proxy.URL()+"&pool_size=1", redisurl.Login{Password: s.token, Lifetime: lifetime, Jitter: jitter})
	if err != nil {
		t.Fatal(err)
	}
	defer rdb.Close()
	if err := rdb.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	now = now.Add(12 * time.Hour)
	proxy.Clock(func() time.Time { return now })
	proxy.Cut()
	for rdb.Ping(t.Context()).Err() != nil { // the first one may find the end of the old connection
		if _, wrong := proxy.Logins(); len(wrong) > 0 {
			t.Fatal(wrong)
		}
	}
	if taken, _ := proxy.Logins(); len(taken) != 2 || taken[0] == taken[1] {
		t.Errorf("logged in with %q", taken)
	}
}

// Redis itself is the judge: its user's password is the token.
func TestATokenPassesAsARedisPassword(t *testing.T) {
	t.Parallel()
	server := redistest.Exclusive(t)
	at := time.Now()
	s := signerOf(account, func() time.Time { return at })
	token, err := s.token(t.Context(), account.User)
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Client().Do(t.Context(), "ACL", "SETUSER", account.User, "on", ">"+token, "~*", "+@all").Err(); err != nil {
		t.Fatal(err)
	}
	login := func() error {
		rdb := redis.NewClient(&redis.Options{Addr: server.Addr(), MaxRetries: -1, CredentialsProviderContext: func(ctx context.Context) (string, string, error) {
			password, err := s.token(ctx, account.User)
			return account.User, password, err
		}})
		defer rdb.Close()
		return rdb.Ping(t.Context()).Err()
	}
	if err := login(); err != nil {
		t.Error(err)
	}
	at = at.Add(time.Second)
	if err := login(); err == nil || !strings.Contains(err.Error(), "WRONGPASS") {
		t.Errorf("with the token of another second: %v", err)
	}
}

func TestTheConnectionsOfAClusterHaveALifetime(t *testing.T) {
	t.Parallel()
	rdb, err := redisurl.OpenAs("rediss+cluster://seri-api@c.example", redisurl.Login{Lifetime: lifetime, Jitter: jitter})
	if err != nil {
		t.Fatal(err)
	}
	defer rdb.Close()
	clone, err := redisurl.Clone(rdb, 3, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer clone.Close()
	for _, c := range []redis.UniversalClient{rdb, clone} {
		o := c.(*redis.ClusterClient).Options()
		if o.ConnMaxLifetime+o.ConnMaxLifetimeJitter >= 12*time.Hour || o.ConnMaxLifetimeJitter == 0 || o.CredentialsProviderContext == nil {
			t.Errorf("used for %v ± %v", o.ConnMaxLifetime, o.ConnMaxLifetimeJitter)
		}
	}
}

func TestCredentialsThatCannotBeHadAreTold(t *testing.T) {
	t.Parallel()
	s := signerOf(account, time.Now)
	s.credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{}, errors.New("no role is attached")
	})
	rdb, err := redisurl.OpenAs("rediss://seri@127.0.0.1:1", redisurl.Login{Password: s.token})
	if err != nil {
		t.Fatal(err)
	}
	defer rdb.Close()
	if _, err := s.token(t.Context(), "seri"); err == nil || err.Error() != "credentials of AWS: no role is attached" {
		t.Errorf("error %v", err)
	}
}

func TestAURLThatTokensAreNotForIsRefused(t *testing.T) {
	t.Parallel()
	for url, says := range map[string]string{
		"redis://u@h":                    "it must begin with rediss://",
		"rediss://h":                     "it must name the user",
		"rediss://u:p@h":                 "it must have no password",
		"rediss+sentinel://u@h?master=m": "it must lead to a server or a cluster",
		"rediss://u@h?x=1":               "there is no setting",
		"rediss+cluster://u@h":           "",
	} {
		if err := Check(url); (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", url, err, says)
		}
	}
}
