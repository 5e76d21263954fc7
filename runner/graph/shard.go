package graph

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"ablate/arch"
)

// A Shard is what one of several devices computes of an op, each having a column
// of the net's channels.
type Shard struct {
	Op  Op         // on the device's part of the values
	In  []Sharding // what it needs of each input: its part, or the whole
	Out Sharding   // what it makes
}

// A Split divides channels among devices: this is device I of Of.
//
// A layer whose every channel depends on channels of its own column alone needs
// nothing from the other devices. Convolutions over all maps and dense layers
// need their whole input, and their data gradients the whole dy and the weights
// of the device's inputs: so each sum has the terms and the order that it has on
// one device, and the result is the same to the last bit. (The two GPUs of 2012
// added partial sums instead, which rounds otherwise.) The loss is computed by every device.
type Split struct{ I, Of int }

// ShardOf is what a device computes of an op. Ops of Gorgonia's own cannot be divided.
func ShardOf(op gorgonia.Op, s Split) (Shard, error) {
	o, ok := op.(Op)
	if !ok {
		return Shard{}, fmt.Errorf("%v cannot be divided among devices", op)
	}
	return o.Shard(s)
}

// block is how many of n channels are the device's.
func (c Split) block(n int) int {
	_, n = Sharding{1, n, 1}.Block(c.I, c.Of)
	return n
}

func (c Split) shape(s arch.Shape) arch.Shape {
	s.Channels = c.block(s.Channels)
	return s
}

// window is the geometry of a layer whose channels all stay in their column.
func (c Split) window(w Window) Window {
	w.In, w.Out = c.shape(w.In), c.shape(w.Out)
	return w
}

// fit refuses a layer too narrow for each device to have something of it.
func (c Split) fit(op Op, channels int) error {
	if channels < c.Of {
		return fmt.Errorf("%s: %d outputs are too few for %d devices", op.Name(), channels, c.Of)
	}
	return nil
}

// own is the share of an op whose inputs and output are all cut by channels.
func (c Split) own(whole, part Op) Shard {
	s := Shard{Op: part, Out: lastAxis(whole.OutputShape())}
	for _, in := range whole.InputShapes() {
		s.In = append(s.In, lastAxis(in))
	}
	return s
}

// crosses says whether a convolution reads channels of other columns. Its groups must not.
func (c Split) crosses(op Op, w Window) (bool, error) {
	if err := c.fit(op, w.Out.Channels); err != nil {
		return false, err
	}
	if w.Groups > 1 && w.Groups%c.Of != 0 {
		return false, fmt.Errorf("%s: %d groups cannot be divided among %d devices", op.Name(), w.Groups, c.Of)
	}
	return w.Groups == 1, nil
}

// conv is the share of a convolution or its weight gradient: (x, …) by output channels.
func (c Split) conv(op Op, w Window, of func(Window) Op) (Shard, error) {
	crosses, err := c.crosses(op, w)
	if err != nil {
		return Shard{}, err
	}
	if !crosses {
		w = c.window(w)
		w.Groups /= c.Of
		return c.own(op, of(w)), nil
	}
	w.Out = c.shape(w.Out)
	s := c.own(op, of(w))
	s.In[0] = Sharding{}
	return s, nil
}

// dataGrad is the share of a convolution's data gradient: (w, dy) → dx by input channels.
func (c Split) dataGrad(op Op, w Window, of func(Window) Op) (Shard, error) {
	crosses, err := c.crosses(op, w)
	if err != nil {
		return Shard{}, err
	}
	if !crosses {
		w = c.window(w)
		w.Groups /= c.Of
		return c.own(op, of(w)), nil
	}
	weights := op.InputShapes()[0].TotalSize()
	inputs, outputs := w.In.Channels, w.Out.Channels
	w.In = c.shape(w.In)
	s := c.own(op, of(w))
	s.In[0], s.In[1] = Sharding{Outer: weights / inputs / outputs, Length: inputs, Inner: outputs}, Sharding{}
	return s, nil
}

// part narrows what a layer that draws random numbers works on to the device's channels.
func (c Split) part(p Part, channels int) Part {
	first, _ := Sharding{1, channels, 1}.Block(c.I, c.Of)
	p.Channel += first
	return p
}

// image is the shape of one image of activations.
func image(s tensor.Shape) arch.Shape { return arch.Shape{Height: s[1], Width: s[2], Channels: s[3]} }
