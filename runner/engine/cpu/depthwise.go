package cpu

import (
	"math"
	"unsafe"

	"ablate/arch"
	"ablate/runner/engine"
	"ablate/runner/graph"
)

// A tapRow is a run of pixels in one row whose sums, or whose contributions to a sum, go over the same
// taps of a depthwise convolution, whose weights are separate for each channel. The inner loop is over
// the channels, which are contiguous. Offsets and distances count float32 values.
//
//	tapSums   out[p][c] = max(floor, init[c] + Σ x[p + tap][c]·w[tap][c])
//	tapGrads  w[tap][c] += Σ x[p + tap][c]·out[p][c] over the pixels
//
//	tapRowGrads   the same of 3×3 taps, x the first cell of the rows, of which the first tap of the
//	              first pixel lies one before; a sum for each tap and row, pixels in order
//
// Taps are taken row by row. tapGrads keeps four sums, each of every fourth pixel, and adds the pixels
// that are left over to the first.
type tapRow struct {
	x, w, init, out *float32 // first cell of the first pixel, its weight; first output pixel
	channels        int
	pixels          int
	rows, cols      int // taps; no rows: out is init
	row, col        int // from one row of cells to the next, from one cell to the next
	step            int // from one pixel's cells to the next's
	wRow, wCol      int // as row and col, in the weights
	outStep         int // from one output pixel to the next
	ahead, outAhead int // to the cells and outputs that come a row later: hints for the caches
	stream          int // not 0: lines of out pass the caches by; whole lines, and out lies on one
	width           int // tapRowGrads: cells in a row
	floor           float32
}

// vectorisedTaps handles the channels that fill vectors with f and the rest with its Go twin.
func vectorisedTaps(t *tapRow, lanes int, f func(*byte), twin func(*tapRow)) {
	all := *t // restored at the end: a copy handed to a kernel would be allocated
	whole := all.channels / lanes * lanes
	if whole > 0 {
		t.channels = whole
		f((*byte)(unsafe.Pointer(t)))
	}
	if whole < all.channels {
		*t = all
		for _, p := range []**float32{&t.x, &t.w, &t.init, &t.out} {
			if *p != nil {
				*p = at(*p, whole)
			}
		}
		t.channels -= whole
		twin(t)
	}
	*t = all
}

// byStride selects the kernel for cells that lie one or two from one pixel to the next.
func byStride(t *tapRow, one, two func(*byte)) func(*byte) {
	if t.step == t.col {
		return one
	}
	return two
}

func tapSumsGo(t *tapRow) {
	for p := range t.pixels {
		out := values(t.out, p*t.outStep, t.channels)
		copy(out, values(t.init, 0, t.channels))
		for r := range t.rows {
			for k := range t.cols {
				w := values(t.w, r*t.wRow+k*t.wCol, t.channels)
				for c, v := range values(t.x, p*t.step+r*t.row+k*t.col, t.channels) {
					out[c] += float32(v * w[c])
				}
			}
		}
		for c, v := range out {
			if v < t.floor { // a NaN stays
				out[c] = t.floor
			}
		}
	}
}

func tapGradsGo(t *tapRow) {
	fours := t.pixels / 4 * 4
	for r := range t.rows {
		for k := range t.cols {
			cell := r*t.row + k*t.col
			for c := range t.channels {
				var sums [4]float32
				for p := range t.pixels {
					i := p % 4
					if p >= fours {
						i = 0
					}
					sums[i] += float32(*at(t.x, cell+p*t.step+c) * *at(t.out, p*t.outStep+c))
				}
				*at(t.w, r*t.wRow+k*t.wCol+c) += (sums[0] + sums[1]) + (sums[2] + sums[3])
			}
		}
	}
}

func tapRowGradsGo(t *tapRow) {
	stride := t.step / t.col
	for r := range t.rows {
		for k := range t.cols {
			for c := range t.channels {
				var sum float32
				for p := range t.pixels {
					if cell := p*stride + k - 1; 0 <= cell && cell < t.width {
						sum += float32(*at(t.x, r*t.row+cell*t.col+c) * *at(t.out, p*t.outStep+c))
					}
				}
				*at(t.w, r*t.wRow+k*t.wCol+c) += sum
			}
		}
	}
}

