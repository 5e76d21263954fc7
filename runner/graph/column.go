package graph

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"ablate/arch"
)

// A Share is what one of several devices computes of an op, each having a column of the net's channels.
type Share struct {
	Op  gorgonia.Op // on the device's part of the values
	In  []Cut       // what it needs of each input: its part of a cut, or the whole
	Out Cut         // what it gives
}

// Column is part i's share of an op when a net's columns are divided among so many devices.
//
// A layer whose every channel depends on channels of its own column alone needs
// nothing from the other devices. Convolutions over all maps and dense layers
// need their whole input, and their data gradients the whole dy and the weights
// of the device's inputs: so each sum has the terms and the order that it has on
// one device, and the result is the same to the last bit. (The two GPUs of 2012
// added partial sums instead, which rounds otherwise.) The loss is computed by every device.
func Column(op gorgonia.Op, i, of int) (Share, error) {
	c := columns{i, of}
	switch o := op.(type) {
	case *Conv:
		return c.conv(o, o.Window, func(w Window) gorgonia.Op { return NewConv(o.Layer, o.Batch, w) })
	case *ConvWeightGrad:
		return c.conv(o, o.Window, func(w Window) gorgonia.Op { return NewConvWeightGrad(o.Layer, o.Batch, w) })
	case *ConvDataGrad:
		return c.dataGrad(o, o.Window, func(w Window) gorgonia.Op { return NewConvDataGrad(o.Layer, o.Batch, w) })
	case *Local:
		s, err := c.conv(o, o.Window, func(w Window) gorgonia.Op { return NewLocal(o.Layer, o.Batch, w) })
		if err == nil {
			s.In[2] = perPixel(o.Out)
		}
		return s, err
	case *LocalWeightGrad:
		return c.conv(o, o.Window, func(w Window) gorgonia.Op { return NewLocalWeightGrad(o.layer(), o.Batch, w) })
	case *LocalDataGrad:
		return c.dataGrad(o, o.Window, func(w Window) gorgonia.Op { return NewLocalDataGrad(o.layer(), o.Batch, w) })
	case *Dense:
		if err := c.fit(o, o.Outputs); err != nil {
			return Share{}, err
		}
		s := c.own(o, NewDense(o.Layer, o.Batch, o.In, c.block(o.Outputs)))
		s.In[0] = Cut{}
		return s, nil
	case *DenseWeightGrad:
		s := c.own(o, NewDenseWeightGrad(o.Layer, o.Batch, o.In, c.block(o.Outputs)))
		s.In[0] = Cut{}
		return s, nil
	case *DenseDataGrad:
		s := c.own(o, NewDenseDataGrad(o.Layer, o.Batch, c.shape(o.In), o.Outputs))
		s.In[0] = Cut{Outer: o.In.Height * o.In.Width, Length: o.In.Channels, Inner: o.Outputs}
		s.In[1] = Cut{}
		return s, nil
	case *SoftmaxLoss, *SoftmaxLossGrad:
		return Share{Op: op, In: make([]Cut, op.Arity())}, nil
	default:
		return c.channelwise(op)
	}
}

// columns is one device's part of the channels.
type columns struct{ i, of int }

// block is how many of n channels are the device's.
func (c columns) block(n int) int {
	_, n = Cut{1, n, 1}.Block(c.i, c.of)
	return n
}

func (c columns) shape(s arch.Shape) arch.Shape {
	s.Channels = c.block(s.Channels)
	return s
}

// window is the geometry of a layer whose channels all stay in their column.
func (c columns) window(w Window) Window {
	w.In, w.Out = c.shape(w.In), c.shape(w.Out)
	return w
}

// fit refuses a layer too narrow for each device to have something of it.
func (c columns) fit(op gorgonia.Op, channels int) error {
	if channels < c.of {
		return fmt.Errorf("%s: %d outputs are too few for %d devices", nameOf(op), channels, c.of)
	}
	return nil
}

// own is the share of an op whose inputs and output are all cut by channels.
func (c columns) own(whole, part gorgonia.Op) Share {
	o := whole.(shaped)
	s := Share{Op: part, Out: lastAxis(o.OutputShape())}
	for _, in := range o.InputShapes() {
		s.In = append(s.In, lastAxis(in))
	}
	return s
}

