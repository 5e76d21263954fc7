package cuda

import (
	"unsafe"

	"ablate/runner/engine"
	"ablate/runner/engine/cuda/kernels"
	"ablate/runner/engine/cuda/nvidia"
)

// Regions of the scratch memory of a convolution.
type regions struct{ x, w, y, bias, work region }

// regions reserves the scratch memory between our images x and y and cuDNN's.
func (p *plan) regions(c *convolution, a attempt, x, y engine.Tensor) regions {
	var r regions
	size := uint64(c.as.Bytes())
	if !c.reads(x) {
		r.x = p.reserve(size * uint64(c.batch*c.in.Len()))
	}
	r.w = p.reserve(size * uint64(c.filters().Len()))
	if !c.stores(y) {
		r.y = p.reserve(size * uint64(c.batch*c.out.Len()))
	}
	if c.as != engine.Float32 {
		r.bias = p.reserve(size * uint64(c.window.Out.Channels))
	}
	r.work = p.reserve(a.bytes)
	p.place()
	return r
}

// dnnAlign is the alignment, in bytes, of the loads of cuDNN's kernels. A piece of a batch may begin
// anywhere.
const dnnAlign = 16

// reads reports whether cuDNN can read images without a copy, stores whether it can store outputs so.
func (c *convolution) reads(x engine.Tensor) bool {
	return !c.framed && x.Type == c.as && address(x)%dnnAlign == 0
}

func (c *convolution) stores(y engine.Tensor) bool {
	return c.out == c.window.Out && y.Type == c.as && address(y)%dnnAlign == 0
}

// images adds the launches that bring images into cuDNN's form, and returns their address.
func (p *plan) images(c *convolution, r regions, x engine.Tensor) nvidia.Address {
	from, to := uint64(address(x)), uint64(p.at(r.x))
	switch {
	case c.reads(x):
		return address(x)
	case c.framed:
		p.launch(kernels.Frame(c.batch, from, x.Type, c.window.In, to, c.as, c.in, c.top, c.left, c.fold))
	default:
		p.launch(kernels.Store(from, x.Type, to, c.as, x.Len()))
	}
	return p.at(r.x)
}

// outputs adds the launches that bring gradients of outputs into cuDNN's form, and returns their
// address.
func (p *plan) outputs(c *convolution, r regions, dy engine.Tensor) nvidia.Address {
	from, to := uint64(address(dy)), uint64(p.at(r.y))
	switch {
	case c.stores(dy):
		return address(dy)
	case c.out != c.window.Out:
		p.launch(kernels.Frame(c.batch, from, dy.Type, c.window.Out, to, c.as, c.out, 0, 0, 1))
	default:
		p.launch(kernels.Store(from, dy.Type, to, c.as, dy.Len()))
	}
	return p.at(r.y)
}

// weights adds the launches that bring weights into cuDNN's form, and returns their address.
func (p *plan) weights(c *convolution, r regions, w engine.Tensor) nvidia.Address {
	p.launch(c.filters().ToKRSC(uint64(address(w)), uint64(p.at(r.w)), c.as))
	return p.at(r.w)
}

// run adds a call of cuDNN with the math type of an algorithm.
func (p *plan) run(what string, c *convolution, a attempt, f func(n *dnn, one, zero unsafe.Pointer) nvidia.DNNStatus) {
	n := p.d.dnn
	p.call(what, func() error {
		if err := n.err(n.SetMath(c.conv, a.math)); err != nil {
			return err
		}
		return n.err(f(n, unsafe.Pointer(&n.one), unsafe.Pointer(&n.zero)))
	})
}

// forward is y = x∗w, then + b and the ReLU, in one pass if the attempt is finished.
func (p *plan) forward(in engine.Instr, c *convolution, a attempt) {
	r := p.regions(c, a, in.In[0], in.Out)
	x, w := p.images(c, r, in.In[0]), p.weights(c, r, in.In[1])
	to := address(in.Out)
	y := to
	if !c.stores(in.Out) {
		y = p.at(r.y)
	}
	if a.finished {
		p.finished(in, c, a, r, x, w, y)
		return
	}
	p.run("convolution", c, a, func(n *dnn, one, zero unsafe.Pointer) nvidia.DNNStatus {
		return n.Forward(n.handle, one, c.x, x, c.w, w, c.conv, a.number, p.at(r.work), a.bytes, zero, c.y, y)
	})
	from, stored, b := y, c.as, biases(in)
	if c.out != c.window.Out { // only the channels that we keep
		from, stored = to, in.Out.Type
		p.launch(kernels.Frame(c.batch, uint64(y), c.as, c.out, uint64(to), stored, c.window.Out, 0, 0, 1))
	}
	if b != 0 || in.ReLU || from != to {
		p.launch(kernels.Finish(uint64(from), stored, uint64(b), uint64(to), in.Out.Type, in.Out.Len(),
			c.window.Out.Channels, in.ReLU))
	}
}

// finished is y = x∗w + b, followed by max(0, ·) if there is a ReLU.
func (p *plan) finished(in engine.Instr, c *convolution, a attempt, r regions, x, w, y nvidia.Address) {
	bias := in.In[2]
	b := address(bias)
	if bias.Type != c.as {
		b = p.at(r.bias)
		p.launch(kernels.Store(uint64(address(bias)), bias.Type, uint64(b), c.as, bias.Len()))
	}
	activation := p.d.dnn.identity
	if a.relu {
		activation = p.d.dnn.relu
	}
	p.run("convolution", c, a, func(n *dnn, one, zero unsafe.Pointer) nvidia.DNNStatus {
		return n.ForwardFinished(n.handle, one, c.x, x, c.w, w, c.conv, a.number, p.at(r.work), a.bytes, zero, c.y, y,
			c.bias, b, activation, c.y, y)
	})
}

// backwardData is the gradient with respect to the images, without the frame's border.
func (p *plan) backwardData(in engine.Instr, c *convolution, a attempt) {
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
	case c.framed:
		p.launch(kernels.Frame(c.batch, uint64(dx), c.as, c.in, uint64(to), in.Out.Type, c.window.In, -c.top, -c.left, 1))
	default:
		p.launch(kernels.Store(uint64(dx), c.as, uint64(to), in.Out.Type, in.Out.Len()))
	}
}

// backwardFilter is the gradient with respect to the weights. cuDNN stores it in the type of its
// operands.
func (p *plan) backwardFilter(in engine.Instr, c *convolution, a attempt) {
	r := p.regions(c, a, in.In[0], in.In[1])
	x, dy, dw := p.images(c, r, in.In[0]), p.outputs(c, r, in.In[1]), p.at(r.w)
	p.run("convolution's weight gradient", c, a, func(n *dnn, one, zero unsafe.Pointer) nvidia.DNNStatus {
		return n.BackwardFilter(n.handle, one, c.x, x, c.y, dy, c.conv, a.number, p.at(r.work), a.bytes, zero, c.w, dw)
	})
	p.launch(c.filters().FromKRSC(uint64(dw), c.as, uint64(address(in.Out))))
}
