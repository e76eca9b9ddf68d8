package images_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/safehttp"
	"github.com/seri-queue/seri/seritest"
	"github.com/seri-queue/seri/tasks/images"
	"github.com/seri-queue/seri/tasks/internal/fetch"
	"github.com/seri-queue/seri/tasks/samples"
)

// world is a handler, the directories that it reads and writes, and a server for the former.
type world struct {
	*images.Thumbnailer
	files, output, url string
}

func newWorld(t *testing.T, cfg images.Config) world {
	t.Helper()
	w := world{files: t.TempDir(), output: filepath.Join(t.TempDir(), "not", "there", "yet")}
	server := httptest.NewServer(http.FileServer(http.Dir(w.files)))
	t.Cleanup(server.Close)
	w.url = server.URL
	client, err := safehttp.New(safehttp.Config{Allow: []string{"127.0.0.1:*"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	w.Thumbnailer = images.NewThumbnailer(&fetch.Opener{Client: client, Files: w.files}, w.output, cfg)
	return w
}

// put writes a file that the handler can read, and returns its URL.
func (w world) put(t *testing.T, name string, data []byte) string {
	t.Helper()
	if err := os.WriteFile(filepath.Join(w.files, name), data, 0o644); err != nil {
		t.Fatal(err)
	}
	return w.url + "/" + name
}

func (w world) open(t *testing.T, path string) (image.Image, string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(w.output, path))
	if err != nil {
		t.Fatal(err)
	}
	m, format, err := image.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return m, format
}

func photo(t *testing.T) []byte {
	t.Helper()
	data, err := samples.FS.ReadFile("photo.jpeg")
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func encodePNG(t *testing.T, m image.Image) []byte {
	t.Helper()
	var buf bytes.Buffer
	if err := png.Encode(&buf, m); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestThumbnailsOfAPhoto(t *testing.T) {
	t.Parallel()
	w := newWorld(t, images.Config{})
	args := images.ThumbnailArgs{Source: w.put(t, "photo.jpeg", photo(t)), Sizes: []int{64, 32, 1000}}
	var reports []seri.ProgressInfo

	got, err := seritest.Run(t, images.Thumbnail, w.Make, args, seritest.Progress(&reports))

	if err != nil {
		t.Fatal(err)
	}
	if got.Format != "jpeg" || got.Width != 150 || got.Height != 103 || len(got.Thumbnails) != 3 {
		t.Fatalf("got %+v", got)
	}
	for i, want := range []image.Point{{64, 44}, {32, 22}, {150, 103}} { // never enlarged
		thumb := got.Thumbnails[i]
		m, format := w.open(t, thumb.Path)
		if m.Bounds().Size() != want || thumb.Width != want.X || thumb.Height != want.Y || thumb.Size != args.Sizes[i] || format != "jpeg" {
			t.Errorf("%d: got %+v, in the file %v as %s", args.Sizes[i], thumb, m.Bounds(), format)
		}
		info, err := os.Stat(filepath.Join(w.output, thumb.Path))
		if err != nil || info.Size() != thumb.Bytes || thumb.URL != "/files/"+thumb.Path {
			t.Errorf("%d: got %+v, the file has %d bytes (%v)", args.Sizes[i], thumb, info.Size(), err)
		}
	}
	if n := len(reports); n != 4 || reports[1].Done != 1 || reports[3].Done != 3 || reports[3].Total != 3 {
		t.Errorf("progress: %v", reports)
	}
}

func TestRepeatingWritesTheSameFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t, images.Config{})
	args := images.ThumbnailArgs{Source: w.put(t, "photo.jpeg", photo(t)), Sizes: []int{50}}

	first, err1 := seritest.Run(t, images.Thumbnail, w.Make, args)
	args.Source = "file:photo.jpeg" // the same picture by another name
	second, err2 := seritest.Run(t, images.Thumbnail, w.Make, args, seritest.Attempt(2))

	if err1 != nil || err2 != nil || !slices.Equal(first.Thumbnails, second.Thumbnails) {
		t.Errorf("got %+v, %v, then %+v, %v", first, err1, second, err2)
	}
	files, _ := filepath.Glob(filepath.Join(w.output, "thumbnails", "*", "*"))
	hidden, _ := filepath.Glob(filepath.Join(w.output, "thumbnails", "*", ".*"))
	if len(files) != 1 || len(hidden) != 0 {
		t.Errorf("left behind: %v %v", files, hidden)
	}
}

func TestFormats(t *testing.T) {
	t.Parallel()
	glass := image.NewNRGBA(image.Rect(0, 0, 20, 10)) // transparent on the left
	for y := range 10 {
		for x := 10; x < 20; x++ {
			glass.SetNRGBA(x, y, color.NRGBA{R: 255, A: 255})
		}
	}
	webp := func(name string) []byte {
		data, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	gray := image.NewGray16(image.Rect(5, 5, 25, 15))
	cases := map[string]struct {
		data         []byte
		ask          string
		read, format string
	}{
		"a photo":                        {data: photo(t), read: "jpeg", format: "jpeg"},
		"a photo, as png":                {data: photo(t), ask: "png", read: "jpeg", format: "png"},
		"a transparent png stays one":    {data: encodePNG(t, glass), read: "png", format: "png"},
		"a transparent png, as jpeg":     {data: encodePNG(t, glass), ask: "jpeg", read: "png", format: "jpeg"},
		"a png without transparency":     {data: encodePNG(t, gray), read: "png", format: "jpeg"},
		"a lossy webp":                   {data: webp("lossy.webp"), read: "webp", format: "jpeg"},
		"a lossless webp":                {data: webp("lossless.webp"), read: "webp", format: "jpeg"},
		"a transparent webp becomes png": {data: webp("rose-alpha.webp"), read: "webp", format: "png"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, images.Config{})

			got, err := seritest.Run(t, images.Thumbnail, w.Make, images.ThumbnailArgs{Source: w.put(t, "x", c.data), Sizes: []int{16}, Format: c.ask})

			if err != nil {
				t.Fatal(err)
			}
			m, format := w.open(t, got.Thumbnails[0].Path)
			if got.Format != c.read || format != c.format || !strings.HasSuffix(got.Thumbnails[0].Path, "."+c.format) {
				t.Errorf("read as %s, written as %s to %s", got.Format, format, got.Thumbnails[0].Path)
			}
			if b := m.Bounds(); max(b.Dx(), b.Dy()) != 16 {
				t.Errorf("got %v", b)
			}
			if name == "a transparent png, as jpeg" {
				if r, g, b, _ := m.At(1, 4).RGBA(); min(r, g, b) < 0xf000 {
					t.Errorf("the transparent part is %x %x %x, want white", r, g, b)
				}
			}
		})
	}
}

func TestWhatCannotBeScaledIsPermanent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, images.Config{MaxPixels: 20_000, MaxBytes: 6_000})
	whole := photo(t)
	good := w.put(t, "good", whole)
	cases := map[string]struct {
		args images.ThumbnailArgs
		says string
	}{
		"no sizes":        {images.ThumbnailArgs{Source: good}, "sizes has 0 entries"},
		"too many sizes":  {images.ThumbnailArgs{Source: good, Sizes: make([]int, 17)}, "sizes has 17 entries"},
		"a size of zero":  {images.ThumbnailArgs{Source: good, Sizes: []int{10, 0}}, "sizes[1] is 0"},
		"a size too big":  {images.ThumbnailArgs{Source: good, Sizes: []int{4097}}, "between 1 and 4096"},
		"another format":  {images.ThumbnailArgs{Source: good, Sizes: []int{10}, Format: "webp"}, "must be jpeg or png"},
		"too many pixels": {images.ThumbnailArgs{Source: w.put(t, "pixels", encodePNG(t, image.NewGray(image.Rect(0, 0, 200, 101)))), Sizes: []int{10}}, "the limit is 20000"},
		"too many bytes":  {images.ThumbnailArgs{Source: w.put(t, "bytes", append(whole, make([]byte, 3000)...)), Sizes: []int{10}}, "limit of 6000 bytes"},
		"half a picture":  {images.ThumbnailArgs{Source: w.put(t, "half", whole[:len(whole)/8]), Sizes: []int{10}}, "jpeg"},
		"no picture":      {images.ThumbnailArgs{Source: w.put(t, "text", []byte("hello")), Sizes: []int{10}}, "not a JPEG"},
		"no file":         {images.ThumbnailArgs{Source: w.url + "/none", Sizes: []int{10}}, "404"},
		"an inner URL":    {images.ThumbnailArgs{Source: "http://10.0.0.1/x.png", Sizes: []int{10}}, "allow-list"},
		"another file":    {images.ThumbnailArgs{Source: "file:///etc/passwd", Sizes: []int{10}}, "AllowFiles"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := seritest.Run(t, images.Thumbnail, w.Make, c.args)

			if !seri.IsPermanent(err) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want a permanent error that says %q", err, c.says)
			}
		})
	}
}

