package cuda

import (
	"errors"
	"fmt"
	"slices"
	"unsafe"

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
}

func (d *Device) openDNN() error {
	if d.libs.DNN == nil {
		return nil
	}
	n := &dnn{DNN: d.libs.DNN, one: 1, convolutions: map[geometry]*convolution{}}
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

// A geometry is all that cuDNN's choice of an algorithm depends on.
type geometry struct {
	batch     int
	window    graph.Window
	precision recipe.Precision
	fold      int // pixels of a side that become channels, see spaceToDepth; 1: none do
}

// spaceToDepth is how many pixels of a side become channels of one, forward and in the
// weight gradient, on tensor cores, which take channels in fours or eights. Layers
// with few channels and a stride gain by it, as first ones: AlexNet's conv1, 11×11
// with stride 4, is a 3×3 with stride 1 of 48 channels once squares of 4×4 pixels
// are one. An output is then a sum of 432 products, of which 363 are not with
// zeros; padded, its 3 channels make 484 in tf32 and 968 in bf16. The gradient to
// the image, which a first layer does not need, is left as it is.
func spaceToDepth(w graph.Window, p recipe.Precision) int {
	if p != recipe.Float32 && w.Stride > 1 && w.Stride <= w.Kernel && w.Groups == 1 &&
		w.Stride*w.Stride*w.In.Channels <= maxDepth {
		return w.Stride
	}
	return 1
}

// maxDepth is how many channels are enough: more pixels would only add zeros to the filters.
const maxDepth = 64

// A convolution is a geometry as cuDNN sees it. Its images are copied into padded ones
// where cuDNN cannot read them as they are: squares of pixels become channels, padding
// differs between the sides of an axis (cuDNN has one number for both), or tensor
// cores take channels in fours or eights.
type convolution struct {
	geometry
	as             engine.Type
	in             arch.Shape // padded
	kernel, stride int        // on the padded image
	padded         bool
	top, left      int // where the padded image begins in the image
	x, y, bias     nvidia.TensorDesc
	w              nvidia.FilterDesc
	conv           nvidia.ConvDesc
	math           nvidia.MathType
	chosen         [3]*algorithm // by direction
}

// Directions of a convolution.
const (
	forward = iota
	backwardData
	backwardFilter
)

// An algorithm is one of cuDNN's, with the workspace it needs.
type algorithm struct {
	number int32
	bytes  uint64
	math   nvidia.MathType
}

// maxWorkspace bounds what an algorithm may need: those for small images that
// transform the whole batch at once need more than they save.
const maxWorkspace = 1 << 30

// convolution adds cuDNN's calls for a convolution or one of its gradients, none
// where the instruction is another, or cuDNN is missing or has no algorithm for it
// that computes the same bits every time.
func (p *plan) convolution(in engine.Instr) {
	if p.d.dnn == nil {
		return
	}
	switch op := in.Op.(type) {
	case *graph.Conv:
		p.convolve(in, geometry{batch: op.Batch, window: op.Window, precision: in.Precision,
			fold: spaceToDepth(op.Window, in.Precision)}, forward, p.forward)
	case *graph.ConvDataGrad:
		p.convolve(in, geometry{batch: op.Batch, window: op.Window, precision: in.Precision, fold: 1}, backwardData,
			p.backwardData)
	case *graph.ConvWeightGrad:
		p.convolve(in, geometry{batch: op.Batch, window: op.Window, precision: in.Precision,
			fold: spaceToDepth(op.Window, in.Precision)}, backwardFilter,
			p.backwardFilter)
	}
}

// convolve adds the calls of a direction, if cuDNN has an algorithm for it.
func (p *plan) convolve(in engine.Instr, g geometry, direction int, add func(engine.Instr, *convolution, algorithm)) {
	c, err := p.d.dnn.convolution(g)
	if err != nil {
		p.err = err
		return
	}
	if c.chosen[direction] == nil {
		if c.chosen[direction], p.err = c.choose(p.d.dnn, direction); p.err != nil {
			return
		}
	}
	if a := c.chosen[direction]; a.number >= 0 {
		p.by = fmt.Sprintf("%s %d", nvidia.CuDNN, a.number)
		add(in, c, *a)
		return
	}
	if g.precision != recipe.Float32 {
		p.err = fmt.Errorf("cuDNN has no deterministic algorithm for %v at precision %s: %w", in.Op, g.precision,
			engine.ErrNoKernel)
	}
}

// convolution makes the descriptors of a geometry, once.
func (n *dnn) convolution(g geometry) (*convolution, error) {
	if c, ok := n.convolutions[g]; ok {
		return c, nil
	}
	c := frame(g)
	n.convolutions[g] = c
	t := map[engine.Type]nvidia.DNNType{engine.Float32: nvidia.DNNFloat, engine.BFloat16: nvidia.DNNBFloat16}[c.as]
	w, batch := g.window, int32(g.batch)
	padH, padW := int32(w.Pad.Top), int32(w.Pad.Left)
	if c.padded {
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
			return n.SetTensor(c.y, nvidia.NHWC, t, batch, int32(w.Out.Channels), int32(w.Out.Height), int32(w.Out.Width))
		},
		func() nvidia.DNNStatus { return n.SetTensor(c.bias, nvidia.NHWC, t, 1, int32(w.Out.Channels), 1, 1) },
		func() nvidia.DNNStatus {
			return n.SetFilter(c.w, t, nvidia.NHWC, int32(w.Out.Channels), int32(c.in.Channels/w.Groups), int32(c.kernel),
				int32(c.kernel))
		},
		func() nvidia.DNNStatus { // sums are float32 whatever the operands
			return n.SetConvolution(c.conv, padH, padW, int32(c.stride), int32(c.stride), 1, 1, nvidia.CrossCorrelation,
				nvidia.DNNFloat)
		},
		func() nvidia.DNNStatus { return n.SetGroups(c.conv, int32(w.Groups)) },
	} {
		if err := make().Err(); err != nil {
			return nil, fmt.Errorf("descriptors of a convolution %+v: %w", g, err)
		}
	}
	return c, nil
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

// frame decides what of the images cuDNN sees.
func frame(g geometry) *convolution {
	w := g.window
	c := &convolution{geometry: g, as: typeOf(g.precision), in: w.In, math: nvidia.FMAMath}
	c.kernel, c.stride = (w.Kernel+g.fold-1)/g.fold, w.Stride/g.fold
	c.in.Channels *= g.fold * g.fold
	multiple := 1
	switch g.precision {
	case recipe.TF32:
		c.math, multiple = nvidia.DefaultMath, 4
	case recipe.BF16:
		c.math, multiple = nvidia.TensorMath, 8
	}
	if w.Groups == 1 {
		c.in.Channels = (c.in.Channels + multiple - 1) / multiple * multiple
	}
	exact := func(in, pad, out int) bool { return (in+2*pad-w.Kernel)/w.Stride+1 == out }
	symmetric := w.Pad.Top == w.Pad.Bottom && w.Pad.Left == w.Pad.Right && exact(w.In.Height, w.Pad.Top,
		w.Out.Height) && exact(w.In.Width, w.Pad.Left, w.Out.Width)
	if symmetric && c.in == w.In {
		return c
	}
	c.padded, c.top, c.left = true, -w.Pad.Top, -w.Pad.Left
	c.in.Height, c.in.Width = (w.Out.Height-1)*c.stride+c.kernel, (w.Out.Width-1)*c.stride+c.kernel
	return c
}

// filters are the weights as cuDNN has them.
func (c *convolution) filters() kernels.Filters {
	return kernels.Filters{Kernel: c.window.Kernel, Fold: c.fold, In: c.window.In.Channels / c.window.Groups,
		Room: c.in.Channels / c.window.Groups, Out: c.window.Out.Channels}
}

// gemm is the algorithm that is tried first, in all three directions: a matrix
// product that forms its left side as it goes (IMPLICIT_PRECOMP_GEMM, ALGO_1 of the
// gradients). It is deterministic and the one that tensor cores compute; what
// cuDNN's heuristic puts before it on NHWC images is slower (apache/tvm#9600).
const gemm = 1

// choose takes gemm, or the first of the algorithms, as cuDNN expects them to be
// fast, that computes the same bits every time. That is a function of the geometry
// and the library alone: trying them out would choose by chance. Its number is
// −1 where there is none.
func (c *convolution) choose(n *dnn, direction int) (*algorithm, error) {
	if err := n.SetMath(c.conv, c.math).Err(); err != nil {
		return nil, err
	}
	perf, count := make([]nvidia.AlgorithmPerf, 16), int32(0)
	var status nvidia.DNNStatus
	switch direction {
	case forward:
		status = n.ForwardAlgorithms(n.handle, c.x, c.w, c.conv, c.y, int32(len(perf)), &count, &perf[0])
	case backwardData:
		status = n.DataAlgorithms(n.handle, c.w, c.y, c.conv, c.x, int32(len(perf)), &count, &perf[0])
	case backwardFilter:
		status = n.FilterAlgorithms(n.handle, c.x, c.y, c.conv, c.w, int32(len(perf)), &count, &perf[0])
	}
	if status != 0 && !status.NotSupported() {
		return nil, fmt.Errorf("algorithms of a convolution %+v: %w", c.geometry, status)
	}
	none := &algorithm{number: -1}
	if status.NotSupported() {
		return none, nil
	}
	perf = perf[:count]
	slices.SortStableFunc(perf, func(a, b nvidia.AlgorithmPerf) int { return c.rank(a) - c.rank(b) })
	for _, p := range perf {
		if p.Status != 0 || p.Determinism != 1 || p.Memory > maxWorkspace || c.math == nvidia.FMAMath &&
			p.Math != nvidia.FMAMath && p.Math != nvidia.DefaultMath {
			continue
		}
		a := &algorithm{number: p.Algorithm, math: p.Math}
		if c.math == nvidia.FMAMath {
			a.math = nvidia.FMAMath // DefaultMath would allow TF32
		}
		err := c.workspace(n, direction, a)
		if s, ok := errors.AsType[nvidia.DNNStatus](err); ok && s.NotSupported() {
			continue
		}
		return a, err
	}
	return none, nil
}

// rank orders algorithms: gemm first, and that on tensor cores where they may be used.
func (c *convolution) rank(p nvidia.AlgorithmPerf) int {
	switch {
	case p.Algorithm != gemm:
		return 2
	case p.Math == nvidia.FMAMath && c.math != nvidia.FMAMath:
		return 1
	}
	return 0
}

// workspace asks what an algorithm needs.
func (c *convolution) workspace(n *dnn, direction int, a *algorithm) error {
	// The math type changes what an algorithm needs, and without the one that was
	// promised for it group convolutions can be ten times slower (pytorch#15881).
	if err := n.SetMath(c.conv, a.math).Err(); err != nil {
		return err
	}
	switch direction {
	case forward:
		return n.ForwardWorkspace(n.handle, c.x, c.w, c.conv, c.y, a.number, &a.bytes).Err()
	case backwardData:
		return n.DataWorkspace(n.handle, c.w, c.y, c.conv, c.x, a.number, &a.bytes).Err()
	default:
		return n.FilterWorkspace(n.handle, c.x, c.y, c.conv, c.w, a.number, &a.bytes).Err()
	}
}

// Regions of a convolution's scratch memory.
type regions struct{ x, w, y, bias, work region }

// regions reserves what stands between our images x and y and cuDNN's.
func (p *plan) regions(c *convolution, a algorithm, x, y engine.Tensor) regions {
	var r regions
	size := uint64(c.as.Bytes())
	if !c.reads(x) {
		r.x = p.reserve(size * uint64(c.batch*c.in.Len()))
	}
	r.w = p.reserve(size * uint64(c.filters().Len()))
	if y.Type != c.as {
		r.y = p.reserve(size * uint64(y.Len()))
	}
	if c.as != engine.Float32 {
		r.bias = p.reserve(size * uint64(c.window.Out.Channels))
	}
	r.work = p.reserve(a.bytes)
	p.place()
	return r
}

// reads tells whether cuDNN takes images as they are.
func (c *convolution) reads(x engine.Tensor) bool { return !c.padded && x.Type == c.as }

// images adds what makes images cuDNN's, and says where they lie.
func (p *plan) images(c *convolution, r regions, x engine.Tensor) nvidia.Address {
	from, to := uint64(address(x)), uint64(p.at(r.x))
	switch {
	case c.reads(x):
		return address(x)
	case c.padded:
		p.launch(kernels.Frame(c.batch, from, x.Type, c.window.In, to, c.as, c.in, c.top, c.left, c.fold))
	default:
		p.launch(kernels.Store(from, x.Type, to, c.as, x.Len()))
	}
	return p.at(r.x)
}

// outputs adds what makes gradients of outputs cuDNN's, and says where they lie.
func (p *plan) outputs(c *convolution, r regions, dy engine.Tensor) nvidia.Address {
	if dy.Type == c.as {
		return address(dy)
	}
	p.launch(kernels.Store(uint64(address(dy)), dy.Type, uint64(p.at(r.y)), c.as, dy.Len()))
	return p.at(r.y)
}

// weights adds what makes weights cuDNN's, and says where they lie.
func (p *plan) weights(c *convolution, r regions, w engine.Tensor) nvidia.Address {
	p.launch(c.filters().ToKRSC(uint64(address(w)), uint64(p.at(r.w)), c.as))
	return p.at(r.w)
}

// run adds a call of cuDNN with an algorithm's math type.
func (p *plan) run(what string, c *convolution, a algorithm,
	f func(n *dnn, one, zero unsafe.Pointer) nvidia.DNNStatus) {
	n := p.d.dnn
	p.call(what, func() error {
		if err := n.SetMath(c.conv, a.math).Err(); err != nil {
			return err
		}
		return f(n, unsafe.Pointer(&n.one), unsafe.Pointer(&n.zero)).Err()
	})
}

// forward is y = x∗w, then + b and the ReLU, in one pass if cuDNN stores what we keep.
func (p *plan) forward(in engine.Instr, c *convolution, a algorithm) {
	r := p.regions(c, a, in.In[0], in.Out)
	x, w := p.images(c, r, in.In[0]), p.weights(c, r, in.In[1])
	to := address(in.Out)
	y := to
	if in.Out.Type != c.as {
		y = p.at(r.y)
	}
	apart := &plan{d: p.d, base: p.base}
	apart.run("convolution", c, a, func(n *dnn, one, zero unsafe.Pointer) nvidia.DNNStatus {
		return n.Forward(n.handle, one, c.x, x, c.w, w, c.conv, a.number, p.at(r.work), a.bytes, zero, c.y, y)
	})
	bare := biases(in) == 0
	if !bare || in.ReLU || y != to {
		apart.launch(kernels.Finish(uint64(y), c.as, uint64(biases(in)), uint64(to), in.Out.Type, in.Out.Len(),
			c.window.Out.Channels, in.ReLU))
	}
	// cuDNN adds a bias without a ReLU in gemm alone.
	if apart.err != nil || bare || y != to || !in.ReLU && a.number != gemm {
		p.calls, p.err = append(p.calls, apart.calls...), errors.Join(p.err, apart.err)
		return
	}
	bias := in.In[2]
	b := address(bias)
	if bias.Type != c.as {
		b = p.at(r.bias)
		p.launch(kernels.Store(uint64(address(bias)), bias.Type, uint64(b), c.as, bias.Len()))
	}
	activation := p.d.dnn.identity
	if in.ReLU {
		activation = p.d.dnn.relu
	}
	plain := p.by
	p.by += " fused"
	p.run("convolution", c, a, func(n *dnn, one, zero unsafe.Pointer) nvidia.DNNStatus {
		return n.ForwardFinished(n.handle, one, c.x, x, c.w, w, c.conv, a.number, p.at(r.work), a.bytes, zero, c.y, y,
			c.bias, b, activation, c.y, y)
	})
	p.orElse(plain, apart.calls)
}

// orElse makes other calls instead of the last one if cuDNN refuses that. It does
// so at the first run, before any CUDA graph is recorded.
func (p *plan) orElse(by string, others []call) {
	last, refused := p.calls[len(p.calls)-1], false
	p.calls[len(p.calls)-1] = func() error {
		if !refused {
			err := last()
			if status, ok := errors.AsType[nvidia.DNNStatus](err); !ok || !status.Refused() {
				return err
			}
			refused, p.by = true, by
		}
		return begin(others)
	}
}

// backwardData is the gradient to the images, without the frame's border.
func (p *plan) backwardData(in engine.Instr, c *convolution, a algorithm) {
	r := p.regions(c, a, in.Out, in.In[1])
	w, dy := p.weights(c, r, in.In[0]), p.outputs(c, r, in.In[1])
	to := address(in.Out)
	dx := to
	if !c.reads(in.Out) {
		dx = p.at(r.x)
	}
	p.run("convolution's data gradient", c, a, func(n *dnn, one, zero unsafe.Pointer) nvidia.DNNStatus {
		return n.BackwardData(n.handle, one, c.w, w, c.y, dy, c.conv, a.number, p.at(r.work), a.bytes, zero, c.x, dx)
	})
	switch {
	case c.reads(in.Out):
	case c.padded:
		p.launch(kernels.Frame(c.batch, uint64(dx), c.as, c.in, uint64(to), in.Out.Type, c.window.In, -c.top, -c.left, 1))
	default:
		p.launch(kernels.Store(uint64(dx), c.as, uint64(to), in.Out.Type, in.Out.Len()))
	}
}

// backwardFilter is the gradient to the weights, which cuDNN stores as its operands.
func (p *plan) backwardFilter(in engine.Instr, c *convolution, a algorithm) {
	r := p.regions(c, a, in.In[0], in.In[1])
	x, dy, dw := p.images(c, r, in.In[0]), p.outputs(c, r, in.In[1]), p.at(r.w)
	p.run("convolution's weight gradient", c, a, func(n *dnn, one, zero unsafe.Pointer) nvidia.DNNStatus {
		return n.BackwardFilter(n.handle, one, c.x, x, c.y, dy, c.conv, a.number, p.at(r.work), a.bytes, zero, c.w, dw)
	})
	p.launch(c.filters().FromKRSC(uint64(dw), c.as, uint64(address(in.Out))))
}
