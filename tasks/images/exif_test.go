package images

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/jpeg"
	"slices"
	"strings"
	"testing"
)

// withOrientation puts an EXIF segment behind a JPEG's first marker.
func withOrientation(data []byte, o uint16, order binary.AppendByteOrder) []byte {
	tiff := []byte("II*\x00")
	if order.String() == "BigEndian" {
		tiff = []byte("MM\x00*")
	}
	tiff = order.AppendUint32(tiff, 8)
	tiff = order.AppendUint16(tiff, 2) // entries
	tiff = order.AppendUint16(tiff, 0x010f)
	tiff = append(tiff, make([]byte, 10)...)
	tiff = order.AppendUint16(tiff, 0x0112)
	tiff = order.AppendUint16(tiff, 3)
	tiff = order.AppendUint32(tiff, 1)
	tiff = order.AppendUint16(tiff, o)
	tiff = order.AppendUint16(tiff, 0)
	return withSegment(data, tiff)
}

func withSegment(data, tiff []byte) []byte {
	segment := append([]byte("Exif\x00\x00"), tiff...)
	out := append(slices.Clone(data[:2]), 0xff, 0xe1)
	out = binary.BigEndian.AppendUint16(out, uint16(len(segment)+2))
	return append(append(out, segment...), data[2:]...)
}

// quarters draws a picture of 40 × 20 pixels in four colours: "rg/bw" is red and green above blue and white.
func quarters(colours string) *image.RGBA {
	colour := map[byte]color.RGBA{'r': {255, 0, 0, 255}, 'g': {0, 255, 0, 255}, 'b': {0, 0, 255, 255}, 'w': {255, 255, 255, 255}}
	m := image.NewRGBA(image.Rect(0, 0, 40, 20))
	for y := range 20 {
		for x := range 40 {
			m.SetRGBA(x, y, colour[strings.ReplaceAll(colours, "/", "")[y/10*2+x/20]])
		}
	}
	return m
}

// read is the reverse of quarters, for a picture of any size.
func read(m image.Image) string {
	var s []byte
	b := m.Bounds()
	for _, y := range []int{b.Dy() / 4, b.Dy() * 3 / 4} {
		for _, x := range []int{b.Dx() / 4, b.Dx() * 3 / 4} {
			r, g, blue, _ := m.At(b.Min.X+x, b.Min.Y+y).RGBA()
			high := [3]bool{r > 0xc000, g > 0xc000, blue > 0xc000}
			s = append(s, map[[3]bool]byte{{true}: 'r', {1: true}: 'g', {2: true}: 'b', {true, true, true}: 'w'}[high])
		}
	}
	return string(s[:2]) + "/" + string(s[2:])
}

// What is stored for each orientation, if "rg/bw" is to be seen: Exif 2.32 says which visible edges the first row and
// the first column are (for 6: right and top).
func TestPicturesStandUpright(t *testing.T) {
	t.Parallel()
	stored := map[uint16]string{
		1: "rg/bw", 2: "gr/wb", 3: "wb/gr", 4: "bw/rg",
		5: "rb/gw", 6: "gw/rb", 7: "wg/br", 8: "br/wg",
	}
	for o, colours := range stored {
		for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
			var buf bytes.Buffer
			if err := jpeg.Encode(&buf, quarters(colours), nil); err != nil {
				t.Fatal(err)
			}

			h, err := inspect(withOrientation(buf.Bytes(), o, order), 1000)

			if err != nil || h.orientation != orientation(o) {
				t.Errorf("%d, %v: read %d, %v", o, order, h.orientation, err)
				continue
			}
			seen := h.orientation.apply(quarters(colours))
			width, height := h.orientation.size(40, 20)
			if got := read(seen); got != "rg/bw" || seen.Bounds().Dx() != width || seen.Bounds().Dy() != height {
				t.Errorf("%d: shows %s in %v", o, got, seen.Bounds())
			}
		}
	}
}

func TestBrokenEXIFMeansUpright(t *testing.T) {
	t.Parallel()
	var buf bytes.Buffer
	if err := jpeg.Encode(&buf, quarters("rg/bw"), nil); err != nil {
		t.Fatal(err)
	}
	plain := buf.Bytes()
	whole := withOrientation(plain, 6, binary.LittleEndian)
	cases := map[string][]byte{
		"none":                        plain,
		"out of range":                withOrientation(plain, 9, binary.BigEndian),
		"zero":                        withOrientation(plain, 0, binary.BigEndian),
		"no TIFF":                     withSegment(plain, []byte("nonsense")),
		"too short":                   withSegment(plain, []byte("II")),
		"a directory beyond the end":  withSegment(plain, []byte("II*\x00\xff\xff\xff\xff")),
		"a directory at the end":      withSegment(plain, []byte("II*\x00\x08\x00\x00\x00")),
		"more entries than there are": withSegment(plain, []byte("II*\x00\x08\x00\x00\x00\xff\xff\x00\x00")),
	}
	for name, data := range cases {
		if got := exifOrientation(data); got != upright {
			t.Errorf("%s: got %d", name, got)
		}
	}
	for n := range whole { // cut anywhere: no panic
		if got := exifOrientation(whole[:n]); got != upright && got != 6 {
			t.Errorf("cut at %d: got %d", n, got)
		}
	}
}
