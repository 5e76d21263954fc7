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

// A LayerInfo is a layer whose shapes are known.
type LayerInfo struct {
	Layer   Layer
	In, Out Shape
	Groups  int // of a convolution; for LRN across maps the columns a window stays in
	Params  int64
	MACs    int64 // multiply-accumulates of a forward pass on one image, biases not counted
}

// limits bound what one layer may hold and compute, so that a typing error is an
// error and not a dead machine.
var limits = map[string]int64{"activations": 1 << 33, "weights": 1 << 33, "multiply-accumulates": 1 << 50}

// product multiplies sizes, none of them negative, and refuses what is above the
// limit of what is counted. Every product of sizes that a net file states is
// formed here, so that none overflows.
func product(what string, sizes ...int) (int64, error) {
	n := int64(1)
	for _, size := range sizes {
		if size != 0 && n > limits[what]/int64(size) {
			return 0, fmt.Errorf("more than %d %s are too many: %w", limits[what], what, ErrShape)
		}
		n *= int64(size)
	}
	return n, nil
}

// Infer computes every layer's shapes and cost.
func (n *Net) Infer() ([]LayerInfo, error) {
	layers := make([]LayerInfo, 0, len(n.Layers))
	in, from := n.Input, "the input"
	for _, l := range n.Layers {
		p := LayerInfo{Layer: l, In: in, Out: in, Groups: 1}
		if err := l.Spec.place(&p, n.Columns); err != nil {
			return nil, fmt.Errorf("net %s, layer %s after %s: %w", n.Name, l.Name, from, err)
		}
		if _, err := product("activations", p.Out.Height, p.Out.Width, p.Out.Channels); err != nil {
			return nil, fmt.Errorf("net %s, layer %s: %v from %v: %w", n.Name, l.Name, p.Out, p.In, err)
		}
		layers = append(layers, p)
		in, from = p.Out, l.Name
	}
	return layers, nil
}

// window sets the output of a layer that slides a window over the image.
func (p *LayerInfo) window(kernel, stride int, pad Pad, ceil bool, channels int) error {
	h := outputs(p.In.Height, kernel, stride, pad.Top, pad.Bottom, ceil)
	w := outputs(p.In.Width, kernel, stride, pad.Left, pad.Right, ceil)
	if h < 1 || w < 1 {
		return fmt.Errorf("a %d×%d window does not fit %v: the output would be %d×%d×%d: %w",
			kernel, kernel, p.In, max(h, 0), max(w, 0), channels, ErrShape)
	}
	p.Out = Shape{Height: h, Width: w, Channels: channels}
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
	layers, err := n.Infer()
	var c Cost
	for _, p := range layers {
		c.Params += p.Params
		c.MACs += p.MACs
		c.Activations += int64(p.Out.Len())
	}
	return c, err
}

// Effective is the net without what its layers never read, so that two nets which
// compute the same are one. A net that does not fit stays as it is.
func (n *Net) Effective() *Net {
	c := n.Clone()
	layers, err := n.Infer()
	if err != nil {
		return c
	}
	for i, l := range c.Layers {
		if s, ok := l.Spec.(simplifier); ok {
			s.simplify(layers[i])
		}
	}
	return c
}

// A simplifier is a kind with keys that others may leave without effect.
type simplifier interface{ simplify(p LayerInfo) }
