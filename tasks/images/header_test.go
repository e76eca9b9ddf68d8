package images

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/color/palette"
	"image/gif"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// pngHeader returns a PNG that claims a size and has no pixels: 57 bytes.
func pngHeader(width, height uint32) []byte {
	b := []byte("\x89PNG\r\n\x1a\n")
	chunk := func(kind string, data []byte) {
		b = binary.BigEndian.AppendUint32(b, uint32(len(data)))
		body := append([]byte(kind), data...)
		b = append(b, body...)
		b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(body))
	}
	ihdr := binary.BigEndian.AppendUint32(nil, width)
	ihdr = binary.BigEndian.AppendUint32(ihdr, height)
	chunk("IHDR", append(ihdr, 8, 6, 0, 0, 0)) // 8 bits, RGBA
	chunk("IDAT", nil)
	chunk("IEND", nil)
	return b
}

func gifHeader(width, height uint16) []byte {
	b := binary.LittleEndian.AppendUint16([]byte("GIF89a"), width)
	b = binary.LittleEndian.AppendUint16(b, height)
	return append(b, 0, 0, 0)
}

func webpHeader(width, height uint32) []byte {
	b := []byte("RIFF\x16\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x00\x00\x00\x00")
	b = append(b, byte(width-1), byte((width-1)>>8), byte((width-1)>>16))
	return append(b, byte(height-1), byte((height-1)>>8), byte((height-1)>>16))
}

// jpegHeader claims a size in its frame header, and ends there.
func jpegHeader(width, height uint16) []byte {
	b := []byte{0xff, 0xd8, 0xff, 0xc0, 0, 17, 8}
	b = binary.BigEndian.AppendUint16(b, height)
	b = binary.BigEndian.AppendUint16(b, width)
	return append(b, 3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1, 0xff, 0xda, 0, 8)
}

// Not parallel: it measures what the whole process allocates.
func TestBombsAreRefusedBeforeTheyUnfold(t *testing.T) {
	const limit = 50_000_000
	cases := map[string][]byte{
		"a PNG of 100,000 × 100,000":        pngHeader(100_000, 100_000),
		"a PNG of 2³¹-1 × 2³¹-1":            pngHeader(1<<31-1, 1<<31-1),
		"a PNG just beyond the limit":       pngHeader(10_000, 5_001),
		"a PNG with a very long edge":       pngHeader(limit, 1),
		"a PNG with a very long other edge": pngHeader(1, limit),
		"a GIF of 65,535 × 65,535":          gifHeader(65535, 65535),
		"a JPEG of 65,500 × 65,500":         jpegHeader(65500, 65500),
		"a WebP of 16,384 × 16,384":         webpHeader(16384, 16384),
		"a PNG without pixels":              pngHeader(0, 10),
	}
	for name, data := range cases {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)

			_, err := inspect(data, limit)

			runtime.ReadMemStats(&after)
			if err == nil {
				t.Error("it was accepted")
			}
			if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<20 {
				t.Errorf("it took %d bytes to refuse %d", grown, len(data))
			}
		})
	}
	if _, err := inspect(pngHeader(10_000, 5_000), limit); err != nil {
		t.Errorf("exactly the limit: %v", err)
	}
}

func TestOnlyPicturesAreRead(t *testing.T) {
	t.Parallel()
	for _, data := range []string{"", "\xff\xd8", "GIF87", "<svg xmlns='http://www.w3.org/2000/svg'/>", "BM......", "II*\x00", "RIFF....WAVEfmt ", strings.Repeat("\x00", 100)} {
		if _, err := inspect([]byte(data), 100); err == nil || !strings.Contains(err.Error(), "not a JPEG, PNG, GIF or WebP") {
			t.Errorf("%q: got %v", data, err)
		}
	}
}

func TestAGIFFrameStandsInItsPlace(t *testing.T) {
	t.Parallel()
	frame := image.NewPaletted(image.Rect(2, 2, 4, 4), palette.Plan9)
	for i := range frame.Pix {
		frame.Pix[i] = 255 // white
	}
	var buf bytes.Buffer
	if err := gif.EncodeAll(&buf, &gif.GIF{Image: []*image.Paletted{frame}, Delay: []int{0}, Config: image.Config{Width: 6, Height: 6, ColorModel: color.Palette(palette.Plan9)}}); err != nil {
		t.Fatal(err)
	}

	m, err := decodeGIF(&buf)

	if err != nil {
		t.Fatal(err)
	}
	_, _, _, outside := m.At(0, 0).RGBA()
	r, _, _, inside := m.At(3, 3).RGBA()
	if m.Bounds() != image.Rect(0, 0, 6, 6) || opaque(m) || outside != 0 || inside != 0xffff || r != 0xffff {
		t.Errorf("got bounds %v, alpha %x outside and %x inside", m.Bounds(), outside, inside)
	}
}

// FuzzInspect: whatever the bytes, a header within the limits or an error, and what is small enough decodes without
// a panic to what its header says.
func FuzzInspect(f *testing.F) {
	const limit = 1 << 16
	picture := image.NewRGBA(image.Rect(0, 0, 8, 5))
	var j, p, g bytes.Buffer
	jpeg.Encode(&j, picture, nil)
	png.Encode(&p, picture)
	gif.Encode(&g, picture, nil)
	f.Add(j.Bytes())
	f.Add(p.Bytes())
	f.Add(g.Bytes())
	f.Add(withOrientation(j.Bytes(), 6, binary.LittleEndian))
	f.Add(pngHeader(100_000, 100_000))
	f.Add(gifHeader(65535, 65535))
	f.Add(jpegHeader(65500, 65500))
	f.Add(webpHeader(16384, 16384))
	files, _ := filepath.Glob("testdata/*.webp")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := inspect(data, limit)
		if err != nil {
			return
		}
		if h.width <= 0 || h.height <= 0 || h.width*h.height > limit || h.orientation < 1 || h.orientation > 8 {
			t.Fatalf("accepted %d × %d, orientation %d", h.width, h.height, h.orientation)
		}
		m, err := h.decode(data)
		if err == nil && (m.Bounds().Dx() != h.width || m.Bounds().Dy() != h.height) {
			t.Fatalf("the header says %d × %d, the picture is %v", h.width, h.height, m.Bounds())
		}
	})
}