// A span is the cells along one side of an image that a pixel sums: size cells starting at from, the
// first by weight tap. The weight of the next cell is the next one for a convolution, and one stride
// back for its data gradient.
type span struct{ from, size, tap int }

// outputSpans returns the spans of a convolution's output pixels. With pad 0 and any number of inputs
// they count from the first zero of the padded image.
func outputSpans(outputs, stride, pad, kernel, inputs int) []span {
	all := make([]span, outputs)
	for o := range all {
		first := o*stride - pad
		from := max(first, 0)
		all[o] = span{from, max(0, min(first+kernel, inputs)-from), from - first}
	}
	return all
}

// inputSpans returns the spans of the pixels of a data gradient. Input pixel i receives gradient from
// the outputs that it reached, see newConvDataGrad.
func inputSpans(inputs, stride, pad, kernel, outputs int) []span {
	all := make([]span, inputs)
	for i := range all {
		last, phase := (i+pad)/stride, (i+pad)%stride
		from := max(last+1-taps(kernel, stride, phase), 0)
		all[i] = span{from, max(0, min(last+1, outputs)-from), phase + stride*(last-from)}
	}
	return all
}

// A spanRun is n pixels with the same taps, at equal distances. Their cells lie a step apart.
type spanRun struct {
	span
	first, n int
}

func runsOf(spans []span, every, step int) []spanRun {
	var all []spanRun
	for phase := range min(every, len(spans)) {
		started := false
		for i := phase; i < len(spans); i += every {
			s := spans[i]
			if l := len(all) - 1; started && all[l].size == s.size && all[l].tap == s.tap &&
				all[l].from+all[l].n*step == s.from {
				all[l].n++
				continue
			}
			all, started = append(all, spanRun{span: s, first: i, n: 1}), true
		}
	}
	return all
}

// isDepthwise reports whether every channel is convolved by itself. As a matrix product, each
// channel's image would be copied out for a product of one column.
func isDepthwise(w graph.Window) bool {
	return w.Groups == w.In.Channels && w.Groups == w.Out.Channels
}

// A tapWalk visits the rows of images that a weight gradient sums. Rows of cells are copied in strips of
// panelCols channels, between the zeros that pad the image. In the image itself, the same channels of
// neighbouring pixels share few sets of the cache.
type tapWalk struct {
	x, out   []float32
	from, to arch.Shape // an image of x, and of out
	rows     []span     // per row of out
	cols     []spanRun  // of padded cells
	left     int        // zeros before a row of cells
	width    int        // of a row of padded cells
	kernel   int        // taps along a side
	step     int        // from one pixel's cells to the next's

	most, cells int // rows of out taken at a time, and rows of cells that they need
}

// roomForCells is about the number of values that a worker copies, so that they stay in its cache.
const roomForCells = 64 << 10

// bound completes a walk and returns how many values of scratch memory it needs.
func (t *tapWalk) bound() int {
	for _, r := range t.cols {
		t.width = max(t.width, r.from+(r.n-1)*t.step+r.size)
	}
	row := t.width * t.from.Channels
	t.most = min(max(1, (roomForCells/row-t.kernel)/t.step+1), t.to.Height)
	t.cells = (t.most-1)*t.step + t.kernel
	return t.cells*row + t.to.Width*panelCols
}

func (t *tapWalk) bands() int { return ceil(t.to.Height, t.most) }

