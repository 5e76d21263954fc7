package graph

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"ablate/arch"
)

// A Shard is the share of an op that one of several devices computes, if each device has a column
// of the net's channels.
type Shard struct {
	Op  Op         // on the device's part of the values
	In  []Sharding // the device's part of each input, or the whole
	Out Sharding   // the device's part of the output
}

// A Split divides channels among devices: this is device I of Of.
//
// A layer whose every channel depends only on channels of its own column needs nothing from the
// other devices. Convolutions over all maps and dense layers need their whole input. Their data
// gradients need the whole dy and the weights of the device's inputs. So each sum has the same
// terms in the same order as on one device, and the result is the same to the last bit. (The two
// GPUs of 2012 added partial sums instead, which rounds differently.) Every device computes the
// loss.
type Split struct{ I, Of int }

// ShardOf returns the share of an op that a device computes. Gorgonia's own ops cannot be divided.
func ShardOf(op gorgonia.Op, s Split) (Shard, error) {
	o, ok := op.(Op)
	if !ok {
		return Shard{}, fmt.Errorf("%v cannot be divided among devices", op)
	}
	return o.Shard(s)
}

// block returns how many of n channels belong to the device.
func (c Split) block(n int) int {
	_, n = Sharding{1, n, 1}.Block(c.I, c.Of)
	return n
}

func (c Split) shape(s arch.Shape) arch.Shape {
	s.Channels = c.block(s.Channels)
	return s
}

// window returns the geometry on one device of a layer whose channels all stay in their column.
func (c Split) window(w Window) Window {
	w.In, w.Out = c.shape(w.In), c.shape(w.Out)
	return w
}

// fit refuses a layer that is too narrow for every device to have a part of it.
func (c Split) fit(op Op, channels int) error {
	if channels < c.Of {
		return fmt.Errorf("%s: %d outputs are too few for %d devices", op.Name(), channels, c.Of)
	}
	return nil
}

// own returns the share of an op whose inputs and output are all divided by channels.
func (c Split) own(whole, part Op) Shard {
	s := Shard{Op: part, Out: lastAxis(whole.OutputShape())}
	for _, in := range whole.InputShapes() {
		s.In = append(s.In, lastAxis(in))
	}
	return s
}

// crosses reports whether a convolution reads channels of other columns. Its groups must not.
func (c Split) crosses(op Op, w Window) (bool, error) {
	if err := c.fit(op, w.Out.Channels); err != nil {
		return false, err
	}
	if w.Groups > 1 && w.Groups%c.Of != 0 {
		return false, fmt.Errorf("%s: %d groups cannot be divided among %d devices", op.Name(), w.Groups, c.Of)
	}
	return w.Groups == 1, nil
}

// conv returns the share of a convolution or its weight gradient: (x, …), divided by output
// channels.
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

// dataGrad returns the share of a convolution's data gradient: (w, dy) → dx, divided by input
// channels.
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

// part restricts the part of a layer that draws random numbers to the device's channels.
func (c Split) part(p Part, channels int) Part {
	first, _ := Sharding{1, channels, 1}.Block(c.I, c.Of)
	p.Channel += first
	return p
}

// image returns the shape of one image of activations.
func image(s tensor.Shape) arch.Shape { return arch.Shape{Height: s[1], Width: s[2], Channels: s[3]} }
