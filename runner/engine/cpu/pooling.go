package cpu

import (
	"ablate/runner/engine"
	"ablate/runner/graph"
)

var (
	_ = computes(newMaxPool)
	_ = computes(newMaxPoolGrad)
	_ = computes(newAvgPool)
	_ = computes(newAvgPoolGrad)
)

// A strip is a run of windows of neighbouring output rows or columns: n windows of size cells each,
// from output index first onwards. The first of them starts at input index from. Windows that the
// border cuts are strips by themselves.
type strip struct{ first, n, from, size int }

// strips cuts the windows along one side of an image.
func strips(outputs, stride, pad, kernel, inputs int) []strip {
	var all []strip
	for o := range outputs {
		first := o*stride - pad
		from, to := max(first, 0), min(first+kernel, inputs)
		s := strip{first: o, n: 1, from: from, size: to - from}
		if n := len(all) - 1; n >= 0 && all[n].size == s.size && all[n].from+all[n].n*stride == from {
			all[n].n++
			continue
		}
		all = append(all, s)
	}
	return all
}

// sweep applies a kernel of windows to the strips of one image.
type sweep struct {
	kernel     func(*poolingRow)
	rows, cols []strip
	in, out    imageSize
	stride     int
	mean       bool         // scale each window by its number of cells, as PyTorch's count_include_pad=False
	work       []poolingRow // one per worker
}

type imageSize struct{ width, channels int }

func newSweep(d *Device, w graph.Window, kernel func(*poolingRow)) sweep {
	return sweep{
		kernel: kernel,
		rows:   strips(w.Out.Height, w.Stride, w.Pad.Top, w.Kernel, w.In.Height),
		cols:   strips(w.Out.Width, w.Stride, w.Pad.Left, w.Kernel, w.In.Width),
		in:     imageSize{w.In.Width, w.In.Channels},
		out:    imageSize{w.Out.Width, w.Out.Channels},
		stride: w.Stride, work: make([]poolingRow, d.workers.n),
	}
}

// start returns the offset of a pixel in an image.
func (s imageSize) start(y, x int) int { return (y*s.width + x) * s.channels }

// run walks over one image. cell and grad are the image's values and gradient, out and top those of
// the output. The slices that the kernel does not use are nil.
func (s *sweep) run(worker int, cell, grad, out, top []float32) {
	w := &s.work[worker]
	*w = poolingRow{channels: s.in.channels, row: s.in.start(1, 0), col: s.in.channels,
		step: s.stride * s.in.channels, outStep: s.out.channels, scale: 1}
	from := func(of []float32, off int) *float32 {
		if of == nil {
			return nil
		}
		return &of[off]
	}
	for _, r := range s.rows {
		for i := range r.n {
			for _, c := range s.cols {
				first, pixel := s.in.start(r.from+i*s.stride, c.from), s.out.start(r.first+i, c.first)
				w.cell, w.grad, w.out, w.top = from(cell, first), from(grad, first), from(out, pixel), from(top, pixel)
				w.rows, w.cols, w.pixels = r.size, c.size, c.n
				if s.mean {
					w.scale = 1 / float32(w.rows*w.cols)
				}
				s.kernel(w)
			}
		}
	}
}

// pools is a pooling layer, forward or backward, one image per tile. x and y are the layer's input and
// output, dx and dy their gradients. The slices that a kernel does not need are nil.
type pools struct {
	d            *Device
	sweep        sweep
	w            graph.Window
	batch        int
	x, y, dx, dy []float32
	mask         []float32 // y of the ReLU before the layer, whose gradient is fused; nil if none is
}

func newMaxPool(d *Device, op *graph.MaxPool, in engine.Instr) engine.Kernel {
	return &pools{d: d, w: op.Window, sweep: newSweep(d, op.Window, d.isa.maxWindows), batch: op.Batch,
		x: slice(in.In[0]), y: slice(in.Out)}
}

func newMaxPoolGrad(d *Device, op *graph.MaxPoolGrad, in engine.Instr) engine.Kernel {
	return &pools{d: d, w: op.Window, sweep: newSweep(d, op.Window, d.isa.maxGradWindows), batch: op.Batch,
		x: slice(in.In[0]), y: slice(in.In[1]), dy: slice(in.In[2]), dx: slice(in.Out), mask: maskOf(in)}
}

func newAvgPool(d *Device, op *graph.AvgPool, in engine.Instr) engine.Kernel {
	p := &pools{d: d, w: op.Window, sweep: newSweep(d, op.Window, d.isa.sumWindows), batch: op.Batch, x: slice(in.In[0]),
		y: slice(in.Out)}
	p.sweep.mean = true
	return p
}

func newAvgPoolGrad(d *Device, op *graph.AvgPoolGrad, in engine.Instr) engine.Kernel {
	p := &pools{d: d, w: op.Window, sweep: newSweep(d, op.Window, d.isa.addWindows), batch: op.Batch,
		dy: slice(in.In[0]), dx: slice(in.Out), mask: maskOf(in)}
	p.sweep.mean = true
	return p
}

// Run handles all images.
func (p *pools) Run(*engine.Context) error { return p.d.workers.run(p, p.batch) }

func (p *pools) tile(worker, n int) {
	in := func(of []float32) []float32 { return imageOf(of, n, p.w.In.Len()) }
	out := func(of []float32) []float32 { return imageOf(of, n, p.w.Out.Len()) }
	if p.dx == nil {
		p.sweep.run(worker, in(p.x), nil, out(p.y), nil)
		return
	}
	clear(in(p.dx))
	p.sweep.run(worker, in(p.x), in(p.dx), out(p.dy), out(p.y))
	if p.mask != nil {
		p.d.isa.reluGrad(in(p.dx), in(p.mask), in(p.dx))
	}
}

// imageOf returns image n of a batch; nil if batch is nil.
func imageOf(batch []float32, n, size int) []float32 {
	if batch == nil {
		return nil
	}
	return batch[n*size : (n+1)*size]
}

// maskOf returns the output of the ReLU whose gradient is fused into an instruction, nil if there is
// none.
func maskOf(in engine.Instr) []float32 {
	if in.Mask.Mem == nil {
		return nil
	}
	return slice(in.Mask)
}