// band calls f for the runs of a band of rows of image n.
func (t *tapWalk) band(p *isa, work *tapRow, scratch []float32, f func(*tapRow), n, band int, w []float32) {
	channels, rowLen := t.from.Channels, t.to.Width*t.to.Channels
	x, out := imageOf(t.x, n, t.from.Len()), imageOf(t.out, n, t.to.Len())
	base, packed := -1, 0 // the first row of cells in scratch, and the next row to pack
	for y := band * t.most; y < min((band+1)*t.most, t.to.Height); y++ {
		r := t.rows[y]
		if base < 0 && r.size > 0 {
			base = r.from
		}
		p.prefetch(&out[y*rowLen], 1, 0, (rowLen+lane-1)/lane*lane)
		for packed = max(packed, r.from); packed < r.from+r.size; packed++ {
			t.pack(p, scratch, packed-base, x[packed*t.from.Width*channels:])
		}
		for c := 0; c < channels; c += panelCols {
			t.runs(p, work, scratch, f, r, r.from-base, c, out[y*rowLen+c:], w[c:])
		}
	}
}

// runs calls f for the runs of a row, in one strip of channels starting at c.
func (t *tapWalk) runs(p *isa, work *tapRow, scratch []float32, f func(*tapRow), r span, at, c int, out, w []float32) {
	channels, strip := t.from.Channels, min(panelCols, t.from.Channels-c)
	cells, pitch := scratch[t.cells*t.width*c:], t.width*strip
	packed := scratch[len(scratch)-t.to.Width*strip:] // the kernel reads them tap by tap
	p.gather(packed, out, t.to.Width, channels, strip)
	*work = tapRow{
		channels: strip, row: pitch, col: strip, step: t.step * strip,
		wRow: t.kernel * channels, wCol: channels, outStep: strip,
	}
	for _, run := range t.cols {
		work.pixels, work.rows, work.cols = run.n, r.size, run.size
		work.out, work.x, work.w = &packed[run.first*strip], &cells[0], &w[0]
		if r.size == 0 || run.size == 0 {
			work.rows = 0
		} else {
			work.x = &cells[at*pitch+run.from*strip]
			work.w = &w[(r.tap*t.kernel+run.tap)*channels]
		}
		f(work)
	}
}

// pack copies a row of cells to its place in each strip, with zeros on both sides.
func (t *tapWalk) pack(p *isa, scratch []float32, row int, from []float32) {
	channels, left := t.from.Channels, min(t.left, t.width) // a long stride may reach no cell
	cells := min(t.from.Width, t.width-left)
	for c := 0; c < channels; c += panelCols {
		strip := min(panelCols, channels-c)
		to := scratch[t.width*(t.cells*c+row*strip):][:t.width*strip]
		clear(to[:left*strip])
		clear(to[(left+cells)*strip:])
		p.gather(to[left*strip:], from[c:], cells, channels, strip)
	}
}

// gather copies n values of each of some rows together, which lie stride values apart.
func (p *isa) gather(to, from []float32, rows, stride, n int) {
	if rows > 0 && n%lane == 0 {
		p.copyRows(&to[0], &from[0], rows, stride, n)
		return
	}
	for i := range rows {
		copy(to[i*n:][:n], from[i*stride:])
	}
}

// convolved returns the walk over a convolution's output.
func convolved(w graph.Window, x, y []float32) tapWalk {
	return tapWalk{
		x: x, out: y, from: w.In, to: w.Out, kernel: w.Kernel, step: w.Stride,
		rows: outputSpans(w.Out.Height, w.Stride, w.Pad.Top, w.Kernel, w.In.Height),
		cols: runsOf(outputSpans(w.Out.Width, w.Stride, 0, w.Kernel, math.MaxInt), 1, w.Stride),
		left: w.Pad.Left,
	}
}

// depthwise is the kernel of forward and data-gradient depthwise convolution. A tile is a band of rows
// of an image. Cells are read where they lie, row after row of an image: each line comes from memory
// once and stays in a cache for the other rows that sum it.
type depthwise struct {
	d         *Device
	x, w, out []float32
	init      []float32
	from, to  arch.Shape // an image of x, and of out
	rows      []span     // per row of out
	cols      []spanRun
	kernel    int // taps along a side
	every     int // pixels of a run are every pixels apart
	step, tap int // their cells step, and the weights of neighbours tap taps
	floor     float32
	batch     int
	work      []tapRow
}

