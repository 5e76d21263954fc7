package graph

import (
	"gorgonia.org/gorgonia"

	"ablate/arch"
)

// A Part says which of a layer's activations an op that draws random numbers
// works on: those from an image and a channel on, of a layer with so many
// channels. Each draws the number of its place in the whole layer, so that it
// does not matter how many devices share the layer.
type Part struct{ Image, Channel, Channels int }

// Index is the place in the whole layer of activation i of images of shape s.
func (p Part) Index(i int, s arch.Shape) int {
	pixel, channel := i/s.Channels, i%s.Channels
	return (p.Image*s.Height*s.Width+pixel)*p.Channels + p.Channel + channel
}

// FromImage is an op that works on the images of a batch from number first on.
func FromImage(op gorgonia.Op, first int) gorgonia.Op {
	switch o := op.(type) {
	case *Dropout:
		p := o.Part
		p.Image += first
		return o.at(o.Shape, p)
	case *RReLU:
		p := o.Part
		p.Image += first
		return o.at(o.Shape, p)
	case *StochasticPool:
		part := NewStochasticPool(o.Layer, o.Batch, o.Window, o.Train, o.clock)
		part.Part = o.Part
		part.Part.Image += first
		return part
	case *StochasticPoolGrad:
		part := NewStochasticPoolGrad(o.Layer, o.Batch, o.Window, o.clock)
		part.Part = o.Part
		part.Part.Image += first
		return part
	default:
		return op
	}
}
