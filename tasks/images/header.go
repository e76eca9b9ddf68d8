package images

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"

	"golang.org/x/image/webp"
)

// format is one that can be read. The list is closed: the registry of package image would grow with every decoder
// that some other part of the program imports.
type format struct {
	name         string
	magic        string // "?" stands for any byte
	decodeConfig func(io.Reader) (image.Config, error)
	decode       func(io.Reader) (image.Image, error)
}

var formats = []format{
	{"jpeg", "\xff\xd8\xff", jpeg.DecodeConfig, jpeg.Decode},
	{"png", "\x89PNG\r\n\x1a\n", png.DecodeConfig, png.Decode},
	{"gif", "GIF8?a", gif.DecodeConfig, decodeGIF},
	{"webp", "RIFF????WEBPVP8", webp.DecodeConfig, webp.Decode},
}

// header is what is known of a picture before it is decoded.
type header struct {
	format        format
	width, height int // as stored; orientation may swap them
	orientation   orientation
}

// maxSourceEdge is how long an edge of a source may be: as long as JPEG can make it. Scaling takes memory
// by the edge, too, and a PNG of 50,000,000 × 1 pixels is nobody's photo.
const maxSourceEdge = 65535

// inspect reads a picture's header and refuses what has more than maxPixels. It allocates next to nothing,
// whatever the header claims: a file of 100 bytes can claim a picture of 40 GB.
func inspect(data []byte, maxPixels int) (header, error) {
	f, ok := sniff(data)
	if !ok {
		return header{}, errors.New("the source is not a JPEG, PNG, GIF or WebP picture")
	}
	config, err := f.decodeConfig(bytes.NewReader(data))
	if err != nil {
		return header{}, fmt.Errorf("read the header of the %s: %w", f.name, err)
	}
	if config.Width <= 0 || config.Height <= 0 {
		return header{}, fmt.Errorf("the picture has no pixels: %d × %d", config.Width, config.Height)
	}
	if max(config.Width, config.Height) > maxSourceEdge || config.Width > maxPixels/config.Height { // the product may overflow
		return header{}, fmt.Errorf("the picture has %d × %d pixels, the limit is %d in all and %d at an edge",
			config.Width, config.Height, maxPixels, maxSourceEdge)
	}
	h := header{format: f, width: config.Width, height: config.Height, orientation: upright}
	if f.name == "jpeg" {
		h.orientation = exifOrientation(data)
	}
	return h, nil
}

func (h header) decode(data []byte) (image.Image, error) {
	return h.format.decode(bytes.NewReader(data))
}

func sniff(data []byte) (format, bool) {
	for _, f := range formats {
		if len(data) < len(f.magic) {
			continue
		}
		matches := true
		for i := range len(f.magic) {
			matches = matches && (f.magic[i] == '?' || f.magic[i] == data[i])
		}
		if matches {
			return f, true
		}
	}
	return format{}, false
}

// decodeGIF returns the first frame in its place on the canvas: the frame itself may be smaller.
func decodeGIF(r io.Reader) (image.Image, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	config, err := gif.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	frame, err := gif.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	canvas := image.Rect(0, 0, config.Width, config.Height)
	if frame.Bounds() == canvas {
		return frame, nil
	}
	return placed{frame, canvas}, nil
}

// placed is a picture on a larger, transparent canvas.
type placed struct {
	image.Image
	canvas image.Rectangle
}

func (p placed) Bounds() image.Rectangle { return p.canvas }
func (p placed) Opaque() bool            { return false }

func (p placed) At(x, y int) color.Color {
	if !image.Pt(x, y).In(p.Image.Bounds()) {
		return color.Transparent // a paletted image would answer with the first colour of its palette
	}
	return p.Image.At(x, y)
}

// opaque reports whether no part of m is transparent. A picture that cannot tell is taken for opaque.
func opaque(m image.Image) bool {
	o, ok := m.(interface{ Opaque() bool })
	return !ok || o.Opaque()
}
