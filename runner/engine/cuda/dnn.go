package cuda

import (
	"fmt"

	"ablate/arch"
	"ablate/recipe"
	"ablate/runner/engine"
	"ablate/runner/engine/cuda/kernels"
	"ablate/runner/engine/cuda/nvidia"
	"ablate/runner/graph"
)

// dnn is cuDNN on the device. It is nil where the library is missing.
type dnn struct {
	*nvidia.DNN
	handle         nvidia.DNNHandle
	one, zero      float32 // alpha and beta of every call, read by address
	relu, identity nvidia.ActivationDesc
	convolutions   map[geometry]*convolution
	workspace      uint64 // the largest that an algorithm may need
}

func (d *Device) openDNN() error {
	if d.libs.DNN == nil {
		return nil
	}
	n := &dnn{DNN: d.libs.DNN, one: 1, convolutions: map[geometry]*convolution{}}
	// One eighth of the memory: a function of the GPU's model, so that every run uses the same
	// algorithms.
	if err := d.driver.DeviceTotalMem(&n.workspace, d.number).Err(); err != nil {
		return err
	}
	n.workspace /= 8
	if err := n.Create(&n.handle).Err(); err != nil {
		return err
	}
	d.dnn = n
	if err := n.SetStream(n.handle, d.stream).Err(); err != nil {
		return err
	}
	for to, mode := range map[*nvidia.ActivationDesc]nvidia.ActivationMode{&n.relu: nvidia.ReLU,
		&n.identity: nvidia.Identity} {
		if err := n.CreateActivation(to).Err(); err != nil {
			return err
		}
		if err := n.SetActivation(*to, mode, nvidia.PropagateNaNs, 0).Err(); err != nil {
			return err
		}
	}
	return nil
}

func (d *Device) closeDNN() error {
	if d.dnn == nil {
		return nil
	}
	var errs []error
	for _, c := range d.dnn.convolutions {
		errs = append(errs, c.close(d.dnn))
	}
	for _, a := range []nvidia.ActivationDesc{d.dnn.relu, d.dnn.identity} {
		if a != 0 {
			errs = append(errs, d.dnn.DestroyActivation(a).Err())
		}
	}
	return first(append(errs, d.dnn.Destroy(d.dnn.handle).Err()))
}

// A geometry is everything that cuDNN's choice of an algorithm depends on.
type geometry struct {
	batch     int
	window    graph.Window
	precision recipe.Precision
	fold      int  // pixels per side that become channels, see spaceToDepth; 1: none do
	dense     bool // cuDNN sees one group, whose filters are 0 between ours
}

// spaceToDepth returns how many pixels per side become channels of one pixel, forward and in the
// weight gradient, on tensor cores, which take channels in fours or eights. Layers with few channels
// and a stride gain by it, such as first layers. AlexNet's conv1, 11×11 with stride 4, is a 3×3 with
// stride 1 of 48 channels once squares of 4×4 pixels are one pixel. An output is then a sum of 432
// products, of which 363 have no zero as a factor. If the layer were padded, its 3 channels would make
// 484 in tf32 and 968 in bf16. The gradient with respect to the image, which a first layer does not
// need, does not use it.
func spaceToDepth(w graph.Window, p recipe.Precision) int {
	if p != recipe.Float32 && w.Stride > 1 && w.Stride <= w.Kernel && w.Groups == 1 &&
		w.Stride*w.Stride*w.In.Channels <= maxDepth {
		return w.Stride
	}
	return 1
}

// maxDepth is the largest useful number of channels: more pixels would only add zeros to the filters.
const maxDepth = 64

// A convolution is a geometry as cuDNN sees it. Its images are copied into padded ones where cuDNN
// cannot read them directly. This is so if squares of pixels become channels, if padding differs
// between the sides of an axis (cuDNN has one number for both), or if tensor cores take channels in
// fours or eights.
type convolution struct {
	geometry
	as             engine.Type
	in, out        arch.Shape // padded
	groups         int
	kernel, stride int // on the padded image
	framed         bool
	top, left      int // where the padded image begins in the image
	x, y, bias     nvidia.TensorDesc
	w              nvidia.FilterDesc
	conv           nvidia.ConvDesc
	math           nvidia.MathType
	algorithms     [3][]algorithm    // by direction, nil: not yet listed
	most           uint64            // the largest workspace of an algorithm
	tried          map[attempt]error // the outcome of each attempt
}

// Directions of a convolution.
const (
	forward = iota
	backwardData
	backwardFilter
)

