package cpu

import (
	"math"
	"unsafe"

	"ablate/arch"
	"ablate/runner/engine"
	"ablate/runner/graph"
)

var (
	_ = computes(newLRN)
	_ = computes(newLRNGrad)
)

// lines is a run of lines of values that one pass of local response normalisation handles. Across
// maps, a line is one pixel's maps of one column. Its sums and shares lie pitch values apart with
// zeros between them, and the values of a window of the given size are added up. Within a map the sums
// over the window are computed beforehand, so size is 1.
//
//	squares  sums = x²
//	forward  out = x·d^−β                              with d = k + α·Σ sums
//	shares   shares = dy·x·d^−β/d and out = dy·d^−β
//	grad     out −= factor·x·Σ shares                  factor is 2αβ
type lines struct {
	x, dy, out       *float32
	sums, shares     *float32 // the first window of a line
	count, len       int
	pitch, size      int
	k, alpha, factor float32
	beta             float64 // for the Go twins; the assembly handles 0.75 only
}

// passes are the four kernels over lines.
type passes struct{ squares, forward, shares, grad func(*lines) }

var goPasses = passes{squares: squaresGo, forward: forwardGo, shares: sharesGo, grad: gradGo}

// vectorPasses returns assembly passes for lines of whole vectors, where β is 0.75.
func vectorPasses(squares, forward, shares, grad func(*byte)) passes {
	of := func(f func(*byte)) func(*lines) {
		return func(l *lines) { f((*byte)(unsafe.Pointer(l))) }
	}
	return passes{squares: of(squares), forward: of(forward), shares: of(shares), grad: of(grad)}
}

// sum adds up a window. Sums of 3 and 5, the usual ones, need no loop.
func (l *lines) sum(q []float32) float32 {
	switch l.size {
	case 1:
		return q[0]
	case 3:
		return q[0] + q[1] + q[2]
	case 5:
		return q[0] + q[1] + q[2] + q[3] + q[4]
	}
	s := q[0]
	for _, v := range q[1:l.size] {
		s += v
	}
	return s
}

func squaresGo(l *lines) {
	for i := range l.count {
		sums := values(l.sums, i*l.pitch, l.len)
		for c, v := range values(l.x, i*l.len, l.len) {
			sums[c] = v * v
		}
	}
}

func forwardGo(l *lines) {
	for i := range l.count {
		out, q := values(l.out, i*l.len, l.len), values(l.sums, i*l.pitch, l.len+l.size-1)
		for c, v := range values(l.x, i*l.len, l.len) {
			out[c] = v * l.power(l.k+float32(l.alpha*l.sum(q[c:])))
		}
	}
}

func sharesGo(l *lines) {
	for i := range l.count {
		q := values(l.sums, i*l.pitch, l.len+l.size-1)
		out, dy, shares := values(l.out, i*l.len, l.len), values(l.dy, i*l.len, l.len), values(l.shares, i*l.pitch, l.len)
		for c, v := range values(l.x, i*l.len, l.len) {
			d := l.k + float32(l.alpha*l.sum(q[c:]))
			p, g := l.power(d), dy[c]
			shares[c] = g * v * p / d
			out[c] = g * p
		}
	}
}

func gradGo(l *lines) {
	for i := range l.count {
		out, q := values(l.out, i*l.len, l.len), values(l.shares, i*l.pitch, l.len+l.size-1)
		for c, v := range values(l.x, i*l.len, l.len) {
			out[c] -= float32(float32(l.factor*v) * l.sum(q[c:]))
		}
	}
}

// power returns d^−β. For the paper's β this is 1/(√d·√√d), which needs no logarithm and has the same
// bits everywhere.
func (l *lines) power(d float32) float32 {
	if l.beta != 0.75 {
		return float32(math.Pow(float64(d), -l.beta))
	}
	root := float32(math.Sqrt(float64(d)))
	return 1 / float32(root*float32(math.Sqrt(float64(root))))
}

// lrnBlock is the number of values that a pass handles before the next pass follows. A block and its
// scratch stay in the first-level cache.
const lrnBlock = 2048

// norms is local response normalisation, forward or backward, one image per tile. The backward pass
// computes the sums of squares again: reading x twice costs less than storing them.
type norms struct {
	d         *Device
	op        graph.LRNParams
	size      int // values in an image
	batch     int
	proto     lines
	passes    passes
	x, dy, to []float32
	mask      []float32 // y of the ReLU before the layer, whose gradient is fused; nil if none is
	half      int       // zeros before and after a line of sums
	room      int       // values of sums, and of shares, in scratch
	work      []lines
	sweep     sweep // over the window within a map, if within is set
}

