package cpu

import (
	"math"

	"ablate/arch"
	"ablate/runner/engine"
	"ablate/runner/graph"
)

var (
	_ = computes(newConvForward)
	_ = computes(newConvDataGrad)
	_ = computes(newConvWeightGrad)
)

var noFloor = float32(math.Inf(-1))

// A gather is a set of output pixels whose sums run over the same taps: for
// output pixel p and tap t, run contiguous values from padded image offset
// rows[p]+segs[t]. A forward convolution is one gather; the data gradient of a
// convolution with stride s is s·s of them, one for each phase of the pixels.
type gather struct {
	rows []int // per output pixel: offset of its first value in the padded image
	outs []int // per output pixel: offset of its first channel in the output image
	segs []int
	run  int
	// blocks are the parts of the sum. spread holds the offsets of the output pixels in scratch, for a
	// panel that holds more columns than exist.
	blocks []block
	spread []int
	// weight returns the offset in the layer's weights of sum index k, output channel 0 of group 0.
	weight []int
	packed []int // per panel: offset of its packed weights in a group's
}

// correlate is the kernel of forward and data-gradient convolution:
// dst[pixel][c] = max(floor, bias[c] + Σ src[…]·weights[…]).
type correlate struct {
	d        *Device
	src, dst []float32
	weights  []float32
	bias     []float32 // nil: zero

	batch, groups          int
	from                   image
	dstLen, dg             int // length of the destination image; channels of one of its groups
	colStride, groupStride int // in weights: to the next output channel, to the next group

	gathers  []gather
	panels   []panel
	strips   int // of perStrip panels
	perStrip int
	groupLen int // packed weights of one group
	floor    float32
	work     []workspace // one per worker
	packing  packWeights
}

// newConvForward binds y = x∗w + b, followed by a ReLU if that is fused.
func newConvForward(d *Device, op *graph.Conv, in engine.Instr) engine.Kernel {
	if isDepthwise(op.Window) {
		return newDepthwise(d, op, in)
	}
	w := op.Window
	cin, cout := w.In.Channels/w.Groups, w.Out.Channels/w.Groups
	k := &correlate{
		d: d, src: slice(in.In[0]), weights: slice(in.In[1]), bias: biases(in), dst: slice(in.Out),
		batch: op.Batch, groups: w.Groups, from: image{Shape: w.In, group: cin, pixel: cin, Pad: w.Pad},
		dstLen: w.Out.Height * w.Out.Width * w.Out.Channels, dg: cout,
		colStride: 1, groupStride: cout, floor: noFloor,
	}
	if in.ReLU {
		k.floor = 0
	}
	wide := k.from.rowLen()
	g := gather{run: w.Kernel * cin}
	for ky := range w.Kernel {
		g.segs = append(g.segs, ky*wide)
	}
	for oy := range w.Out.Height {
		for ox := range w.Out.Width {
			g.rows = append(g.rows, oy*w.Stride*wide+ox*w.Stride*cin)
			g.outs = append(g.outs, (oy*w.Out.Width+ox)*w.Out.Channels)
		}
	}
	for i := range w.Kernel * w.Kernel * cin {
		g.weight = append(g.weight, i*w.Out.Channels)
	}
	k.gathers = []gather{g}
	return k.bound()
}

// biases returns the third input of a layer's op, nil where the layer has no biases.
func biases(in engine.Instr) []float32 {
	if len(in.In) < 3 {
		return nil
	}
	return slice(in.In[2])
}

