package images

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	"io"
	"path"
	"slices"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/safehttp"
	"github.com/seri-queue/seri/tasks/internal/fetch"
)

// Config tunes a [Thumbnailer]. The zero value is ready to use.
type Config struct {
	// MaxPixels limits a source's width times height, checked before anything of it is decoded. The pictures that are
	// decoded at the same time share it: one of 50 megapixels, or ten of 5. Default: 50,000,000, which no camera of
	// today misses by much, and which keeps the memory of decoding below 1 GB at the worst (a progressive JPEG
	// without subsampling takes 15 bytes a pixel).
	MaxPixels int
	// MaxBytes limits a source's encoded size. Default: 32 MiB.
	MaxBytes int64
}

// Thumbnailer is what a worker needs to handle [Thumbnail]. Make it with [NewThumbnailer].
type Thumbnailer struct {
	source *fetch.Opener
	output string
	config Config
	pixels *budget
}

// NewThumbnailer returns a handler that opens sources with source and writes below the directory output,
// which is made when it is first needed. With an empty output every task fails and is tried again later:
// the fault is this worker's, and another one may be better equipped.
func NewThumbnailer(source *fetch.Opener, output string, cfg Config) *Thumbnailer {
	cfg.MaxPixels = cmp.Or(cfg.MaxPixels, 50_000_000)
	cfg.MaxBytes = cmp.Or(cfg.MaxBytes, 32<<20)
	return &Thumbnailer{source: source, output: output, config: cfg, pixels: newBudget(cfg.MaxPixels)}
}

// Make handles [Thumbnail].
func (t *Thumbnailer) Make(ctx context.Context, args ThumbnailArgs) (ThumbnailResult, error) {
	if err := args.validate(); err != nil {
		return ThumbnailResult{}, seri.Permanent(err)
	}
	if t.output == "" {
		return ThumbnailResult{}, errors.New("this worker has no directory to write to: set its option OutputDir")
	}

	data, err := t.read(ctx, args.Source)
	if err != nil {
		return ThumbnailResult{}, err
	}
	header, err := inspect(data, t.config.MaxPixels)
	if err != nil {
		return ThumbnailResult{}, seri.Permanent(err)
	}
	release, err := t.pixels.acquire(ctx, header.width*header.height)
	if err != nil {
		return ThumbnailResult{}, err
	}
	defer release()
	picture, err := header.decode(data)
	if err != nil {
		return ThumbnailResult{}, seri.Permanent(fmt.Errorf("decode %s: %w", header.format.name, err))
	}

	format := cmp.Or(args.Format, defaultFormat(picture))
	result := ThumbnailResult{Format: header.format.name}
	result.Width, result.Height = header.orientation.size(header.width, header.height)
	sum := sha256.Sum256(data)
	for i, size := range args.Sizes {
		seri.Progress(ctx, int64(i), int64(len(args.Sizes)), fmt.Sprintf("scaling to %d pixels", size))
		thumb, err := t.makeOne(ctx, picture, header.orientation, size, format, hex.EncodeToString(sum[:16]))
		if err != nil {
			return ThumbnailResult{}, fmt.Errorf("make thumbnail of %d pixels: %w", size, err)
		}
		seri.Log(ctx).Info("wrote a thumbnail", "width", thumb.Width, "height", thumb.Height, "bytes", thumb.Bytes)
		result.Thumbnails = append(result.Thumbnails, thumb)
	}
	seri.Progress(ctx, int64(len(args.Sizes)), int64(len(args.Sizes)), "done")
	return result, nil
}

// makeOne scales, turns, encodes and writes one copy.
func (t *Thumbnailer) makeOne(ctx context.Context, picture image.Image, o orientation, size int, format, digest string) (Thumb, error) {
	width, height := fit(picture.Bounds().Dx(), picture.Bounds().Dy(), size)
	scaled, err := scale(ctx, picture, width, height)
	if err != nil {
		return Thumb{}, err
	}
	upright := o.apply(scaled) // after scaling: the small picture is turned at a fraction of the cost
	data, err := encode(upright, format)
	if err != nil {
		return Thumb{}, err
	}

	// The digest's first byte as a directory keeps directories small. 128 bits of it cannot be guessed,
	// so who knows a path has known the picture.
	name := path.Join("thumbnails", digest[:2], fmt.Sprintf("%s-%d.%s", digest, size, format))
	if err := writeFile(t.output, name, data); err != nil {
		return Thumb{}, err
	}
	return Thumb{
		Size: size, Path: name, URL: "/files/" + name,
		Width: upright.Bounds().Dx(), Height: upright.Bounds().Dy(), Bytes: int64(len(data)),
	}, nil
}

// read returns the source's bytes, and not one more than the limit.
func (t *Thumbnailer) read(ctx context.Context, url string) ([]byte, error) {
	source, err := t.source.Open(ctx, url)
	if err != nil {
		return nil, err
	}
	defer source.Close()
	tooLarge := seri.Permanent(fmt.Errorf("read source: %w", &safehttp.TooLargeError{Limit: t.config.MaxBytes}))
	if source.Size > t.config.MaxBytes {
		return nil, tooLarge
	}
	data, err := io.ReadAll(io.LimitReader(source, t.config.MaxBytes+1))
	if err != nil {
		return nil, fetch.Failure(fmt.Errorf("read source: %w", err))
	}
	if int64(len(data)) > t.config.MaxBytes {
		return nil, tooLarge
	}
	return data, nil
}

func (a ThumbnailArgs) validate() error {
	var errs []error
	if len(a.Sizes) == 0 || len(a.Sizes) > MaxSizes {
		errs = append(errs, fmt.Errorf("sizes has %d entries, must have 1 to %d", len(a.Sizes), MaxSizes))
	}
	for i, size := range a.Sizes {
		if size < 1 || size > MaxEdge {
			errs = append(errs, fmt.Errorf("sizes[%d] is %d, must be between 1 and %d", i, size, MaxEdge))
		}
	}
	if !slices.Contains([]string{"", "jpeg", "png"}, a.Format) {
		errs = append(errs, fmt.Errorf("format is %q, must be jpeg or png", a.Format))
	}
	return errors.Join(errs...)
}
