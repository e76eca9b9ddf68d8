package images

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"

	"golang.org/x/image/draw"
)

// fit returns the size of a picture whose longest edge is at most edge and whose proportions are kept, as far as
// whole pixels permit: no edge becomes 0. It never enlarges.
func fit(width, height, edge int) (int, int) {
	longest := max(width, height)
	if longest <= edge {
		return width, height
	}
	shrink := func(n int) int { return max(1, (n*edge+longest/2)/longest) }
	return shrink(width), shrink(height)
}

// strip is how many rows or columns are scaled at a time.
const strip = 32

// scale returns m in another size, by Catmull-Rom interpolation.
//
// Width and height are scaled one after the other, in strips. In one go, package draw would keep 32 bytes for every
// pixel of target width times source height (0.9 GB from 50 megapixels to 4,096), and could not be stopped halfway.
// A strip keeps its other dimension, and at scale 1 the kernel is 1 in the middle and 0 at its neighbours,
// so the strips meet without a seam.
func scale(ctx context.Context, m image.Image, width, height int) (*image.RGBA, error) {
	b := m.Bounds()

	narrow := image.NewRGBA(image.Rect(0, 0, width, b.Dy()))
	rows := draw.CatmullRom.NewScaler(width, strip, b.Dx(), strip)
	for y := 0; y < b.Dy(); y += strip {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		end := min(y+strip, b.Dy())
		rows.Scale(narrow, image.Rect(0, y, width, end), m, image.Rect(b.Min.X, b.Min.Y+y, b.Max.X, b.Min.Y+end), draw.Src, nil)
	}

	scaled := image.NewRGBA(image.Rect(0, 0, width, height))
	columns := draw.CatmullRom.NewScaler(strip, height, strip, b.Dy())
	for x := 0; x < width; x += strip {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		end := min(x+strip, width)
		columns.Scale(scaled, image.Rect(x, 0, end, height), narrow, image.Rect(x, 0, end, b.Dy()), draw.Src, nil)
	}
	return scaled, nil
}

// defaultFormat is png where jpeg would lose something that was meant to be seen.
func defaultFormat(m image.Image) string {
	if opaque(m) {
		return "jpeg"
	}
	return "png"
}

// encode returns m as a JPEG, transparent parts on white, or a PNG.
func encode(m *image.RGBA, format string) ([]byte, error) {
	var buf bytes.Buffer
	switch format {
	case "jpeg":
		if !m.Opaque() {
			paper := image.NewRGBA(m.Bounds())
			draw.Draw(paper, paper.Bounds(), image.NewUniform(color.White), image.Point{}, draw.Src)
			draw.Draw(paper, paper.Bounds(), m, m.Bounds().Min, draw.Over)
			m = paper
		}
		// 85 is where people stop seeing a difference and files are still small.
		if err := jpeg.Encode(&buf, m, &jpeg.Options{Quality: 85}); err != nil {
			return nil, err
		}
	case "png":
		if err := png.Encode(&buf, m); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("format %q cannot be written", format)
	}
	return buf.Bytes(), nil
}