// newConvDataGrad binds dx = dy ∗ flipped w. An input pixel at distance y = s·a+p from the padded top
// edge is reached by kernel rows p, p+s, p+2s … from output rows a, a−1, a−2 …. This is a convolution
// of stride 1 for each phase p, over dy with a border of as many zeros as there are rows to reach
// back.
func newConvDataGrad(d *Device, op *graph.ConvDataGrad, in engine.Instr) engine.Kernel {
	if isDepthwise(op.Window) {
		return newDepthwiseDataGrad(d, op, in)
	}
	w, s := op.Window, op.Stride
	cin, cout := w.In.Channels/w.Groups, w.Out.Channels/w.Groups
	reach := (w.Kernel+s-1)/s - 1
	k := &correlate{
		d: d, weights: slice(in.In[0]), src: slice(in.In[1]), dst: slice(in.Out),
		batch: op.Batch, groups: w.Groups,
		from: image{Shape: w.Out, group: cout, pixel: cout, Pad: arch.Pad{Top: reach, Left: reach,
			Bottom: max(0, (w.In.Height-1+w.Pad.Top)/s-(w.Out.Height-1)),
			Right:  max(0, (w.In.Width-1+w.Pad.Left)/s-(w.Out.Width-1))}},
		dstLen: w.In.Height * w.In.Width * w.In.Channels, dg: cin,
		colStride: w.Out.Channels, groupStride: cout, floor: noFloor,
	}
	wide := k.from.rowLen()
	for py := range s {
		for px := range s {
			ny, nx := taps(w.Kernel, s, py), taps(w.Kernel, s, px)
			g := gather{run: nx * cout}
			for y := mod(py-w.Pad.Top, s); y < w.In.Height; y += s {
				for x := mod(px-w.Pad.Left, s); x < w.In.Width; x += s {
					ay, ax := (y+w.Pad.Top)/s+reach, (x+w.Pad.Left)/s+reach
					if ny > 0 && nx > 0 {
						g.rows = append(g.rows, (ay-ny+1)*wide+(ax-nx+1)*cout)
					} else {
						g.rows = append(g.rows, 0)
					}
					g.outs = append(g.outs, (y*w.In.Width+x)*w.In.Channels)
				}
			}
			if len(g.rows) == 0 {
				continue
			}
			if nx > 0 {
				for t := range ny {
					g.segs = append(g.segs, t*wide)
					ky := py + s*(ny-1-t)
					for u := range nx {
						kx := px + s*(nx-1-u)
						for o := range cout {
							g.weight = append(g.weight, (ky*w.Kernel+kx)*cin*w.Out.Channels+o)
						}
					}
				}
			}
			k.gathers = append(k.gathers, g)
		}
	}
	return k.bound()
}

// taps counts the kernel rows p, p+s, p+2s … below size.
func taps(size, s, p int) int { return max(0, (size-p+s-1)/s) }

func mod(a, n int) int { return ((a % n) + n) % n }

// bound completes a kernel whose geometry is set: packing, tables, scratch.
func (k *correlate) bound() *correlate {
	k.panels = k.d.isa.panelsOf(k.dg)
	k.perStrip = panelCols / k.d.isa.panel
	k.strips = ceil(len(k.panels), k.perStrip)
	last := k.panels[len(k.panels)-1]
	var result int // values of scratch for the panel that is not full
	for i := range k.gathers {
		g := &k.gathers[i]
		for _, p := range k.panels {
			g.packed = append(g.packed, k.groupLen)
			k.groupLen += (1 + len(g.weight)) * p.cols // the bias is the first row
		}
		g.rows, g.outs = rowGroups(g.rows), rowGroups(g.outs)
		g.blocks = blocksOf(g.segs, g.run, k.d.isa.block)
		if last.n < last.cols {
			g.spread = stepped(len(g.rows), last.cols)
			result = max(result, len(g.rows)*last.cols)
		}
	}
	k.d.needShared(k.groupLen * k.groups)
	k.d.needScratch(k.from.paddedLen() + result)
	k.work = make([]workspace, k.d.workers.n)
	k.packing = packWeights{k}
	return k
}

// Run packs the weights, then computes.
func (k *correlate) Run(*engine.Context) error {
	if err := k.d.workers.run(&k.packing, k.groups*len(k.gathers)*len(k.panels)); err != nil {
		return err
	}
	return k.d.workers.run(k, k.strips*k.groups*k.batch)
}

// packWeights lays out a panel's weights in the order in which the tile reads them: a row of biases,
// then for each sum index k the panel's columns.
type packWeights struct{ *correlate }

func (k *packWeights) tile(_, i int) {
	p := i % len(k.panels)
	g := &k.gathers[i/len(k.panels)%len(k.gathers)]
	group := i / len(k.panels) / len(k.gathers)
	panel := k.panels[p]
	to := k.d.shared[group*k.groupLen+g.packed[p]:]
	clear(to[:panel.cols])
	if k.bias != nil {
		copy(to[:panel.n], k.bias[group*k.dg+panel.first:])
	}
	base := group*k.groupStride + panel.first*k.colStride
	for j, off := range g.weight {
		row := to[(1+j)*panel.cols : (2+j)*panel.cols]
		if k.colStride == 1 {
			copy(row[:panel.n], k.weights[base+off:])
		} else {
			for c := range panel.n {
				row[c] = k.weights[base+off+c*k.colStride]
			}
		}
		clear(row[panel.n:])
	}
}