func TestAWorkerWithoutDirectoryLeavesTheTaskToOthers(t *testing.T) {
	t.Parallel()
	thumbnailer := images.NewThumbnailer(&fetch.Opener{}, "", images.Config{})

	_, err := seritest.Run(t, images.Thumbnail, thumbnailer.Make, images.ThumbnailArgs{Source: "file:x", Sizes: []int{1}})

	if err == nil || seri.IsPermanent(err) || !strings.Contains(err.Error(), "OutputDir") {
		t.Errorf("got %v", err)
	}
}

func TestARevokedThumbnailEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, images.Config{})
	ctx, cancel := context.WithCancelCause(t.Context())
	source := w.put(t, "photo.jpeg", photo(t))
	cancel(seri.ErrRevoked)

	_, err := seritest.Run(t, images.Thumbnail, w.Make, images.ThumbnailArgs{Source: source, Sizes: []int{10}}, seritest.Context(ctx))

	if !errors.Is(err, seri.ErrRevoked) {
		t.Errorf("got %v", err)
	}
}

func BenchmarkThumbnail(b *testing.B) {
	const width, height = 4000, 3000
	m := image.NewYCbCr(image.Rect(0, 0, width, height), image.YCbCrSubsampleRatio420)
	for i := range m.Y {
		m.Y[i] = byte(i ^ i>>8)
	}
	var buf bytes.Buffer
	if err := jpeg.Encode(&buf, m, nil); err != nil {
		b.Fatal(err)
	}
	files, output := b.TempDir(), b.TempDir()
	if err := os.WriteFile(filepath.Join(files, "x.jpeg"), buf.Bytes(), 0o644); err != nil {
		b.Fatal(err)
	}
	thumbnailer := images.NewThumbnailer(&fetch.Opener{Files: files}, output, images.Config{})
	for b.Loop() {
		if _, err := thumbnailer.Make(b.Context(), images.ThumbnailArgs{Source: "file:x.jpeg", Sizes: []int{320, 1280}}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(width*height/1e6*float64(b.N)/b.Elapsed().Seconds(), "MP/s")
}

func ExampleThumbnail() {
	message, err := images.Thumbnail.Message(images.ThumbnailArgs{
		Source: "https://shop.example/photos/17.jpeg",
		Sizes:  []int{320, 1280},
	}, seri.Owner("user:42"))

	fmt.Println(message.Type, string(message.Payload), err)
	// Output: image.thumbnail {"source":"https://shop.example/photos/17.jpeg","sizes":[320,1280]} <nil>
}
