package fenced

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"github.com/seri-queue/seri"
)

// Documents keeps fenced documents in S3. S3 does not know tokens, but it can compare and set: a write with If-Match
// succeeds only if the object still has the ETag that was read, one with If-None-Match: * only if there is no object.
//
// An ETag is a digest of the content alone. If the token were in the metadata only, then an object that was replaced
// by an equal one of a newer holder would look unchanged, and a former holder's write would pass. So what is compared
// and set is a small pointer with the token in its content; the document itself lies under a key that has the token in
// its name, and that nobody but that token's holder writes. The token is in the metadata of the pointer as well, so that
// a HEAD tells it.
type Documents struct {
	Client *s3.Client
	Bucket string
}

// pointer is the content of the object with a document's name.
type pointer struct {
	Token  uint64 `json:"token,string"`
	Object string `json:"object"` // key of the document
}

const tokenInMetadata = "seri-token"

// Publish writes a document. It returns a [*seri.FencedError] if a higher token has published it before. What refused
// writers leave behind, under keys of their own, a lifecycle rule may delete.
func (d Documents) Publish(ctx context.Context, token uint64, name string, body []byte) error {
	object := fmt.Sprintf("%s@%d", name, token)
	_, err := d.Client.PutObject(ctx, &s3.PutObjectInput{Bucket: &d.Bucket, Key: &object, Body: bytes.NewReader(body)})
	if err != nil {
		return fmt.Errorf("publish %s: %w", name, err)
	}
	content, err := json.Marshal(pointer{token, object})
	if err != nil {
		return err
	}
	for range 100 { // each time another was faster; those with lower tokens give up
		etag, newest, err := d.newest(ctx, name)
		if err != nil {
			return fmt.Errorf("publish %s: %w", name, err)
		}
		if newest > token {
			return &seri.FencedError{Resource: "document " + name, Held: token, Seen: newest}
		}
		put := &s3.PutObjectInput{
			Bucket: &d.Bucket, Key: &name, Body: bytes.NewReader(content), ContentType: aws.String("application/json"),
			Metadata: map[string]string{tokenInMetadata: strconv.FormatUint(token, 10)},
		}
		if etag == "" {
			put.IfNoneMatch = aws.String("*")
		} else {
			put.IfMatch = &etag
		}
		_, err = d.Client.PutObject(ctx, put)
		// 412: it has changed; 409: it is being changed; 404: it was deleted. Look again.
		if !is(err, "PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey") {
			return err
		}
	}
	return fmt.Errorf("publish %s: too many others do the same", name)
}

// newest returns the ETag of the pointer and its token; "" and 0 if there is none.
func (d Documents) newest(ctx context.Context, name string) (etag string, token uint64, err error) {
	head, err := d.Client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &d.Bucket, Key: &name})
	if is(err, "NotFound", "NoSuchKey") {
		return "", 0, nil
	}
	if err != nil {
		return "", 0, err
	}
	token, err = strconv.ParseUint(head.Metadata[tokenInMetadata], 10, 64)
	if err != nil {
		return "", 0, fmt.Errorf("%s was not written by Publish: %w", name, err)
	}
	return aws.ToString(head.ETag), token, nil
}

// Open returns the newest document and the token that has published it.
func (d Documents) Open(ctx context.Context, name string) (body []byte, token uint64, err error) {
	content, err := d.get(ctx, name)
	if err != nil {
		return nil, 0, err
	}
	var p pointer
	if err := json.Unmarshal(content, &p); err != nil {
		return nil, 0, fmt.Errorf("open %s: %w", name, err)
	}
	body, err = d.get(ctx, p.Object)
	return body, p.Token, err
}

func (d Documents) get(ctx context.Context, key string) ([]byte, error) {
	got, err := d.Client.GetObject(ctx, &s3.GetObjectInput{Bucket: &d.Bucket, Key: &key})
	if err != nil {
		return nil, err
	}
	defer got.Body.Close()
	return io.ReadAll(got.Body)
}

// is reports whether S3 has answered with one of these codes.
func is(err error, codes ...string) bool {
	answer, ok := errors.AsType[smithy.APIError](err)
	for _, code := range codes {
		if ok && answer.ErrorCode() == code {
			return true
		}
	}
	return false
}