// tile computes one strip of one group for one image. The image index varies fastest, so that the
// strip's weights stay in the cache.
func (k *correlate) tile(worker, i int) {
	image := i % k.batch
	group := i / k.batch % k.groups
	first := i / k.batch / k.groups * k.perStrip
	src, scratch := k.from.view(k.src, image, group, k.d.scratch[worker])
	t := &k.work[worker]
	for p := first; p < min(first+k.perStrip, len(k.panels)); p++ {
		panel := k.panels[p]
		dst := k.dst[image*k.dstLen+group*k.dg+panel.first : (image+1)*k.dstLen]
		t.tile = tile{x: &src[0], step: 1, wStride: panel.cols}
		for gi := range k.gathers {
			g := &k.gathers[gi]
			k.pixels(t, g, panel, k.d.shared[group*k.groupLen+g.packed[p]:], dst, scratch)
		}
	}
}

// pixels computes all pixels of a gather, six at a time, one block of the sum after the other.
func (k *correlate) pixels(t *workspace, g *gather, panel panel, packed, dst, scratch []float32) {
	run := k.d.isa.tile[panel.cols/lane]
	out, outs := dst, g.outs
	if panel.n < panel.cols {
		out, outs = scratch, g.spread
	}
	t.out = &out[0]
	for b := range g.blocks {
		t.take(&g.blocks[b], packed[panel.cols:], panel.cols)
		t.floor = noFloor
		if b == len(g.blocks)-1 {
			t.floor = k.floor
		}
		t.rowsOf(g.rows, outs)
		if n := t.segs * t.run; n > 0 {
			t.ahead = at(t.w, n*panel.cols)
			t.aheadStep = ceil(4*n*panel.cols, t.count*max(1, n/4))
		}
		if b == 0 {
			t.from(packed)
		}
		run(&t.tile)
	}
	if panel.n < panel.cols {
		copyPanel(dst, g.outs, scratch, panel)
	}
}

// zeroRows is the initRow of a tile that starts every row from the same values.
var zeroRows [tileRows]int

// weightGrad is dw[k][o] = Σ x[pixel+k]·dy[pixel][o] over the pixels of all images. Images are summed
// in fixed chunks, each into a partial result for that chunk, and the partial results are added in
// order.
type weightGrad struct {
	d         *Device
	x, dy, dw []float32

	batch, groups           int
	from                    image
	pixelRows, pixelsPerRow int // of dy
	cd, dg                  int
	kernelRows              []int // per sum index k: offset in the padded image, in groups of six
	k                       int
	segs                    []int // per row of pixels
	step                    int
	bands                   []block // rows of pixels taken at a time, so that their dy stays in the cache

	chunks   int
	panels   []panel
	strips   int // of perStrip panels
	perStrip int
	pitch    int // values in a row of partial sums
	work     []workspace
	outs     []int // per sum index k: offset in the partial sums, in groups of six
	adding   addPartials
}

func newConvWeightGrad(d *Device, op *graph.ConvWeightGrad, in engine.Instr) engine.Kernel {
	if isDepthwise(op.Window) {
		return newDepthwiseWeightGrad(d, op, in)
	}
	w := op.Window
	cin, cout := w.In.Channels/w.Groups, w.Out.Channels/w.Groups
	g := &weightGrad{
		d: d, x: slice(in.In[0]), dy: slice(in.In[1]), dw: slice(in.Out),
		batch: op.Batch, groups: w.Groups, from: image{Shape: w.In, group: cin, pixel: spreadOut(cin), Pad: w.Pad},
		pixelRows: w.Out.Height, pixelsPerRow: w.Out.Width, cd: w.Out.Channels, dg: cout,
		k: w.Kernel * w.Kernel * cin, panels: d.isa.panelsOf(cout), perStrip: panelCols / d.isa.panel,
	}
	wide := g.from.rowLen()
	g.step = w.Stride * g.from.pixel
	for ky := range w.Kernel {
		for kx := range w.Kernel {
			for c := range cin {
				g.kernelRows = append(g.kernelRows, ky*wide+kx*g.from.pixel+c)
			}
		}
	}
	g.kernelRows = rowGroups(g.kernelRows)
	for oy := range g.pixelRows {
		g.segs = append(g.segs, oy*w.Stride*wide)
	}
	g.pitch = padded(cout)
	g.outs = rowGroups(stepped(g.k, g.pitch))
	g.strips = ceil(len(g.panels), g.perStrip)
	g.bands = bandsOf(g.segs, g.pixelsPerRow, d.isa.block/2) // as much of x is read as of dy
	g.chunks = min(g.batch, 8)
	d.needShared(g.chunks * g.groups * g.k * g.pitch)
	d.needScratch(g.from.paddedLen() + g.pixelRows*g.pixelsPerRow*panelCols)
	g.work = make([]workspace, d.workers.n)
	g.adding = addPartials{g}
	return g
}

