package imaging

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"

	"github.com/gen2brain/jpegn"
)

// Markers of a JPEG file (ITU-T T.81, table B.1). RST0 to RST7 occur inside scans.
const (
	marker       = 0xff
	startOfImage = 0xd8
	endOfImage   = 0xd9
	startOfScan  = 0xda
	restart0     = 0xd0
	restart7     = 0xd7
	app1         = 0xe1
)

// isJPEG reports whether a file's first bytes are those of a JPEG, whatever its name says.
func isJPEG(file []byte) bool { return bytes.HasPrefix(file, []byte{marker, startOfImage}) }

func jpegConfig(r io.Reader) (image.Config, error) { return jpegn.DecodeConfig(r) }

// decodeJPEG decodes with github.com/gen2brain/jpegn, which takes a third of image/jpeg's time and
// returns the same bits with its assembly and without. It fills in what a file lacks, so
// decodeJPEG itself refuses a truncated file.
func decodeJPEG(file []byte, header image.Config) (image.Image, error) {
	if err := whole(file); err != nil {
		return nil, fmt.Errorf("the jpeg is truncated or damaged (%v): %w", err, ErrBad)
	}
	decode := func(r io.Reader) (image.Image, error) { return jpegn.Decode(r) }
	if header.ColorModel == color.CMYKModel { // jpegn v0.6.0 reads Adobe's CMYK as RGB; ImageNet has some 20 such files
		decode = jpeg.Decode
	}
	img, err := decode(bytes.NewReader(file))
	if err != nil {
		return nil, fmt.Errorf("the jpeg is truncated or damaged (%v): %w", err, ErrBad)
	}
	return img, nil
}

// whole follows a file's segments and scans up to the marker that ends the image (T.81, B.1.1). It
// ignores what comes after that.
func whole(file []byte) error {
	errEnd := errors.New("no end of image")
	for rest := file[2:]; ; {
		i := 0
		for i < len(rest) && rest[i] == marker { // any number of these bytes may precede a code
			i++
		}
		if i >= len(rest) {
			return errEnd
		}
		if i == 0 {
			return errors.New("no marker where one must be")
		}
		code := rest[i]
		rest = rest[i+1:]
		if code == endOfImage {
			return nil
		}
		if len(rest) < 2 {
			return errEnd
		}
		length := int(binary.BigEndian.Uint16(rest))
		if length < 2 || length > len(rest) {
			return errEnd
		}
		rest = rest[length:]
		if code == startOfScan {
			rest = afterScan(rest)
		}
	}
}

// afterScan skips the coded data of a scan, in which the first byte of a marker is followed by 0
// or by the code of a restart.
func afterScan(rest []byte) []byte {
	for {
		i := bytes.IndexByte(rest, marker)
		if i < 0 || i+1 >= len(rest) {
			return nil
		}
		if code := rest[i+1]; code != 0 && code != marker && (code < restart0 || code > restart7) {
			return rest[i:]
		}
		rest = rest[i+1:]
		if rest[0] != marker {
			rest = rest[1:]
		}
	}
}