// Outputs of streamed bytes and more pass the caches by: no cache would hold them until they are read, and
// a line that is written past the caches is not read first. Handing over a tile is an atomic operation,
// before which such lines reach the memory.
const streamed = 8 << 20

// streams returns 1 if the kernel writes whole lines of a large output, else 0.
func (k *depthwise) streams() int {
	if 4*len(k.out) < streamed || k.to.Channels%lane != 0 || uintptr(unsafe.Pointer(&k.out[0]))%64 != 0 {
		return 0
	}
	return 1
}

// bandRows is how many rows of out a tile computes.
const bandRows = 16

// newDepthwise binds y = x∗w + b, followed by a ReLU if that is fused.
func newDepthwise(d *Device, op *graph.Conv, in engine.Instr) engine.Kernel {
	w := op.Window
	k := &depthwise{d: d, batch: op.Batch, x: slice(in.In[0]), w: slice(in.In[1]), init: biases(in), out: slice(in.Out),
		work: make([]tapRow, d.workers.n), from: w.In, to: w.Out, kernel: w.Kernel, every: 1, step: w.Stride, tap: 1,
		rows:  outputSpans(w.Out.Height, w.Stride, w.Pad.Top, w.Kernel, w.In.Height),
		cols:  runsOf(outputSpans(w.Out.Width, w.Stride, w.Pad.Left, w.Kernel, w.In.Width), 1, w.Stride),
		floor: noFloor,
	}
	if k.init == nil {
		k.init = make([]float32, op.Out.Channels)
	}
	if in.ReLU {
		k.floor = 0
	}
	return k
}

// newDepthwiseDataGrad binds dx = dy ∗ flipped w. Input pixels a stride apart share taps.
func newDepthwiseDataGrad(d *Device, op *graph.ConvDataGrad, in engine.Instr) engine.Kernel {
	w, s := op.Window, op.Stride
	return &depthwise{d: d, batch: op.Batch, w: slice(in.In[0]), x: slice(in.In[1]), out: slice(in.Out),
		init: make([]float32, w.In.Channels), work: make([]tapRow, d.workers.n),
		from: w.Out, to: w.In, kernel: w.Kernel, every: s, step: 1, tap: -s, floor: noFloor,
		rows: inputSpans(w.In.Height, s, w.Pad.Top, w.Kernel, w.Out.Height),
		cols: runsOf(inputSpans(w.In.Width, s, w.Pad.Left, w.Kernel, w.Out.Width), s, 1),
	}
}

func (k *depthwise) bands() int { return ceil(k.to.Height, bandRows) }

// Run handles all images.
func (k *depthwise) Run(*engine.Context) error {
	return k.d.workers.run(k, k.batch*k.bands())
}

func (k *depthwise) tile(worker, i int) {
	n, band := i/k.bands(), i%k.bands()
	channels, row, outRow := k.from.Channels, k.from.Width*k.from.Channels, k.to.Width*k.to.Channels
	x, out := imageOf(k.x, n, k.from.Len()), imageOf(k.out, n, k.to.Len())
	t, stream := &k.work[worker], k.streams()
	for y := band * bandRows; y < min((band+1)*bandRows, k.to.Height); y++ {
		r := k.rows[y]
		*t = tapRow{
			init: &k.init[0], channels: channels, row: row, col: channels, step: k.step * channels,
			wRow: k.tap * k.kernel * channels, wCol: k.tap * channels, outStep: k.every * channels, floor: k.floor,
			ahead: r.size * row, outAhead: outRow, stream: stream,
		}
		for _, run := range k.cols {
			t.pixels, t.rows, t.cols = run.n, r.size, run.size
			t.out, t.x, t.w = &out[y*outRow+run.first*channels], &x[0], &k.w[0]
			if r.size == 0 || run.size == 0 {
				t.rows = 0
			} else {
				t.x = &x[r.from*row+run.from*channels]
				t.w = &k.w[(r.tap*k.kernel+run.tap)*channels]
			}
			k.d.isa.tapSums(t)
		}
	}
}

