package graph

import (
	"gorgonia.org/gorgonia"

	"ablate/arch"
)

// A Part says which of a layer's activations an op that draws random numbers works on: those from
// an image and a channel on, in a layer of Channels channels. Each activation draws the number of
// its place in the whole layer, so it does not matter how many devices share the layer.
type Part struct{ Image, Channel, Channels int }

// Index returns the place in the whole layer of activation i of images of shape s.
func (p Part) Index(i int, s arch.Shape) int {
	pixel, channel := i/s.Channels, i%s.Channels
	return (p.Image*s.Height*s.Width+pixel)*p.Channels + p.Channel + channel
}

// FromImage returns the op for the images of a batch from number first on. It differs from op only
// if op draws random numbers.
func FromImage(op gorgonia.Op, first int) gorgonia.Op {
	if o, ok := op.(interface{ fromImage(first int) Op }); ok {
		return o.fromImage(first)
	}
	return op
}

// after returns the rest of the part from its image first on.
func (p Part) after(first int) Part {
	p.Image += first
	return p
}
