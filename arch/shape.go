package arch

import (
	"errors"
	"fmt"
)

// ErrShape is a net whose layers do not fit together. The message names the layer and the shapes.
var ErrShape = errors.New("shapes do not fit")

// String is height×width×channels.
func (s Shape) String() string { return fmt.Sprintf("%d×%d×%d", s.Height, s.Width, s.Channels) }

// Len is the number of activations.
func (s Shape) Len() int { return s.Height * s.Width * s.Channels }

// A LayerInfo layer is one whose shapes are known.
type LayerInfo struct {
	Layer   Layer
	In, Out Shape
	Groups  int // of a convolution; for LRN across maps the columns a window stays in
	Params  int64
	MACs    int64 // multiply-accumulates of a forward pass on one image, biases not counted
}

// maxLen bounds the activations and weights of one layer, so that a typing error is an error and not a dead machine.
const maxLen = 1 << 33

// Infer computes every layer's shapes and cost.
func (n *Net) Infer() ([]LayerInfo, error) {
	placed := make([]LayerInfo, 0, len(n.Layers))
	in, from := n.Input, "the input"
	for _, l := range n.Layers {
		p := LayerInfo{Layer: l, In: in, Out: in, Groups: 1}
		if err := p.place(n.Columns); err != nil {
			return nil, fmt.Errorf("net %s, layer %s after %s: %w", n.Name, l.Name, from, err)
		}
		if int64(p.Out.Height)*int64(p.Out.Width) > maxLen/int64(p.Out.Channels) || p.Params > maxLen {
			return nil, fmt.Errorf("net %s, layer %s: %v from %v with %d parameters is too large: %w", n.Name, l.Name, p.Out, p.In, p.Params, ErrShape)
		}
		placed = append(placed, p)
		in, from = p.Out, l.Name
	}
	return placed, nil
}

// place sets Out, Groups and the costs of a layer.
func (p *LayerInfo) place(columns int) error {
	switch l := p.Layer.Spec.(type) {
	case *Conv:
		weights, err := p.convolve(l, columns)
		p.Params = weights + int64(l.Filters)
		p.MACs = weights * int64(p.Out.Height) * int64(p.Out.Width)
		return err
	case *Local:
		weights, err := p.convolve((*Conv)(l), columns)
		if pixels := int64(p.Out.Height) * int64(p.Out.Width); pixels > 0 && weights > maxLen/pixels {
			return fmt.Errorf("%d weights for each of %d pixels are too many: %w", weights, pixels, ErrShape)
		}
		p.MACs = weights * int64(p.Out.Height) * int64(p.Out.Width)
		p.Params = p.MACs + int64(p.Out.Len())
		return err
	case *PReLU:
		p.Params = int64(p.In.Channels)
	case *BatchNorm:
		if l.Affine {
			p.Params = 2 * int64(p.In.Channels)
		}
	case *Maxout:
		if p.In.Channels%(l.Pieces*columns) != 0 {
			return fmt.Errorf("%v cannot be split into units of %d channels in %d columns: %w", p.In, l.Pieces, columns, ErrShape)
		}
		p.Out.Channels = p.In.Channels / l.Pieces
	case *Dense:
		p.Out = Shape{1, 1, l.Outputs}
		p.MACs = int64(p.In.Len()) * int64(l.Outputs)
		p.Params = p.MACs + int64(l.Outputs)
	case *LRN:
		if l.Region == AcrossMaps {
			p.Groups = columns
			if p.In.Channels%columns != 0 {
				return fmt.Errorf("%v cannot be split into %d columns: %w", p.In, columns, ErrShape)
			}
		}
	case *MaxPool:
		return p.window(l.Kernel, l.Stride, l.Pad, l.Ceil, p.In.Channels)
	case *AvgPool:
		return p.window(l.Kernel, l.Stride, l.Pad, l.Ceil, p.In.Channels)
	case *MaxAvgPool:
		return p.window(l.Kernel, l.Stride, l.Pad, l.Ceil, p.In.Channels)
	case *SpatialPyramid:
		for _, cells := range l.Levels {
			if cells > p.In.Height || cells > p.In.Width {
				return fmt.Errorf("a grid of %d×%d cells does not fit %v: %w", cells, cells, p.In, ErrShape)
			}
		}
		p.Out = l.Out(p.In)
	case *StochasticPool:
		return p.window(l.Kernel, l.Stride, l.Pad, l.Ceil, p.In.Channels)
	case *SoftmaxLoss:
		if p.In.Height != 1 || p.In.Width != 1 || p.In.Channels < 2 {
			return fmt.Errorf("%v is not 1×1×classes; put a dense layer before the loss: %w", p.In, ErrShape)
		}
	}
	return nil
}

// convolve sets the output and groups of a convolution, and gives the number of one output pixel's weights.
func (p *LayerInfo) convolve(l *Conv, columns int) (weights int64, err error) {
	p.Groups = l.Groups
	if l.WithinColumn {
		p.Groups = columns
	}
	if p.In.Channels%p.Groups != 0 || l.Filters%p.Groups != 0 {
		return 0, fmt.Errorf("%v cannot be split into %d groups with %d filters: %w", p.In, p.Groups, l.Filters, ErrShape)
	}
	if l.Filters%columns != 0 {
		return 0, fmt.Errorf("%d filters cannot be split into %d columns: %w", l.Filters, columns, ErrShape)
	}
	if err := p.window(l.Kernel, l.Stride, l.Pad, false, l.Filters); err != nil {
		return 0, err
	}
	return int64(l.Kernel) * int64(l.Kernel) * int64(p.In.Channels/p.Groups) * int64(l.Filters), nil
}

// window sets the output of a layer that slides a window over the image.
func (p *LayerInfo) window(kernel, stride int, pad Pad, ceil bool, channels int) error {
	h := outputs(p.In.Height, kernel, stride, pad.Top, pad.Bottom, ceil)
	w := outputs(p.In.Width, kernel, stride, pad.Left, pad.Right, ceil)
	if h < 1 || w < 1 {
		return fmt.Errorf("a %d×%d window does not fit %v: the output would be %d×%d×%d: %w", kernel, kernel, p.In, max(h, 0), max(w, 0), channels, ErrShape)
	}
	p.Out = Shape{h, w, channels}
	return nil
}

// outputs is the number of windows along one side. Rounded up, the last window
// must still start inside the image or its leading border (Caffe's rule, PyTorch's too).
func outputs(size, kernel, stride, before, after int, ceil bool) int {
	span := size + before + after - kernel
	if span < 0 && (!ceil || span <= -stride) {
		return 0
	}
	if !ceil {
		return span/stride + 1
	}
	n := (span+stride-1)/stride + 1
	if (n-1)*stride >= size+before {
		n--
	}
	return n
}

// A Cost is what a net takes.
type Cost struct {
	Params      int64 `json:"params"`
	MACs        int64 `json:"macs"`        // forward, per image
	Activations int64 `json:"activations"` // values of all layers' outputs, per image
}

// Cost adds up the layers.
func (n *Net) Cost() (Cost, error) {
	placed, err := n.Infer()
	var c Cost
	for _, p := range placed {
		c.Params += p.Params
		c.MACs += p.MACs
		c.Activations += int64(p.Out.Len())
	}
	return c, err
}
