// Package imaging turns image files into the square RGB images that nets are trained on. It
// decodes JPEG and PNG whatever the file's name says, turns images as their EXIF data asks, and
// resizes and cuts them as the paper did (section 2: "we first rescaled the image such that the
// shorter side was of length 256, and then cropped out the central 256×256 patch").
//
// The result is computed with integers and is the same on every machine.
package imaging

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/png"
)

// ErrBad reports a file without a usable image. The message says why.
var ErrBad = errors.New("not a usable image")

// MaxPixels is the largest image that is decoded, in pixels. It is also the most pixels that all
// readers of the process decode at a time: a decoder takes up to 12 bytes a pixel beside the
// image, and a file of 1 MB can hold 100 million pixels. The largest image of ImageNet has 61
// million.
const MaxPixels = 1 << 26

// A Fit says how an image of any size becomes a square. Exactly one field is set.
type Fit struct {
	// ShortSide resizes the image so that the shorter side has this length in pixels, and cuts out
	// the centre.
	ShortSide int `json:"short_side,omitempty"`
	// Size stretches the whole image to this height and width in pixels.
	Size int `json:"size,omitempty"`
}

// Method names the arithmetic of Read. It changes whenever the resulting bytes do, so that images
// made in different ways are not mistaken for the same.
const Method = "area down, Catmull-Rom up, per YCbCr plane, 14-bit weights (2)"

// Side returns the height and width of the result in pixels.
func (f Fit) Side() int { return max(f.ShortSide, f.Size) }

// Len returns the number of bytes of the result: Side × Side × 3.
func (f Fit) Len() int { return 3 * f.Side() * f.Side() }

// Validate refuses a fit with no field set, or with both.
func (f Fit) Validate() error {
	switch {
	case f.ShortSide != 0 && f.Size != 0:
		return errors.New("short side and size exclude each other")
	case f.Side() < 1 || f.Side() > 4096 || f.ShortSide < 0 || f.Size < 0:
		return fmt.Errorf("images of %d×%d: 1 to 4096 are possible", f.Side(), f.Side())
	}
	return nil
}

func (f Fit) String() string {
	if f.Size > 0 {
		return fmt.Sprintf("stretched to %d×%d", f.Size, f.Size)
	}
	return fmt.Sprintf("shorter side %d, central %d×%d", f.ShortSide, f.ShortSide, f.ShortSide)
}

// A Reader decodes and resizes files and reuses its memory. Only one goroutine may use it.
type Reader struct {
	// Source is the size of the last image, before it was turned and resized.
	Source image.Point

	fit    Fit
	planes [3][]byte
	square []byte // before it is turned
	scaler scaler
}

// NewReader makes a reader for a fit, which must be valid.
func NewReader(f Fit) *Reader {
	r := &Reader{fit: f, square: make([]byte, f.Len())}
	for i := range r.planes {
		r.planes[i] = make([]byte, f.Side()*f.Side())
	}
	return r
}

// Read decodes file and writes it to dst: fit.Len() bytes in the order height, width, RGB. All its
// errors are ErrBad.
func (r *Reader) Read(file, dst []byte) error {
	header, err := config(file)
	if err != nil {
		return err
	}
	pixels := header.Width * header.Height
	decoding.acquire(pixels)
	defer decoding.release(pixels)
	img, turn, err := decode(file, header)
	if err != nil {
		return err
	}
	size := img.Bounds().Size()
	r.Source = size
	across, down := r.fit.windows(size, turn)
	out := dst
	if turn != upright {
		out = r.square
	}
	r.resize(img, across, down, out)
	if turn != upright {
		turn.apply(dst, out, r.fit.Side())
	}
	return nil
}

// config reads a file's header and refuses an image that is too large, or empty.
func config(file []byte) (header image.Config, err error) {
	defer recovered(&err)
	if len(file) == 0 {
		return header, fmt.Errorf("the file is empty: %w", ErrBad)
	}
	read := png.DecodeConfig
	if isJPEG(file) {
		read = jpegConfig
	}
	if header, err = read(bytes.NewReader(file)); err != nil {
		return header, fmt.Errorf("neither JPEG nor PNG, or damaged (%v): %w", err, ErrBad)
	}
	if header.Width < 1 || header.Height < 1 || header.Height > MaxPixels/header.Width {
		return header, fmt.Errorf("%d×%d pixels; 1 to %d are read: %w", header.Width, header.Height, MaxPixels, ErrBad)
	}
	return header, nil
}

// recovered turns a panic of a decoder into ErrBad, so that a bad file does not stop the program.
func recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("the decoder failed (%v): %w", p, ErrBad)
	}
}

// decode decodes a file whose header is known.
func decode(file []byte, header image.Config) (img image.Image, turn orientation, err error) {
	defer recovered(&err)
	if isJPEG(file) {
		if img, err = decodeJPEG(file, header); err != nil {
			return nil, upright, err
		}
		return img, exifOrientation(file), nil
	}
	if img, err = png.Decode(bytes.NewReader(file)); err != nil {
		return nil, upright, fmt.Errorf("the png is truncated or damaged (%v): %w", err, ErrBad)
	}
	return img, upright, nil
}