func newLRN(d *Device, op *graph.LRN, in engine.Instr) engine.Kernel {
	k := &norms{d: d, op: op.LRNParams, batch: op.Batch, x: slice(in.In[0]), to: slice(in.Out)}
	return k.bound(op.Shape)
}

func newLRNGrad(d *Device, op *graph.LRNGrad, in engine.Instr) engine.Kernel {
	k := &norms{d: d, op: op.LRNParams, batch: op.Batch, x: slice(in.In[0]), dy: slice(in.In[1]), to: slice(in.Out),
		mask: maskOf(in)}
	return k.bound(op.Shape)
}

func (k *norms) bound(s arch.Shape) *norms {
	n := &k.op
	k.size = s.Len()
	k.proto = lines{k: float32(n.K), alpha: float32(n.Alpha), factor: 2 * float32(n.Alpha) * float32(n.Beta), beta: n.Beta}
	if n.Within {
		k.proto.len, k.proto.pitch, k.proto.size = s.Channels, s.Channels, 1
		k.room = k.size
		around := arch.Pad{Top: n.Size / 2, Bottom: n.Size / 2, Left: n.Size / 2, Right: n.Size / 2}
		k.sweep = newSweep(k.d, graph.Window{In: s, Out: s, Kernel: n.Size, Stride: 1, Pad: around}, k.d.isa.sumWindows)
	} else {
		k.proto.len, k.proto.size = s.Channels/n.Groups, n.Size
		k.half = n.Size / 2
		k.proto.pitch = k.proto.len + k.half // neighbouring lines share the zeros between them
		k.room = (k.perBlock()+1)*k.proto.pitch + k.half
	}
	k.passes = goPasses
	switch {
	case n.Beta != 0.75:
	case k.proto.len%lane == 0:
		k.passes = k.d.isa.lrn
	case k.proto.len%(lane/2) == 0:
		k.passes = k.d.isa.lrnNarrow
	}
	k.d.needScratch(2 * k.room)
	k.work = make([]lines, k.d.workers.n)
	return k
}

func (k *norms) perBlock() int { return max(1, lrnBlock/k.proto.len) }

// Run handles all images.
func (k *norms) Run(*engine.Context) error { return k.d.workers.run(k, k.batch) }

func (k *norms) tile(worker, n int) {
	if k.op.Within {
		k.within(worker, n)
	} else {
		k.across(worker, n)
	}
}

// at sets the worker's lines to count lines, starting at value off of the batch.
func (k *norms) at(worker, off, count int) *lines {
	l := &k.work[worker]
	*l = k.proto
	l.count = count
	l.x, l.out = &k.x[off], &k.to[off]
	if k.dy != nil {
		l.dy = &k.dy[off]
	}
	return l
}

// across normalises each pixel over neighbouring maps of the same column, a block of pixels at a time.
func (k *norms) across(worker, n int) {
	sums, shares := k.d.scratch[worker][:k.room], k.d.scratch[worker][k.room:2*k.room]
	clear(sums)
	clear(shares)
	count, per := k.size/k.proto.len, k.perBlock()
	for first := 0; first < count; first += per {
		l := k.at(worker, n*k.size+first*k.proto.len, min(per, count-first))
		l.sums = &sums[k.half]
		k.passes.squares(l)
		l.sums = &sums[0]
		if k.dy == nil {
			k.passes.forward(l)
			continue
		}
		l.shares = &shares[k.half]
		k.passes.shares(l)
		l.shares = &shares[0]
		k.passes.grad(l)
		k.masked(n*k.size+first*k.proto.len, l.count*l.len)
	}
}

// within normalises over neighbouring pixels of the same map, a whole image at a time.
func (k *norms) within(worker, n int) {
	a, b := k.d.scratch[worker][:k.size], k.d.scratch[worker][k.size:2*k.size]
	l := k.at(worker, n*k.size, k.size/k.proto.len)
	l.sums = &a[0]
	k.passes.squares(l)
	k.sweep.run(worker, a, nil, b, nil)
	l.sums = &b[0]
	if k.dy == nil {
		k.passes.forward(l)
		return
	}
	l.shares = &a[0]
	k.passes.shares(l)
	k.sweep.run(worker, a, nil, b, nil)
	l.shares = &b[0]
	k.passes.grad(l)
	k.masked(n*k.size, k.size)
}

// masked applies the fused ReLU's gradient to n values, starting at off.
func (k *norms) masked(off, n int) {
	if k.mask != nil {
		dx := k.to[off : off+n]
		k.d.isa.reluGrad(dx, k.mask[off:off+n], dx)
	}
}
