package data

import (
	"fmt"
	"image/color"
	"sync"

	"ablate/recipe"
)

// convert converts the images of a data set to another colour space, one byte per value. Digests
// remain those of the stored images.
func (ds *Dataset) convert(to recipe.ColourSpace) error {
	if to == recipe.RGB {
		return nil
	}
	if ds.Shape.Channels != 3 {
		return fmt.Errorf("data.colour_space is for RGB images, these have %d channels", ds.Shape.Channels)
	}
	size := ds.Shape.Len()
	for _, s := range []*Split{&ds.Train, &ds.Validation, &ds.Test} {
		if s.stored != nil {
			s.stored = &converted{stored: s.stored, to: to, rgb: sync.Pool{New: func() any {
				b := make([]byte, size)
				return &b
			}}}
			continue
		}
		images := make([]byte, len(s.Images)/3*channels(to))
		convertPixels(images, s.Images, to)
		s.Images = images
	}
	ds.Shape.Channels = channels(to)
	ds.Mean, ds.Colour = nil, nil // they described the RGB images
	return nil
}

func channels(s recipe.ColourSpace) int {
	if s == recipe.Grey {
		return 1
	}
	return 3
}

// A converted holds stored images that are converted each time they are read.
type converted struct {
	stored
	to  recipe.ColourSpace
	rgb sync.Pool // of *[]byte, one image each
}

func (c *converted) image(i int, buf []byte) ([]byte, error) {
	rgb := c.rgb.Get().(*[]byte)
	defer c.rgb.Put(rgb)
	image, err := c.stored.image(i, *rgb)
	if err != nil {
		return nil, err
	}
	convertPixels(buf, image, c.to)
	return buf, nil
}

// convertPixels converts RGB pixels to another colour space.
func convertPixels(dst, rgb []byte, to recipe.ColourSpace) {
	for i := 0; i < len(rgb)/3; i++ {
		r, g, b := rgb[3*i], rgb[3*i+1], rgb[3*i+2]
		switch to {
		case recipe.Grey:
			dst[i], _, _ = color.RGBToYCbCr(r, g, b)
		case recipe.YCbCr:
			dst[3*i], dst[3*i+1], dst[3*i+2] = color.RGBToYCbCr(r, g, b)
		case recipe.HSV:
			dst[3*i], dst[3*i+1], dst[3*i+2] = hsv(r, g, b)
		}
	}
}

// hsv returns hue, saturation and value (Smith 1978, "Color gamut transform pairs"), rounded; the
// full circle is 256. Grey has hue 0.
func hsv(r, g, b byte) (h, s, v byte) {
	top, bottom := max(r, g, b), min(r, g, b)
	spread := int(top) - int(bottom)
	if spread == 0 {
		return 0, 0, top
	}
	var from, sixth int // hue is (from + sixth/spread) sixths of the circle
	switch top {
	case r:
		from, sixth = 0, int(g)-int(b)
	case g:
		from, sixth = 2, int(b)-int(r)
	default:
		from, sixth = 4, int(r)-int(g)
	}
	numerator := 256 * (from*spread + sixth)
	if numerator < 0 {
		numerator += 6 * 256 * spread
	}
	return byte((numerator + 3*spread) / (6 * spread)), byte((255*spread + int(top)/2) / int(top)), top
}
