// Package tasks is the table of contents of what Seri's own worker can run: [Handlers] lists it.
// The tasks themselves are in a package for each area, which is what a program that enqueues them imports:
//
//	tasks/web      http.request      call a URL, keep the answer
//	tasks/images   image.thumbnail   scale a picture
//	tasks/tables   csv.profile       describe the columns of a CSV file
//
// Each is meant to be used, and to be copied: a package-level [seri.Task] beside the types of its arguments and its
// result, and a struct with what only the worker needs, of which a method is the handler.
package tasks

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/safehttp"
	"github.com/seri-queue/seri/tasks/images"
	"github.com/seri-queue/seri/tasks/internal/fetch"
	"github.com/seri-queue/seri/tasks/tables"
	"github.com/seri-queue/seri/tasks/web"
)

// Config is what the handlers depend on. The zero value is safe: URLs lead to public addresses only, no file is read,
// and what would have to write a file is left to other workers.
type Config struct {
	// AllowHosts opens hosts, networks and ports beyond the public Internet to the URLs that tasks are given. Entries
	// are a name, *.name, an address or a network, each with an optional port or ":*": "intranet.example.com",
	// "127.0.0.1:8080", "10.0.0.0/8:*". Without a port, 80 and 443 are meant. Default: nothing.
	AllowHosts []string
	// AllowFiles is the directory below which tasks may read file: URLs. Default: empty, none may.
	AllowFiles string
	// OutputDir is the directory below which tasks write files; it is made when it is needed. Default: empty,
	// image.thumbnail fails and is tried again, by then perhaps on a worker that has one.
	OutputDir string
	// Images limits the pictures that image.thumbnail reads. Default: 50 megapixels, 32 MiB.
	Images images.Config
}

// Handlers returns the handlers of all tasks. The error lists every fault of the configuration.
func Handlers(cfg Config) ([]seri.Handler, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	// Each kind of task has limits of its own for what comes back. None is a limit on the work as a whole:
	// that is the task's timeout.
	calls, err1 := safehttp.New(safehttp.Config{Allow: cfg.AllowHosts, Timeout: web.Timeout, MaxBodyBytes: -1}) // keeps the first 64 KiB and hangs up
	pictures, err2 := safehttp.New(safehttp.Config{Allow: cfg.AllowHosts, Timeout: 2 * time.Minute, MaxBodyBytes: cfg.Images.MaxBytes})
	streams, err3 := safehttp.New(safehttp.Config{Allow: cfg.AllowHosts, Timeout: tables.Timeout, MaxBodyBytes: -1}) // of any size, never kept
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}

	caller := &web.Caller{Client: calls}
	thumbnailer := images.NewThumbnailer(&fetch.Opener{Client: pictures, Files: cfg.AllowFiles}, cfg.OutputDir, cfg.Images)
	profiler := &tables.Profiler{Source: &fetch.Opener{Client: streams, Files: cfg.AllowFiles}}
	return []seri.Handler{
		web.Request.HandledBy(caller.Do),
		images.Thumbnail.HandledBy(thumbnailer.Make),
		tables.Profile.HandledBy(profiler.Describe),
	}, nil
}

func (c Config) validate() error {
	var errs []error
	if _, err := safehttp.ParseAllowList(c.AllowHosts); err != nil {
		errs = append(errs, fmt.Errorf("option AllowHosts: %w", err))
	}
	if c.AllowFiles != "" {
		if info, err := os.Stat(c.AllowFiles); err != nil {
			errs = append(errs, fmt.Errorf("option AllowFiles: %w", err))
		} else if !info.IsDir() {
			errs = append(errs, fmt.Errorf("option AllowFiles: %s is not a directory", c.AllowFiles))
		}
	}
	if info, err := os.Stat(c.OutputDir); err == nil && !info.IsDir() {
		errs = append(errs, fmt.Errorf("option OutputDir: %s is not a directory", c.OutputDir))
	}
	if c.Images.MaxPixels < 0 || c.Images.MaxBytes < 0 {
		errs = append(errs, fmt.Errorf("option Images has limits of %d pixels and %d bytes, must not be negative", c.Images.MaxPixels, c.Images.MaxBytes))
	}
	return errors.Join(errs...)
}
