package kernels

import (
	"fmt"

	"ablate/arch"
	"ablate/runner/engine"
	"ablate/runner/graph"
)

// A window is Window of windows.cu.
type window struct {
	batch int
	graph.Window
}

func windowOf(batch int, w graph.Window) window { return window{batch, w} }

// denseWindow returns a dense layer as a 1×1 convolution of one pixel.
func denseWindow(batch int, in arch.Shape, outputs int) window {
	return window{batch, graph.Window{In: arch.Shape{Height: 1, Width: 1, Channels: in.Len()},
		Out: arch.Shape{Height: 1, Width: 1, Channels: outputs}, Kernel: 1, Stride: 1, Groups: 1}}
}

func (w window) params() Struct {
	return append(divisors(w.In.Height, w.In.Width, w.In.Channels, w.Out.Height, w.Out.Width, w.Out.Channels,
		w.In.Channels/w.Groups, w.Out.Channels/w.Groups, w.Kernel, w.Stride), int32(w.Pad.Top), int32(w.Pad.Left),
		int32(w.Groups))
}

// The tile of product.cu, and its number of threads.
const (
	tile        = 64
	tileThreads = 256
)

// products launches matrix products of rows × columns each.
func (l *lowering) products(function string, count, rows, columns int, params ...any) {
	l.launch(function, count*ceil(rows, tile), ceil(columns, tile), tileThreads, params...)
}

// split returns how many products a layer has and how many rows each has: all pixels of all images for
// a group or, locally connected, all images for a pixel and group.
// all images for a group, or, locally connected, all images for a pixel and group.
func (w window) split(local bool, pixels int) (products, rows int) {
	if local {
		return pixels * w.Groups, w.batch
	}
	return w.Groups, w.batch * pixels
}

func (l *lowering) conv(w window, local bool) {
	l.count(l.Out.Len())
	products, rows := w.split(local, w.Out.Height*w.Out.Width)
	l.products("conv", products, rows, w.Out.Channels/w.Groups,
		l.in(0), l.in(1), l.bias(), l.out(), int32(rows), boolean(local), boolean(l.ReLU), w.params())
}

// bias returns the address of a layer's biases, or 0.
func (l *lowering) bias() uint64 {
	if len(l.In) < 3 {
		return 0
	}
	return l.in(2)
}

func (l *lowering) dataGrad(w window) {
	l.count(l.Out.Len())
	products, rows := w.split(false, w.In.Height*w.In.Width)
	l.products("conv_data_grad", products, rows, w.In.Channels/w.Groups, l.in(0), l.in(1), l.out(), int32(rows),
		w.params())
}

// A weight gradient is a sum over images and pixels. These are the least number of terms in a chunk
// and the largest number of chunks. Only the number of terms counts, so that a column of a net has the
// same sums when it is alone on a device.
const (
	chunkPixels     = 512
	maxWeightChunks = 64
)

func (l *lowering) weightGrad(w window, local bool) {
	l.count(l.Out.Len())
	products, rows := w.split(local, w.Out.Height*w.Out.Width)
	chunks, to := 1, l.out()
	if !local {
		chunks = min(ceil(rows, chunkPixels), maxWeightChunks)
	}
	if chunks > 1 {
		to = l.scratch(chunks * l.Out.Len())
	}
	per := ceil(rows, chunks)
	l.products("conv_weight_grad", chunks*products, w.Kernel*w.Kernel*w.In.Channels/w.Groups, w.Out.Channels/w.Groups,
		l.in(0), l.in(1), to, int32(rows), int32(per), boolean(local), w.params())
	if chunks > 1 {
		n := l.Out.Len()
		l.each("chunk_totals", n, to, l.out(), uint64(0), int32(n), int32(chunks), float32(1), float32(0))
	}
}

func (l *lowering) denseWeightGrad(op *graph.DenseWeightGrad) {
	w := denseWindow(op.Batch, op.In, op.Outputs)
	if l.Update == nil {
		l.weightGrad(w, false)
		return
	}
	l.products("dense_weight_update", 1, op.In.Len(), op.Outputs,
		l.in(0), l.in(1), l.in(2), l.in(3), l.b.Step, l.rule(*l.Update), int32(op.Batch), int32(op.In.Len()),
		int32(op.Outputs))
}