// depthwiseWeightGrad is dw[tap][c] = Σ x[pixel+tap][c]·dy[pixel][c]. As in
// weightGrad, images are summed in fixed chunks whose results are added in order.
// There are few weights, so the chunks can be many.
type depthwiseWeightGrad struct {
	d *Device
	tapWalk
	dw     []float32
	batch  int
	chunks int
	whole  bool // rows go to tapRowGrads where they lie
	work   []tapRow
	adding addTaps
}

func newDepthwiseWeightGrad(d *Device, op *graph.ConvWeightGrad, in engine.Instr) engine.Kernel {
	k := &depthwiseWeightGrad{d: d, dw: slice(in.Out), batch: op.Batch, chunks: min(op.Batch, 32),
		work: make([]tapRow, d.workers.n), tapWalk: convolved(op.Window, slice(in.In[0]), slice(in.In[1]))}
	d.needShared(k.chunks * len(k.dw))
	if k.whole = wholeRows(op.Window); !k.whole {
		d.needScratch(k.bound())
	}
	k.adding = addTaps{k}
	return k
}

// wholeRows reports whether tapRowGrads has the geometry. Pixels at multiples of 4 KiB share one set of a cache,
// and are faster in strips.
func wholeRows(w graph.Window) bool {
	return w.Kernel == 3 && w.Stride <= 2 && w.Pad.Left == 1 && w.In.Width >= 2 &&
		w.Out.Width == ceil(w.In.Width, w.Stride) && w.In.Channels%1024 != 0
}

// Run computes the partial sums, then adds them.
func (k *depthwiseWeightGrad) Run(*engine.Context) error {
	if err := k.d.workers.run(k, k.chunks); err != nil {
		return err
	}
	return k.d.workers.run(&k.adding, chunks(len(k.dw)))
}

// partial returns the sums over one chunk of images.
func (k *depthwiseWeightGrad) partial(chunk int) []float32 {
	return k.d.shared[chunk*len(k.dw):][:len(k.dw)]
}

func (k *depthwiseWeightGrad) tile(worker, chunk int) {
	w := k.partial(chunk)
	clear(w)
	for n := chunk * k.batch / k.chunks; n < (chunk+1)*k.batch/k.chunks; n++ {
		if k.whole {
			k.image(&k.work[worker], n, w)
			continue
		}
		for band := range k.bands() {
			k.band(k.d.isa, &k.work[worker], k.d.scratch[worker], k.add, n, band, w)
		}
	}
}

// image adds the sums over an image's rows.
func (k *depthwiseWeightGrad) image(t *tapRow, n int, w []float32) {
	channels, row, outRow := k.from.Channels, k.from.Width*k.from.Channels, k.to.Width*k.to.Channels
	x, out := imageOf(k.x, n, k.from.Len()), imageOf(k.out, n, k.to.Len())
	for y, r := range k.rows {
		if r.size == 0 {
			continue
		}
		*t = tapRow{
			x: &x[r.from*row], w: &w[r.tap*k.kernel*channels], out: &out[y*outRow], channels: channels, pixels: k.to.Width,
			rows: r.size, cols: k.kernel, row: row, col: channels, step: k.step * channels, wRow: k.kernel * channels,
			wCol: channels, outStep: channels, ahead: r.size * row, outAhead: outRow, width: k.from.Width,
		}
		k.d.isa.tapRowGrads(t)
	}
}

// add skips rows that read no cell.
func (k *depthwiseWeightGrad) add(t *tapRow) {
	if t.rows > 0 {
		k.d.isa.tapGrads(t)
	}
}

// addTaps sums the chunks' partial results, first chunk first.
type addTaps struct{ *depthwiseWeightGrad }

func (k *addTaps) tile(_, i int) {
	from, to := chunk(i, len(k.dw))
	copy(k.dw[from:to], k.partial(0)[from:])
	for c := 1; c < k.chunks; c++ {
		k.d.isa.axpy(k.dw[from:to], k.partial(c)[from:to], 1)
	}
}