// shaped is every op of ours.
type shaped interface {
	Name() string
	InputShapes() []tensor.Shape
	OutputShape() tensor.Shape
}

func nameOf(op gorgonia.Op) string {
	if o, ok := op.(shaped); ok {
		return o.Name()
	}
	return fmt.Sprint(op)
}

// crosses says whether a convolution reads channels of other columns. Its groups must not.
func (c columns) crosses(op gorgonia.Op, w Window) (bool, error) {
	if err := c.fit(op, w.Out.Channels); err != nil {
		return false, err
	}
	if w.Groups > 1 && w.Groups%c.of != 0 {
		return false, fmt.Errorf("%s: %d groups cannot be divided among %d devices", nameOf(op), w.Groups, c.of)
	}
	return w.Groups == 1, nil
}

// conv is the share of a convolution or its weight gradient: (x, …) by output channels.
func (c columns) conv(op gorgonia.Op, w Window, of func(Window) gorgonia.Op) (Share, error) {
	crosses, err := c.crosses(op, w)
	if err != nil {
		return Share{}, err
	}
	if !crosses {
		w = c.window(w)
		w.Groups /= c.of
		return c.own(op, of(w)), nil
	}
	w.Out = c.shape(w.Out)
	s := c.own(op, of(w))
	s.In[0] = Cut{}
	return s, nil
}

// dataGrad is the share of a convolution's data gradient: (w, dy) → dx by input channels.
func (c columns) dataGrad(op gorgonia.Op, w Window, of func(Window) gorgonia.Op) (Share, error) {
	crosses, err := c.crosses(op, w)
	if err != nil {
		return Share{}, err
	}
	if !crosses {
		w = c.window(w)
		w.Groups /= c.of
		return c.own(op, of(w)), nil
	}
	weights := op.(shaped).InputShapes()[0].TotalSize()
	inputs, outputs := w.In.Channels, w.Out.Channels
	w.In = c.shape(w.In)
	s := c.own(op, of(w))
	s.In[0], s.In[1] = Cut{Outer: weights / inputs / outputs, Length: inputs, Inner: outputs}, Cut{}
	return s, nil
}

// perPixel cuts the values of every output pixel's own by channels.
func perPixel(s arch.Shape) Cut {
	return Cut{Outer: s.Height * s.Width, Length: s.Channels, Inner: 1}
}

// perCell cuts the channels of each of a pyramid's cells.
func perCell(batch int, in arch.Shape, levels []int) Cut {
	cells := arch.SpatialPyramid{Levels: levels}.Out(in).Channels / in.Channels
	return Cut{Outer: batch * cells, Length: in.Channels, Inner: 1}
}

