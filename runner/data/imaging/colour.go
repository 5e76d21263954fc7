package imaging

import (
	"image"
	"image/color"
)

// colourOf returns one pixel of an image of a kind that has no faster way: 16-bit grey and
// palettes.
func colourOf(img image.Image, x, y int) []byte {
	c := color.NRGBAModel.Convert(img.At(x, y)).(color.NRGBA)
	return []byte{c.R, c.G, c.B}
}
