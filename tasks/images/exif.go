package images

import (
	"bytes"
	"encoding/binary"
	"image"
)

// orientation is how a stored picture has to be turned to stand upright, in EXIF's numbers: 1 to 8.
//
// Source: CIPA DC-008 (Exif 2.32), tag 0x0112.
type orientation int

const upright orientation = 1

// swaps reports whether width and height change places.
func (o orientation) swaps() bool { return o >= 5 }

func (o orientation) size(width, height int) (int, int) {
	if o.swaps() {
		return height, width
	}
	return width, height
}

// apply returns m turned upright; m itself if it is.
func (o orientation) apply(m *image.RGBA) *image.RGBA {
	if o <= upright || o > 8 {
		return m
	}
	w, h := m.Bounds().Dx(), m.Bounds().Dy()
	turned := image.NewRGBA(image.Rect(0, 0, w, h))
	if o.swaps() {
		turned = image.NewRGBA(image.Rect(0, 0, h, w))
	}
	for y := range h {
		for x := range w {
			var to image.Point
			switch o {
			case 2: // mirrored
				to = image.Pt(w-1-x, y)
			case 3: // upside down
				to = image.Pt(w-1-x, h-1-y)
			case 4: // mirrored, upside down
				to = image.Pt(x, h-1-y)
			case 5: // mirrored, to be turned left
				to = image.Pt(y, x)
			case 6: // to be turned right
				to = image.Pt(h-1-y, x)
			case 7: // mirrored, to be turned right
				to = image.Pt(h-1-y, w-1-x)
			case 8: // to be turned left
				to = image.Pt(y, w-1-x)
			}
			copy(turned.Pix[turned.PixOffset(to.X, to.Y):][:4], m.Pix[m.PixOffset(x, y):][:4])
		}
	}
	return turned
}

// exifOrientation reads the orientation from a JPEG's EXIF segment. Whatever is missing, broken or out of range means
// upright: a picture that stands wrong is better than none.
func exifOrientation(data []byte) orientation {
	const markerApp1, markerSOS = 0xe1, 0xda
	for at := 2; at+4 <= len(data) && data[at] == 0xff; {
		marker := data[at+1]
		if marker == 0xff { // padding
			at++
			continue
		}
		length := int(binary.BigEndian.Uint16(data[at+2:]))
		end := at + 2 + length
		if marker == markerSOS || length < 2 || end > len(data) {
			break
		}
		if segment, ok := bytes.CutPrefix(data[at+4:end], []byte("Exif\x00\x00")); ok && marker == markerApp1 {
			return tiffOrientation(segment)
		}
		at = end
	}
	return upright
}

// tiffOrientation finds tag 0x0112 in the first directory of a TIFF file, which is what EXIF data are.
func tiffOrientation(tiff []byte) orientation {
	const tagOrientation, typeShort, entryBytes = 0x0112, 3, 12
	if len(tiff) < 8 {
		return upright
	}
	var order binary.ByteOrder
	switch string(tiff[:4]) {
	case "II*\x00":
		order = binary.LittleEndian
	case "MM\x00*":
		order = binary.BigEndian
	default:
		return upright
	}
	offset := int64(order.Uint32(tiff[4:]))
	if offset+2 > int64(len(tiff)) {
		return upright
	}
	entries := tiff[offset+2:]
	for range order.Uint16(tiff[offset:]) {
		if len(entries) < entryBytes {
			break
		}
		if order.Uint16(entries) == tagOrientation && order.Uint16(entries[2:]) == typeShort {
			if o := orientation(order.Uint16(entries[8:])); o >= 1 && o <= 8 {
				return o
			}
			break
		}
		entries = entries[entryBytes:]
	}
	return upright
}