// convolution creates the descriptors of a geometry, once.
func (n *dnn) convolution(g geometry) (*convolution, error) {
	if c, ok := n.convolutions[g]; ok {
		return c, nil
	}
	c := frame(g)
	c.most = n.workspace
	n.convolutions[g] = c
	t := map[engine.Type]nvidia.DNNType{engine.Float32: nvidia.DNNFloat, engine.BFloat16: nvidia.DNNBFloat16}[c.as]
	w, batch := g.window, int32(g.batch)
	padH, padW := int32(w.Pad.Top), int32(w.Pad.Left)
	if c.framed {
		padH, padW = 0, 0
	}
	for _, make := range []func() nvidia.DNNStatus{
		func() nvidia.DNNStatus { return n.CreateTensor(&c.x) },
		func() nvidia.DNNStatus { return n.CreateTensor(&c.y) },
		func() nvidia.DNNStatus { return n.CreateTensor(&c.bias) },
		func() nvidia.DNNStatus { return n.CreateFilter(&c.w) },
		func() nvidia.DNNStatus { return n.CreateConvolution(&c.conv) },
		func() nvidia.DNNStatus {
			return n.SetTensor(c.x, nvidia.NHWC, t, batch, int32(c.in.Channels), int32(c.in.Height), int32(c.in.Width))
		},
		func() nvidia.DNNStatus {
			return n.SetTensor(c.y, nvidia.NHWC, t, batch, int32(c.out.Channels), int32(w.Out.Height), int32(w.Out.Width))
		},
		func() nvidia.DNNStatus { return n.SetTensor(c.bias, nvidia.NHWC, t, 1, int32(c.out.Channels), 1, 1) },
		func() nvidia.DNNStatus {
			return n.SetFilter(c.w, t, nvidia.NHWC, int32(c.out.Channels), int32(c.in.Channels/c.groups), int32(c.kernel),
				int32(c.kernel))
		},
		func() nvidia.DNNStatus { // sums are float32, whatever type the operands have
			return n.SetConvolution(c.conv, padH, padW, int32(c.stride), int32(c.stride), 1, 1, nvidia.CrossCorrelation,
				nvidia.DNNFloat)
		},
		func() nvidia.DNNStatus { return n.SetGroups(c.conv, int32(c.groups)) },
	} {
		if err := n.err(make()); err != nil {
			return nil, fmt.Errorf("descriptors of a convolution %+v: %w", g, err)
		}
	}
	return c, nil
}

// err returns a status as an error, with cuDNN's message about its last error.
func (n *dnn) err(s nvidia.DNNStatus) error {
	if s == 0 { // the usual case: a step allocates nothing
		return nil
	}
	var said [512]byte
	n.LastError(&said[0], uint64(len(said)))
	if why := text(said[:]); why != "" {
		return fmt.Errorf("%w (%s)", s, why)
	}
	return s
}

func (c *convolution) close(n *dnn) error {
	var errs []error
	for _, t := range []nvidia.TensorDesc{c.x, c.y, c.bias} {
		if t != 0 {
			errs = append(errs, n.DestroyTensor(t).Err())
		}
	}
	if c.w != 0 {
		errs = append(errs, n.DestroyFilter(c.w).Err())
	}
	if c.conv != 0 {
		errs = append(errs, n.DestroyConvolution(c.conv).Err())
	}
	return first(errs)
}

// frame decides which part of the images cuDNN sees, and how.
func frame(g geometry) *convolution {
	w := g.window
	c := &convolution{geometry: g, as: typeOf(g.precision), in: w.In, out: w.Out, groups: w.Groups,
		math: nvidia.FMAMath, tried: map[attempt]error{}}
	if g.dense {
		c.groups = 1
	}
	c.kernel, c.stride = (w.Kernel+g.fold-1)/g.fold, w.Stride/g.fold
	c.in.Channels *= g.fold * g.fold
	multiple := 1
	switch g.precision {
	case recipe.TF32:
		c.math, multiple = nvidia.DefaultMath, 4
	case recipe.BF16:
		c.math, multiple = nvidia.TensorMath, 8
	}
	if c.groups == 1 {
		c.in.Channels = (c.in.Channels + multiple - 1) / multiple * multiple
		c.out.Channels = (c.out.Channels + multiple - 1) / multiple * multiple
	}
	exact := func(in, pad, out int) bool { return (in+2*pad-w.Kernel)/w.Stride+1 == out }
	symmetric := w.Pad.Top == w.Pad.Bottom && w.Pad.Left == w.Pad.Right && exact(w.In.Height, w.Pad.Top,
		w.Out.Height) && exact(w.In.Width, w.Pad.Left, w.Out.Width)
	if symmetric && c.in == w.In {
		return c
	}
	c.framed, c.top, c.left = true, -w.Pad.Top, -w.Pad.Left
	c.in.Height, c.in.Width = (w.Out.Height-1)*c.stride+c.kernel, (w.Out.Width-1)*c.stride+c.kernel
	return c
}

// filters returns the weights in cuDNN's layout.
func (c *convolution) filters() kernels.Filters {
	return kernels.Filters{Kernel: c.window.Kernel, Fold: c.fold, In: c.window.In.Channels / c.window.Groups,
		Room: c.in.Channels / c.groups, Out: c.window.Out.Channels, Rows: c.out.Channels,
		Groups: c.window.Groups / c.groups}
}