// lineRoom is ROOM of norm.cu: the number of values that a block normalises, including the zeros
// beside them.
const lineRoom = 2048

// line returns the number of maps that a window across maps stays within.
func line(s arch.Shape, n graph.LRNParams) int { return s.Channels / n.Groups }

// region is Region of norm.cu.
func region(s arch.Shape, n graph.LRNParams) Struct {
	return append(divisors(s.Height, s.Width, s.Channels, line(s, n)), int32(n.Size/2), boolean(n.Within))
}

// maxLine is the largest length of a line. A line that is not read in fours takes as many threads, and
// GPUs before sm_80 have no registers for 1024 of them.
const maxLine = 512

// edge returns how many zeros lie on each side of a line, enough for a window and for loads of four.
func edge(n graph.LRNParams) int { return (n.Size/2 + 3) / 4 * 4 }

// linesFit reports whether whole lines fit in a block's shared memory.
func linesFit(s arch.Shape, n graph.LRNParams) bool {
	return !n.Within && line(s, n) <= maxLine && line(s, n)+2*edge(n) <= lineRoom
}

// lines launches a kernel that keeps whole lines in each block's shared memory.
func (l *lowering) lines(function string, s arch.Shape, n graph.LRNParams, addresses []uint64, rest ...any) {
	line, edge := line(s, n), edge(n)
	per, four := line, inFours(line, addresses...)
	if four == 1 {
		per = line / 4
	}
	lines, total := min(max(threads/per, 1), lineRoom/(line+2*edge)), l.count(l.Out.Len())/line
	var params []any
	for _, a := range addresses {
		params = append(params, a)
	}
	params = append(params, four, float32(n.K), float32(n.Alpha), float32(n.Beta),
		append(divisor(per), int32(lines), int32(total), int32(line), int32(n.Size/2), int32(edge)))
	l.launch(function, ceil(total, lines), 1, lines*per, append(params, rest...)...)
}

func (l *lowering) lrn(s arch.Shape, n graph.LRNParams) {
	if linesFit(s, n) {
		l.lines("lrn_lines", s, n, []uint64{l.in(0), l.out()})
		return
	}
	l.each("lrn", l.Out.Len(), l.in(0), l.out(), int32(l.Out.Len()), float32(n.K), float32(n.Alpha), float32(n.Beta),
		region(s, n))
}

func (l *lowering) lrnGrad(op *graph.LRNGrad) {
	s, n := op.Shape, op.LRNParams
	switch {
	case l.Pool != nil:
		w := windowOf(l.Pool.Batch, l.Pool.Window)
		l.lines("lrn_pool_grad", s, n, []uint64{l.in(0), l.maxPicks(l.in(1), w), l.in(2), l.out(), l.mask()}, w.params())
	case linesFit(s, n):
		l.lines("lrn_lines_grad", s, n, []uint64{l.in(0), l.in(1), l.out(), l.mask()})
	default:
		shares := l.scratch(l.Out.Len())
		l.each("lrn_shares", l.Out.Len(), l.in(0), l.in(1), l.out(), shares, int32(l.Out.Len()),
			float32(n.K), float32(n.Alpha), float32(n.Beta), region(s, n))
		l.each("lrn_gather", l.Out.Len(), l.in(0), shares, l.out(), l.mask(), int32(l.Out.Len()), float32(2*n.Alpha*n.Beta),
			region(s, n))
	}
}

// FusesPool reports whether there is a kernel for LRN's gradient that gathers from a max pooling
// behind it.
func FusesPool(norm *graph.LRNGrad, pool *graph.MaxPoolGrad) bool {
	return linesFit(norm.Shape, norm.LRNParams) && pool.Kernel <= maxPicked
}

// Kinds of pooling, as in pool.cu.
const (
	poolMax int32 = iota
	poolAverage
	poolBoth
)

