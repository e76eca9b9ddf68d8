package role

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/client"
	"github.com/seri-queue/seri/internal/elasticache/elasticachetest"
	"github.com/seri-queue/seri/internal/redistest"
)

// A worker with nothing but its role's keys: it runs tasks, and goes on after ElastiCache has ended its connections.
func TestAWorkerLogsInWithIAM(t *testing.T) {
	account := elasticachetest.Account{
		Region: "eu-central-1", Cache: "seri", User: "seri-worker", KeyID: "ASIAEXAMPLE", Secret: "secret", SessionToken: "session+/=",
	}
	for variable, value := range map[string]string{
		"AWS_REGION": account.Region, "AWS_ACCESS_KEY_ID": account.KeyID, "AWS_SECRET_ACCESS_KEY": account.Secret,
		"AWS_SESSION_TOKEN": account.SessionToken, "AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(variable, value)
	}
	rdb := redistest.New(t)
	proxy := elasticachetest.Run(t, rdb.Options().Addr, account)
	var worker Worker
	url := strings.Replace(proxy.URL(), "?", "?db="+dbOf(redistest.URL(rdb))+"&", 1)
	configured(t, &worker, "--redis-url", url, "--redis-iam-cache", "seri", "--output-dir", t.TempDir())
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	log := &safeBuffer{}
	go func() { ended <- worker.Run(ctx, io.Discard, log) }()
	queue := client.New(rdb, client.Config{})
	for _, id := range []string{"before", "after"} {
		m := seri.Message{ID: id, Type: "http.request", Queue: "default", Payload: []byte(`{"url":"http://127.0.0.1:1/"}`), Timeout: time.Minute}
		if err := queue.Enqueue(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		if _, err := queue.Wait(t.Context(), "default", id); err != nil {
			t.Fatal(err)
		}
		proxy.Cut()
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("%v: %s", err, log)
	}
	if taken, wrong := proxy.Logins(); len(taken) < 4 || len(wrong) > 0 {
		t.Errorf("%d logins, others refused: %v", len(taken), wrong)
	}
}

func dbOf(url string) string { return url[strings.LastIndex(url, "/")+1:] }

func TestLoginsWithIAMAreChecked(t *testing.T) {
	t.Parallel()
	for sentence, c := range map[string]struct {
		iam  RedisIAM
		url  string
		says string
	}{
		"an address in place of a name": {
			RedisIAM{RedisIAMCache: "clustercfg.seri.abc.cache.amazonaws.com"}, "rediss://u@h", "must be the ID of a replication group",
		},
		"a URL with a password":       {RedisIAM{RedisIAMCache: "seri"}, "rediss://u:p@h", "--redis-url (SERI_REDIS_URL) is wrong: the Redis URL is wrong: it must have no password"},
		"a URL without TLS":           {RedisIAM{RedisIAMCache: "seri"}, "redis://u@h", "must begin with rediss://"},
		"a serverless cache, unnamed": {RedisIAM{RedisIAMServerless: Switch{On: true}}, "redis://h", "does not name the cache"},
		"all is well":                 {RedisIAM{RedisIAMCache: "seri"}, "rediss+cluster://u@h", ""},
		"no IAM":                      {RedisIAM{}, "redis://u:p@h", ""},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			var f faults
			c.iam.check(&f, c.url)
			if err := f.err(); (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("says %v, want %q", err, c.says)
			}
		})
	}
}

func TestARegionIsNeededForIAM(t *testing.T) {
	for _, variable := range []string{"AWS_REGION", "AWS_DEFAULT_REGION"} {
		t.Setenv(variable, "")
	}
	t.Setenv("AWS_CONFIG_FILE", t.TempDir()+"/none")
	_, err := (&RedisIAM{RedisIAMCache: "seri"}).Open(t.Context(), "rediss://u@h")
	if err == nil || !strings.Contains(err.Error(), "SERI_REDIS_IAM_CACHE): settings of AWS: no region is set") {
		t.Errorf("error %v", err)
	}
}