// Run computes the partial sums, then adds them.
func (g *weightGrad) Run(*engine.Context) error {
	if err := g.d.workers.run(g, g.chunks*g.groups*g.strips); err != nil {
		return err
	}
	return g.d.workers.run(&g.adding, g.groups*g.k)
}

// spreadOut returns a distance for pixels of n channels at which they share few sets of the cache. It
// is an odd number of lines where n is a multiple of four.
func spreadOut(n int) int {
	const line = 16
	if n%(4*line) == 0 {
		return n + line
	}
	return n
}

// bandsOf cuts rows of pixels into blocks of whole rows, at least one, of about most pixels.
func bandsOf(segs []int, pixelsPerRow, most int) []block {
	return blocksOf(segs, pixelsPerRow, max(most, pixelsPerRow))
}

// tile computes one strip of one group over one chunk of images.
func (g *weightGrad) tile(worker, i int) {
	first := i % g.strips * g.perStrip
	last := min(first+g.perStrip, len(g.panels))
	group := i / g.strips % g.groups
	chunk := i / g.strips / g.groups
	partial := g.partial(chunk, group)
	from := chunk * g.batch / g.chunks
	for n := from; n < (chunk+1)*g.batch/g.chunks; n++ {
		x, scratch := g.from.view(g.x, n, group, g.d.scratch[worker])
		for p := first; p < last; p++ {
			dy := g.pack(scratch, n, group, g.panels[p])
			g.panel(&g.work[worker], g.panels[p], x, dy, partial, n == from)
		}
	}
}

// partial returns the sums of one group over one chunk of images.
func (g *weightGrad) partial(chunk, group int) []float32 {
	size := g.k * g.pitch
	return g.d.shared[(chunk*g.groups+group)*size:][:size]
}

// pack copies a panel of an image's dy together. In place, its rows would share few sets of the cache,
// and every group of six kernel rows reads them again.
func (g *weightGrad) pack(scratch []float32, n, group int, p panel) []float32 {
	pixels := g.pixelRows * g.pixelsPerRow
	from := g.dy[n*pixels*g.cd+group*g.dg+p.first : (n+1)*pixels*g.cd]
	dy := scratch[:pixels*p.cols]
	g.d.isa.copyColumns(dy, from, pixels, g.cd, p)
	return dy
}

// panel adds the products of one image and one panel of its dy to the partial sums. The products of
// the first image start the sums. The sums of all rows fit in no cache near the core, so those of the
// next tile are prefetched while one tile is computed.
func (g *weightGrad) panel(t *workspace, p panel, x, dy, partial []float32, first bool) {
	t.tile = tile{x: &x[0], step: g.step, wStride: p.cols, out: &partial[p.first], floor: noFloor}
	run := g.d.isa.tile[p.cols/lane]
	for b := range g.bands {
		t.take(&g.bands[b], dy, p.cols)
		t.rowsOf(g.kernelRows, g.outs)
		if first && b == 0 {
			t.from(zeros[:])
		}
		run(&t.tile)
	}
}

// addPartials sums the chunks' partial results, first chunk first, a row of weights at a time.
type addPartials struct{ *weightGrad }

func (g *addPartials) tile(_, i int) {
	group, k := i/g.k, i%g.k
	dw := g.dw[k*g.cd+group*g.dg:][:g.dg]
	copy(dw, g.partial(0, group)[k*g.pitch:])
	for chunk := 1; chunk < g.chunks; chunk++ {
		g.d.isa.axpy(dw, g.partial(chunk, group)[k*g.pitch:], 1)
	}
}