// channelwise is the share of an op in which a channel, or a group that stays in its column, depends on no other.
func (c columns) channelwise(op gorgonia.Op) (Share, error) {
	switch o := op.(type) {
	case *BiasGrad:
		if !o.perPixel() {
			return c.own(o, NewBiasGrad(o.Layer, o.Batch, c.shape(o.Shape))), nil
		}
		s := c.own(o, NewLocalBiasGrad(o.Layer, o.Batch, c.shape(o.Shape)))
		s.Out = perPixel(o.Shape)
		return s, nil
	case *Unit:
		return c.own(o, NewUnit(o.Layer, o.Batch, c.shape(o.Shape), o.F, o.A, o.B)), nil
	case *UnitGrad:
		return c.own(o, NewUnitGrad(o.Layer, o.Batch, c.shape(o.Shape), o.F, o.A, o.B)), nil
	case *LRN:
		n, err := c.norm(o, o.Norm)
		return c.own(o, NewLRN(o.Layer, o.Batch, c.shape(o.Shape), n)), err
	case *LRNGrad:
		n, err := c.norm(o, o.Norm)
		return c.own(o, NewLRNGrad(o.Layer, o.Batch, c.shape(o.Shape), n)), err
	case *MaxPool:
		return c.own(o, NewMaxPool(o.Layer, o.Batch, c.window(o.Window))), nil
	case *MaxPoolGrad:
		return c.own(o, NewMaxPoolGrad(o.Layer, o.Batch, c.window(o.Window))), nil
	case *AvgPool:
		return c.own(o, NewAvgPool(o.Layer, o.Batch, c.window(o.Window))), nil
	case *AvgPoolGrad:
		return c.own(o, NewAvgPoolGrad(o.Layer, o.Batch, c.window(o.Window))), nil
	case *MaxAvgPool:
		return c.own(o, NewMaxAvgPool(o.Layer, o.Batch, c.window(o.Window))), nil
	case *MaxAvgPoolGrad:
		return c.own(o, NewMaxAvgPoolGrad(o.layer(), o.Batch, c.window(o.Window))), nil
	case *StochasticPool:
		part := NewStochasticPool(o.Layer, o.Batch, c.window(o.Window), o.Train, o.clock)
		part.Part = c.part(o.Part, o.Out.Channels)
		return c.own(o, part), nil
	case *StochasticPoolGrad:
		part := NewStochasticPoolGrad(o.Layer, o.Batch, c.window(o.Window), o.clock)
		part.Part = c.part(o.Part, o.Out.Channels)
		return c.own(o, part), nil
	case *RReLU:
		return c.own(o, o.at(c.shape(o.Shape), c.part(o.Part, o.Shape.Channels))), nil
	case *PyramidPool:
		s := c.own(o, NewPyramidPool(o.Layer, o.Batch, c.shape(o.In), o.Levels))
		s.Out = perCell(o.Batch, o.In, o.Levels)
		return s, nil
	case *PyramidPoolGrad:
		s := c.own(o, NewPyramidPoolGrad(o.layer(), o.Batch, c.shape(o.In), o.Levels))
		s.In[1] = perCell(o.Batch, o.In, o.Levels)
		return s, nil
	case *Dropout:
		return c.own(o, o.at(c.shape(o.Shape), c.part(o.Part, o.Shape.Channels))), nil
	case *PReLU:
		return c.own(o, NewPReLU(o.Layer, o.Batch, c.shape(o.Shape))), nil
	case *PReLUGrad:
		return c.own(o, NewPReLUGrad(o.layer(), o.Batch, c.shape(o.Shape))), nil
	case *PReLUSlopeGrad:
		return c.own(o, NewPReLUSlopeGrad(o.layer(), o.Batch, c.shape(o.Shape))), nil
	case *Maxout:
		return c.own(o, NewMaxout(o.Layer, o.Batch, c.shape(o.In), o.Pieces)), nil
	case *MaxoutGrad:
		return c.own(o, NewMaxoutGrad(o.layer(), o.in[0][0], c.shape(image(o.in[0])), o.Pieces)), nil
	case *BatchMean:
		return c.own(o, NewBatchMean(o.layer(), o.Batch, c.shape(o.Shape))), nil
	case *BatchVariance:
		return c.own(o, NewBatchVariance(o.layer(), o.Batch, c.shape(o.Shape))), nil
	case *BatchNorm:
		return c.own(o, NewBatchNorm(o.Layer, o.Batch, c.shape(o.Shape), o.Epsilon)), nil
	case *BatchNormScaleGrad:
		return c.own(o, NewBatchNormScaleGrad(o.layer(), o.in[0][0], c.shape(image(o.in[0])), o.Epsilon)), nil
	case *BatchNormGrad:
		return c.own(o, NewBatchNormGrad(o.layer(), o.in[0][0], c.shape(image(o.in[0])), o.Epsilon)), nil
	default:
		return Share{}, fmt.Errorf("%s cannot be divided among devices", nameOf(op))
	}
}

// norm keeps a normalisation's windows in their columns.
func (c columns) norm(op gorgonia.Op, n Norm) (Norm, error) {
	if n.Within {
		return n, nil
	}
	if n.Groups%c.of != 0 {
		return n, fmt.Errorf("%s: windows over the maps of %d columns cannot be divided among %d devices", nameOf(op), n.Groups, c.of)
	}
	n.Groups /= c.of
	return n, nil
}

// part narrows what a layer that draws random numbers works on to the device's channels.
func (c columns) part(p Part, channels int) Part {
	first, _ := Cut{1, channels, 1}.Block(c.i, c.of)
	p.Channel += first
	return p
}

// image is the shape of one image of activations.
func image(s tensor.Shape) arch.Shape { return arch.Shape{Height: s[1], Width: s[2], Channels: s[3]} }
