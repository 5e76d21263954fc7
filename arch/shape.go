package arch

import (
	"errors"
	"fmt"
	"reflect"
)

// ErrShape reports that layers of a net do not fit together. The message names the layer and the
// shapes.
var ErrShape = errors.New("shapes do not fit")

// String formats a shape as height×width×channels.
func (s Shape) String() string { return fmt.Sprintf("%d×%d×%d", s.Height, s.Width, s.Channels) }

// Len returns the number of activations.
func (s Shape) Len() int { return s.Height * s.Width * s.Channels }

// A LayerInfo is a layer whose shapes are known.
type LayerInfo struct {
	Layer   Layer // with its full name, which includes the repeated parts around it
	From    []int // the layers whose outputs it reads, as Infer counts them; −1 is the input
	Depth   int   // the number of parts around it
	In, Out Shape // at the end of a part, In is the input of the part
	Groups  int   // groups of a convolution; for LRN across maps, the columns
	Params  int64
	MACs    int64 // multiply-accumulates of a forward pass over one image, without biases
}

// limits are the largest numbers of things in one layer, so that a typing error leads to a message
// and not to a machine without memory.
var limits = map[string]int64{"activations": 1 << 33, "weights": 1 << 33, "multiply-accumulates": 1 << 50}

// product multiplies sizes, none of them negative, and refuses a product above the limit. It
// computes every product of sizes in a net file, so none of them overflows.
func product(what string, sizes ...int) (int64, error) {
	n := int64(1)
	for _, size := range sizes {
		if size != 0 && n > limits[what]/int64(size) {
			return 0, fmt.Errorf("more than %d %s: %w", limits[what], what, ErrShape)
		}
		n *= int64(size)
	}
	return n, nil
}

// Infer computes the shapes and costs of all layers. A layer comes after those that it reads; the
// entry of a residual block or of branches is where they end.
func (n *Net) Infer() ([]LayerInfo, error) {
	b := layout{net: n}
	if _, err := b.chain(n.Layers, -1); err != nil {
		return nil, err
	}
	return b.layers, nil
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

// outputs returns the number of windows along one side. With rounding up, the last window must
// still start inside the image or its leading border (the rule of Caffe and PyTorch).
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

// A Cost is the cost of a net.
type Cost struct {
	Params      int64 `json:"params"`
	MACs        int64 `json:"macs"`        // forward, per image
	Activations int64 `json:"activations"` // values in the outputs of all layers, per image
}

// Cost adds up the costs of the layers.
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

// Effective returns the net without the keys that its layers never read, so that two nets which
// compute the same are equal. A net whose shapes do not fit stays as it is.
func (n *Net) Effective() *Net {
	c := n.Clone()
	b := layout{net: c}
	if _, err := b.chain(c.Layers, -1); err != nil {
		return c
	}
	simple := map[*Layer]Layer{} // the simplest form of all copies of a layer
	for i, l := range b.of {
		if l == nil {
			continue
		}
		s := l.Clone()
		if k, ok := s.Spec.(simplifier); ok {
			k.simplify(b.layers[i])
		}
		if other, ok := simple[l]; ok && !reflect.DeepEqual(other, s) {
			s = l.Clone()
		}
		simple[l] = s
	}
	for l, s := range simple {
		*l = s
	}
	return c
}

// A simplifier is a kind with keys that have no effect for some values of others.
type simplifier interface{ simplify(p LayerInfo) }