func (l *lowering) pool(batch int, w graph.Window, kind int32) {
	l.count(l.In[0].Len())
	l.fours("pool", l.Out.Len(), w.Out.Channels, []uint64{l.in(0), l.out()}, kind, windowOf(batch, w).params())
}

// poolGrad computes the gradient with respect to images of window w from dy. The cells of picks get
// their whole gradient unless kind is poolAverage.
func (l *lowering) poolGrad(picks, dy uint64, w window, kind int32) {
	l.fours("pool_grad", l.Out.Len(), w.In.Channels, []uint64{picks, dy, l.out(), l.mask()}, kind, w.params())
}

// maxPoolGrad computes the gradient of a pooling layer, and looks for its maxima in In[0] again.
func (l *lowering) maxPoolGrad(dy uint64, w window, kind int32) {
	l.poolGrad(l.maxPicks(l.in(0), w), dy, w, kind)
}

// maxPicks finds the cells of x that are the maxima of their windows.
func (l *lowering) maxPicks(x uint64, w window) uint64 {
	n := w.batch * w.Out.Len()
	picks := l.picks(n, w)
	l.fours("maxpool_picks", n, w.Out.Channels, []uint64{x, picks}, w.params())
	return picks
}

// maxPicked is the largest window side whose cell numbers fit in 16 bits, without the number NONE of
// windows.cu.
const maxPicked = 255

// picks returns the address of memory for the cell numbers of n windows.
func (l *lowering) picks(n int, w window) uint64 {
	if w.Kernel > maxPicked {
		l.fail(fmt.Errorf("%v: a window of %d × %d, a kernel picks from %d × %d: %w", l.Op, w.Kernel, w.Kernel, maxPicked,
			maxPicked, engine.ErrNoKernel))
	}
	return l.scratch(ceil(n, 2))
}

// stochastic draws n outputs. Either the values go to y, or the drawn cells to picks.
func (l *lowering) stochastic(layer string, draw bool, p graph.Part, out arch.Shape, n int, y, picks uint64, w window) {
	l.each("stochasticpool", n, l.in(0), y, picks, l.b.Step, int32(n),
		l.stream("stochasticpool", layer, graph.StochasticStream), boolean(draw), partOf(p, out), w.params())
}

// pyramid calls f for every grid with the number of its outputs and the last parameters of its
// kernels.
func (l *lowering) pyramid(batch int, in arch.Shape, levels []int, f func(n int, grid Struct)) {
	outs := arch.SpatialPyramid{Levels: levels}.Out(in).Len()
	first := 0
	for _, side := range levels {
		values := side * side * in.Channels
		f(batch*values, append(divisors(in.Height, in.Width, in.Channels, side), int32(first), int32(outs)))
		first += values
	}
}

// A Batch is images of bytes in device memory, with a view for each.
type Batch struct {
	Images, Views uint64 // addresses of the bytes and of an input.View an image
	Mean          uint64 // of one image's float32 values
	Out           engine.Tensor
	Shape         arch.Shape // of a stored image; Out's is that of the cut
	// MeanAt is where the mean is cut, at the same place for all images; nil: at the place where the
	// image is cut.
	MeanAt *[2]int
}

// Input returns the launch that turns a batch into the net's input.
func Input(batch Batch, address func(engine.Tensor) uint64) (Launch, error) {
	l := &lowering{Instr: engine.Instr{Op: "input", Out: batch.Out}, b: Bindings{Address: address}}
	at := [2]int{}
	if batch.MeanAt != nil {
		at = *batch.MeanAt
	}
	n, s, cut := batch.Out.Len(), batch.Shape, batch.Out.Shape
	l.each("views", n, batch.Images, batch.Mean, batch.Views, l.out(), int32(n),
		append(divisors(cut[1], cut[2], s.Channels), int32(s.Height), int32(s.Width), boolean(batch.MeanAt != nil),
			int32(at[0]), int32(at[1])))
	if l.err != nil {
		return Launch{}, l.err
	}
	return l.launches[0], nil
}
