package imaging

import (
	"bytes"
	"encoding/binary"
)

// An orientation is the value of EXIF's tag 0x0112 less one. Bit 2 exchanges the axes; the others
// say which of them are reversed (CIPA DC-008, 4.6.4).
type orientation int

const upright orientation = 0

// swaps reports whether rows of the file are columns of the picture.
func (o orientation) swaps() bool { return o >= 4 }

// reversesX reports whether the viewer's order along the file's rows is reversed.
func (o orientation) reversesX() bool { return o == 1 || o == 2 || o == 6 || o == 7 }

// reversesY reports the same for the file's columns.
func (o orientation) reversesY() bool { return o == 2 || o == 3 || o == 5 || o == 6 }

// apply turns a square of side n from src into dst.
func (o orientation) apply(dst, src []byte, n int) {
	for y := range n {
		for x := range n {
			fx, fy := x, y
			if o.swaps() {
				fx, fy = y, x
			}
			if o.reversesX() {
				fx = n - 1 - fx
			}
			if o.reversesY() {
				fy = n - 1 - fy
			}
			copy(dst[3*(y*n+x):][:3], src[3*(fy*n+fx):][:3])
		}
	}
}

// exifOrientation finds the tag in a JPEG. If it is missing or makes no sense, the picture is
// upright.
func exifOrientation(file []byte) orientation {
	for rest := file[2:]; len(rest) >= 4 && rest[0] == marker && rest[1] != startOfScan; {
		length := int(binary.BigEndian.Uint16(rest[2:]))
		if length < 2 || 2+length > len(rest) {
			break
		}
		if body := rest[4 : 2+length]; rest[1] == app1 && bytes.HasPrefix(body, []byte("Exif\x00\x00")) {
			return tiffOrientation(body[6:])
		}
		rest = rest[2+length:]
	}
	return upright
}

// tiffOrientation reads the first directory of the TIFF data in EXIF (TIFF 6.0, section 2).
func tiffOrientation(t []byte) orientation {
	var order binary.ByteOrder
	switch {
	case bytes.HasPrefix(t, []byte("II*\x00")):
		order = binary.LittleEndian
	case bytes.HasPrefix(t, []byte("MM\x00*")):
		order = binary.BigEndian
	default:
		return upright
	}
	if len(t) < 8 {
		return upright
	}
	at := int64(order.Uint32(t[4:]))
	if at+2 > int64(len(t)) {
		return upright
	}
	entries := t[at+2:]
	for range order.Uint16(t[at:]) {
		if len(entries) < 12 {
			break
		}
		const tag, short = 0x0112, 3
		if order.Uint16(entries) == tag && order.Uint16(entries[2:]) == short {
			if v := order.Uint16(entries[8:]); v >= 1 && v <= 8 {
				return orientation(v - 1)
			}
			break
		}
		entries = entries[12:]
	}
	return upright
}
