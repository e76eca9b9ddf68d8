package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/seri-queue/seri"
)

// Opener opens sources.
type Opener struct {
	// Client fetches http and https URLs; it is made by package safehttp.
	Client *http.Client
	// Files is the directory below which file: URLs may be read. Empty: none may.
	Files string
}

// Source is an open source. Close it.
type Source struct {
	io.ReadCloser
	// Size is what the source says of its length, in bytes. -1: nothing.
	Size int64
}

// Open opens the source that rawURL names. Its errors are marked for the worker: what would fail again is permanent.
// Reading is bound by ctx for a URL, and not for a file. What reading returns is for [Failure] to mark.
func (o *Opener) Open(ctx context.Context, rawURL string) (*Source, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, seri.Permanent(fmt.Errorf("read source: %w", withoutURL(err)))
	}
	if u.Scheme == "file" {
		return openFile(o.Files, u)
	}

	req, err := http.NewRequestWithContext(ctx, http.MethodGet, rawURL, nil)
	if err != nil {
		return nil, seri.Permanent(fmt.Errorf("read source: %w", withoutURL(err)))
	}
	req.Header.Set("User-Agent", "seri")
	resp, err := o.Client.Do(req)
	if err != nil {
		return nil, Failure(fmt.Errorf("read source: %w", err))
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("read source: %w", StatusError(resp))
	}
	return &Source{resp.Body, resp.ContentLength}, nil
}

// withoutURL cuts a parse error's quotation of the URL, which may hold a password where nobody can find it to hide it.
func withoutURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return fmt.Errorf("the URL cannot be read: %w", e.Err)
	}
	return err
}
