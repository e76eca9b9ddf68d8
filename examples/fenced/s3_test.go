package fenced_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/examples/fenced"
)

func TestS3RefusesLowerTokens(t *testing.T) {
	t.Parallel()
	d := documents(t, http.DefaultTransport)
	for _, step := range []struct {
		token uint64
		body  string
		fits  bool
	}{{5, "a", true}, {5, "b", true}, {4, "c", false}, {1763800000000001, "d", true}, {1763800000000000, "e", false}} {
		err := d.Publish(t.Context(), step.token, "report", []byte(step.body))
		if step.fits && err != nil {
			t.Errorf("token %d: %v", step.token, err)
		}
		if refused, ok := errors.AsType[*seri.FencedError](err); !step.fits && (!ok || refused.Seen <= refused.Held) {
			t.Errorf("token %d: %v, want a FencedError", step.token, err)
		}
	}
	wantDocument(t, d, "report", "d", 1763800000000001)
}

// The zombie has looked, and found itself the newest; then another takes over and publishes, even the very same bytes;
// then the zombie writes.
func TestS3RefusesAZombieThatLookedBefore(t *testing.T) {
	t.Parallel()
	for what, before := range map[string]bool{"a document that exists": true, "a new document": false} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			interrupt := &interrupting{}
			zombie := documents(t, interrupt)
			holder := fenced.Documents{Client: s3.NewFromConfig(aws.Config{}, func(o *s3.Options) {
				*o = zombie.Client.Options()
				o.HTTPClient = &http.Client{}
			}), Bucket: zombie.Bucket}
			if before {
				if err := zombie.Publish(t.Context(), 5, "report", []byte("same")); err != nil {
					t.Fatal(err)
				}
			}
			interrupt.with = func() {
				if err := holder.Publish(t.Context(), 6, "report", []byte("same")); err != nil {
					t.Error(err)
				}
			}

			err := zombie.Publish(t.Context(), 5, "report", []byte("same"))

			if refused, ok := errors.AsType[*seri.FencedError](err); !ok || refused.Seen != 6 {
				t.Errorf("Publish: %v, want a FencedError with 6", err)
			}
			wantDocument(t, holder, "report", "same", 6)
		})
	}
}

func TestOfManyPublishersTheHighestTokenRemains(t *testing.T) {
	t.Parallel()
	d := documents(t, http.DefaultTransport)
	const most = 12
	var all sync.WaitGroup
	for token := range uint64(most) {
		all.Go(func() {
			err := d.Publish(t.Context(), token+1, "report", fmt.Appendf(nil, "by %d", token+1))
			if _, refused := errors.AsType[*seri.FencedError](err); err != nil && !refused {
				t.Error(err)
			}
		})
	}
	all.Wait()
	wantDocument(t, d, "report", fmt.Sprintf("by %d", most), most)
}

// interrupting calls a function once, right before a conditional write.
type interrupting struct {
	with func() // nil: does not
	once sync.Once
}

func (i *interrupting) RoundTrip(r *http.Request) (*http.Response, error) {
	conditional := r.Header.Get("If-Match") != "" || r.Header.Get("If-None-Match") != ""
	if i.with != nil && r.Method == http.MethodPut && conditional {
		i.once.Do(i.with)
	}
	return http.DefaultTransport.RoundTrip(r)
}

func wantDocument(t *testing.T, d fenced.Documents, name, body string, token uint64) {
	t.Helper()
	got, by, err := d.Open(t.Context(), name)
	if err != nil || string(got) != body || by != token {
		t.Errorf("%s holds %q by %d (%v), want %q by %d", name, got, by, err, body, token)
	}
}

var buckets atomic.Int64

// documents returns documents in a bucket of the test's own: on [conditions], or where S3_ENDPOINT points to.
func documents(t *testing.T, transport http.RoundTripper) fenced.Documents {
	t.Helper()
	endpoint := os.Getenv("S3_ENDPOINT")
	if endpoint == "" {
		server := httptest.NewServer(&conditions{objects: make(map[string]object), busy: make(map[string]bool)})
		t.Cleanup(server.Close)
		endpoint = server.URL
	}
	client := s3.New(s3.Options{
		Region: "us-east-1", BaseEndpoint: &endpoint, UsePathStyle: true, HTTPClient: &http.Client{Transport: transport},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "id", SecretAccessKey: "secret"}, nil
		}),
	})
	bucket := fmt.Sprintf("bucket-%d-%d", time.Now().UnixNano(), buckets.Add(1))
	if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &bucket}); err != nil && os.Getenv("S3_ENDPOINT") != "" {
		t.Fatal(err)
	}
	return fenced.Documents{Client: client, Bucket: bucket}
}

// conditions answers as S3 does to the calls of the example, as far as conditions go: an ETag is the MD5 of the content,
// metadata do not count; If-None-Match takes "*" alone; both conditions together are refused; If-Match on what is not
// there is 404; a write beside another one of the same key is 409.
type conditions struct {
	mu      sync.Mutex
	objects map[string]object
	busy    map[string]bool
}

type object struct {
	content  []byte
	etag     string
	metadata http.Header
}

func (c *conditions) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key := r.URL.Path
	switch r.Method {
	case http.MethodPut:
		if strings.Count(key, "/") < 2 { // a bucket
			return
		}
		c.put(w, r, key)
	case http.MethodHead, http.MethodGet:
		c.mu.Lock()
		o, exists := c.objects[key]
		c.mu.Unlock()
		if !exists {
			refuse(w, http.StatusNotFound, "NoSuchKey")
			return
		}
		maps.Copy(w.Header(), o.metadata)
		w.Header().Set("ETag", o.etag)
		w.Write(o.content)
	default:
		refuse(w, http.StatusNotImplemented, "NotImplemented")
	}
}

func (c *conditions) put(w http.ResponseWriter, r *http.Request, key string) {
	match, noneMatch := r.Header.Get("If-Match"), r.Header.Get("If-None-Match")
	if noneMatch != "" && (noneMatch != "*" || match != "") {
		refuse(w, http.StatusNotImplemented, "NotImplemented")
		return
	}
	conditional := match != "" || noneMatch != ""
	c.mu.Lock()
	if c.busy[key] && conditional {
		c.mu.Unlock()
		refuse(w, http.StatusConflict, "ConditionalRequestConflict")
		return
	}
	c.busy[key] = true
	c.mu.Unlock()
	content, err := io.ReadAll(r.Body)
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.busy, key)
	was, exists := c.objects[key]
	switch {
	case err != nil || strings.Contains(r.Header.Get("Content-Encoding"), "aws-chunked"):
		refuse(w, http.StatusNotImplemented, "NotImplemented")
		return
	case noneMatch != "" && exists, match != "" && exists && match != was.etag:
		refuse(w, http.StatusPreconditionFailed, "PreconditionFailed")
		return
	case match != "" && !exists:
		refuse(w, http.StatusNotFound, "NoSuchKey")
		return
	}
	sum := md5.Sum(content)
	is := object{bytes.Clone(content), `"` + hex.EncodeToString(sum[:]) + `"`, http.Header{}}
	for name, values := range r.Header {
		if strings.HasPrefix(name, "X-Amz-Meta-") {
			is.metadata[name] = values
		}
	}
	c.objects[key] = is
	w.Header().Set("ETag", is.etag)
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s</Message></Error>", code, code)
}