// windows returns the two sides of the source that the square shows, along the file's own axes: it
// is cheaper to turn the square afterwards.
func (f Fit) windows(size image.Point, turn orientation) (across, down window) {
	if f.Size > 0 {
		return window{f.Size, 0, f.Size}, window{f.Size, 0, f.Size}
	}
	s := f.ShortSide
	short := min(size.X, size.Y)
	long := func(n int) int { return max(s, (2*n*s+short)/(2*short)) } // rounded
	centre := func(total int, reversed bool) window {
		from := (total - s) / 2
		if reversed { // counted from the other end, where the viewer's left or top is
			from = total - s - from
		}
		return window{total, from, s}
	}
	return centre(long(size.X), turn.reversesX()), centre(long(size.Y), turn.reversesY())
}

// resize writes the square to dst, in the file's own orientation.
func (r *Reader) resize(img image.Image, across, down window, dst []byte) {
	size := img.Bounds().Size()
	switch img := img.(type) {
	case *image.YCbCr:
		cx, cy := subsampling(img.SubsampleRatio)
		r.scaler.scale(r.planes[0], plane{pix: img.Y, stride: img.YStride, step: 1, size: size, coverX: 1, coverY: 1},
			across, down)
		r.scaler.scale(r.planes[1], plane{pix: img.Cb, stride: img.CStride, step: 1, size: size, coverX: cx, coverY: cy},
			across, down)
		r.scaler.scale(r.planes[2], plane{pix: img.Cr, stride: img.CStride, step: 1, size: size, coverX: cx, coverY: cy},
			across, down)
		toRGB(dst, r.planes[0], r.planes[1], r.planes[2])
	case *image.Gray:
		r.scaler.scale(r.planes[0], plane{pix: img.Pix, stride: img.Stride, step: 1, size: size, coverX: 1, coverY: 1},
			across, down)
		interleave(dst, r.planes[0], r.planes[0], r.planes[0])
	default:
		pix := rgb(img)
		for c := range r.planes {
			r.scaler.scale(r.planes[c], plane{pix: pix[c:], stride: 3 * size.X, step: 3, size: size, coverX: 1, coverY: 1},
				across, down)
		}
		interleave(dst, r.planes[0], r.planes[1], r.planes[2])
	}
}

// subsampling returns how many pixels a chroma sample covers, across and down.
func subsampling(r image.YCbCrSubsampleRatio) (across, down int) {
	switch r {
	case image.YCbCrSubsampleRatio422:
		return 2, 1
	case image.YCbCrSubsampleRatio420:
		return 2, 2
	case image.YCbCrSubsampleRatio440:
		return 1, 2
	case image.YCbCrSubsampleRatio411:
		return 4, 1
	case image.YCbCrSubsampleRatio410:
		return 4, 2
	}
	return 1, 1
}

func interleave(dst, r, g, b []byte) {
	for i := range r {
		d := dst[3*i : 3*i+3 : 3*i+3]
		d[0], d[1], d[2] = r[i], g[i], b[i]
	}
}

// toRGB applies JFIF's conversion (ITU-T T.871, section 7) in 16-bit fixed point, with rounding.
func toRGB(dst, y, cb, cr []byte) {
	cb, cr, dst = cb[:len(y)], cr[:len(y)], dst[:3*len(y)]
	for i := range y {
		l := int32(y[i])<<16 + 1<<15
		u, v := int32(cb[i])-128, int32(cr[i])-128
		r, g, b := (l+91881*v)>>16, (l-22554*u-46802*v)>>16, (l+116130*u)>>16
		if uint32(r|g|b) > 255 { // one test for all three: few pixels need it
			r, g, b = int32(clamp(r)), int32(clamp(g)), int32(clamp(b))
		}
		d := dst[:3]
		d[0], d[1], d[2] = byte(r), byte(g), byte(b)
		dst = dst[3:]
	}
}

func clamp(v int32) byte {
	if uint32(v) > 255 {
		return byte(^(v >> 31)) // 0 below, 255 above
	}
	return byte(v)
}

// rgb returns the colours of any other kind of image without its alpha, as Pillow's convert("RGB")
// and OpenCV do: ImageNet has always been read like this. It keeps the high byte of 16-bit values.
func rgb(img image.Image) []byte {
	b := img.Bounds()
	out := make([]byte, 0, 3*b.Dx()*b.Dy())
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			switch img := img.(type) {
			case *image.NRGBA:
				p := img.Pix[img.PixOffset(x, y):]
				out = append(out, p[0], p[1], p[2])
			case *image.RGBA: // a PNG is of this kind only if it is opaque
				p := img.Pix[img.PixOffset(x, y):]
				out = append(out, p[0], p[1], p[2])
			case *image.NRGBA64:
				p := img.Pix[img.PixOffset(x, y):]
				out = append(out, p[0], p[2], p[4])
			case *image.RGBA64:
				p := img.Pix[img.PixOffset(x, y):]
				out = append(out, p[0], p[2], p[4])
			case *image.CMYK:
				p := img.Pix[img.PixOffset(x, y):]
				white := 255 - uint32(p[3])
				for _, ink := range p[:3] {
					out = append(out, byte(((255-uint32(ink))*white+127)/255))
				}
			default:
				out = append(out, colourOf(img, x, y)...)
			}
		}
	}
	return out
}
