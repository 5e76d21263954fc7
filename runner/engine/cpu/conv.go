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
	// weight gives the offset in the layer's weights of sum index k, output channel 0 of group 0.
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
	dstLen, dg             int // destination image's length; its channels in a group
	colStride, groupStride int // in weights: to the next output channel, to the next group's

	gathers  []gather
	panels   []panel
	groupLen int // packed weights of a group
	floor    float32
	work     []workspace // one a worker
	packing  packWeights
}

// newConvForward is y = x∗w + b, with ReLU if fused.
func newConvForward(d *Device, op *graph.Conv, in engine.Instr) engine.Kernel {
	w := op.Window
	cin, cout := w.In.Channels/w.Groups, w.Out.Channels/w.Groups
	k := &correlate{
		d: d, src: slice(in.In[0]), weights: slice(in.In[1]), bias: slice(in.In[2]), dst: slice(in.Out),
		batch: op.Batch, groups: w.Groups, from: image{w.In, cin, w.Pad},
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

// newConvDataGrad is dx = dy ∗ flipped w. An input pixel at distance y = s·a+p
// from the padded top edge is reached by kernel rows p, p+s, p+2s … from output
// rows a, a−1, a−2 …: a convolution of stride 1 for each phase p, over dy with
// a border of as many zeros as there are rows to reach back.
func newConvDataGrad(d *Device, op *graph.ConvDataGrad, in engine.Instr) engine.Kernel {
	w, s := op.Window, op.Stride
	cin, cout := w.In.Channels/w.Groups, w.Out.Channels/w.Groups
	reach := (w.Kernel+s-1)/s - 1
	k := &correlate{
		d: d, weights: slice(in.In[0]), src: slice(in.In[1]), dst: slice(in.Out),
		batch: op.Batch, groups: w.Groups,
		from: image{w.Out, cout, arch.Pad{Top: reach, Left: reach,
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

// bound finishes a kernel whose geometry is set: packing, tables, scratch.
func (k *correlate) bound() *correlate {
	k.panels = panelsOf(k.dg)
	for i := range k.gathers {
		g := &k.gathers[i]
		for _, p := range k.panels {
			g.packed = append(g.packed, k.groupLen)
			k.groupLen += (1 + len(g.weight)) * p.cols // the bias is the first row
		}
		g.rows, g.outs = rowGroups(g.rows), rowGroups(g.outs)
	}
	k.d.needShared(k.groupLen * k.groups)
	k.d.needScratch(k.from.paddedLen() + tileRows*panelCols)
	k.work = make([]workspace, k.d.workers.n)
	k.packing = packWeights{k}
	return k
}

// Run packs the weights, then computes.
func (k *correlate) Run(*engine.Context) error {
	if err := k.d.workers.run(&k.packing, k.groups*len(k.gathers)*len(k.panels)); err != nil {
		return err
	}
	return k.d.workers.run(k, len(k.panels)*k.groups*k.batch)
}

// packWeights lays a panel's weights out as the tile reads them: a row of
// biases, then for each sum index k the panel's columns.
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

// tile computes one panel of one group for one image. Images vary fastest, so that a panel stays in the cache.
func (k *correlate) tile(worker, i int) {
	image := i % k.batch
	group := i / k.batch % k.groups
	p := i / k.batch / k.groups
	panel := k.panels[p]
	src, scratch := k.from.view(k.src, image, group, k.d.scratch[worker])
	dst := k.dst[image*k.dstLen+group*k.dg+panel.first : (image+1)*k.dstLen]
	t := &k.work[worker]
	t.tile = tile{x: &src[0], step: 1, wStride: panel.cols, initRow: &zeroRows[0], floor: k.floor}
	for gi := range k.gathers {
		g := &k.gathers[gi]
		packed := k.d.shared[group*k.groupLen+g.packed[p]:]
		t.init = &packed[0]
		t.segs, t.run = len(g.segs), g.run
		if t.segs > 0 { // a phase that no kernel cell reaches has no weights
			t.seg, t.w = &g.segs[0], &packed[panel.cols]
		}
		k.pixels(t, g, panel, dst, scratch)
	}
}

// pixels computes all pixels of a gather, six at a time.
func (k *correlate) pixels(t *workspace, g *gather, panel panel, dst, scratch []float32) {
	run := k.d.isa.tile[panel.cols/lane]
	if panel.n == panel.cols {
		t.out = &dst[0]
		for r := 0; r < len(g.rows); r += tileRows {
			t.row, t.outRow = &g.rows[r], &g.outs[r]
			run(&t.tile)
		}
		return
	}
	t.out, t.outRow = &scratch[0], strided(&t.scratch, panel.cols)
	for r := 0; r < len(g.rows); r += tileRows {
		t.row = &g.rows[r]
		run(&t.tile)
		copyPanel(dst, g.outs[r:r+tileRows], scratch, panel)
	}
}

// zeroRows are the initRow of a tile that starts every row from the same values.
var zeroRows [tileRows]int

// weightGrad is dw[k][o] = Σ x[pixel+k]·dy[pixel][o] over the pixels of all
// images. Images are summed in fixed chunks, each into a partial result of its
// own, and the partials are added in order.
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
	band                    int // rows of pixels taken at a time, so that their dy stays in the cache

	chunks     int
	panels     []panel
	partialOff []int // per panel
	partialLen int   // of one group of one chunk
	work       []workspace
	outs       [][]int
	adding     addPartials
}

const dyBand = 32 << 10 // values of dy in the cache at a time: 128 KiB

func newConvWeightGrad(d *Device, op *graph.ConvWeightGrad, in engine.Instr) engine.Kernel {
	w := op.Window
	cin, cout := w.In.Channels/w.Groups, w.Out.Channels/w.Groups
	g := &weightGrad{
		d: d, x: slice(in.In[0]), dy: slice(in.In[1]), dw: slice(in.Out),
		batch: op.Batch, groups: w.Groups, from: image{w.In, cin, w.Pad},
		pixelRows: w.Out.Height, pixelsPerRow: w.Out.Width, cd: w.Out.Channels, dg: cout,
		k: w.Kernel * w.Kernel * cin, step: w.Stride * cin, panels: panelsOf(cout),
	}
	wide := g.from.rowLen()
	for ky := range w.Kernel {
		for i := range w.Kernel * cin {
			g.kernelRows = append(g.kernelRows, ky*wide+i)
		}
	}
	g.kernelRows = rowGroups(g.kernelRows)
	for oy := range g.pixelRows {
		g.segs = append(g.segs, oy*w.Stride*wide)
	}
	for _, p := range g.panels {
		g.partialOff = append(g.partialOff, g.partialLen)
		g.partialLen += g.k * p.cols
		outs := make([]int, g.k)
		for k := range outs {
			outs[k] = k * p.cols
		}
		g.outs = append(g.outs, rowGroups(outs))
	}
	g.band = max(1, dyBand/(g.pixelsPerRow*panelCols))
	g.chunks = min(g.batch, 8)
	d.needShared(g.chunks * g.groups * g.partialLen)
	d.needScratch(g.from.paddedLen() + g.pixelRows*g.pixelsPerRow*panelCols)
	g.work = make([]workspace, d.workers.n)
	g.adding = addPartials{g}
	return g
}

// Run computes the partial sums, then adds them.
func (g *weightGrad) Run(*engine.Context) error {
	if err := g.d.workers.run(g, g.chunks*g.groups*len(g.panels)); err != nil {
		return err
	}
	return g.d.workers.run(&g.adding, g.groups*g.k)
}

// tile computes one panel of one group over one chunk of images.
func (g *weightGrad) tile(worker, i int) {
	p := i % len(g.panels)
	group := i / len(g.panels) % g.groups
	chunk := i / len(g.panels) / g.groups
	panel := g.panels[p]
	partial := g.d.shared[(chunk*g.groups+group)*g.partialLen+g.partialOff[p]:][:g.k*panel.cols]
	clear(partial)
	for n := chunk * g.batch / g.chunks; n < (chunk+1)*g.batch/g.chunks; n++ {
		g.image(worker, n, group, panel, g.outs[p], partial)
	}
}

// image adds one image's products to a partial sum.
func (g *weightGrad) image(worker, n, group int, panel panel, outs []int, partial []float32) {
	x, scratch := g.from.view(g.x, n, group, g.d.scratch[worker])
	pixels := g.pixelRows * g.pixelsPerRow
	// dy's columns are packed: apart they would share few sets of the cache, and
	// every group of six kernel rows reads them again.
	from := g.dy[n*pixels*g.cd+group*g.dg+panel.first : (n+1)*pixels*g.cd]
	stride := panel.cols
	dy := scratch[:pixels*stride]
	for p := range pixels {
		row := dy[p*stride : (p+1)*stride]
		copy(row[:panel.n], from[p*g.cd:])
		clear(row[panel.n:])
	}
	t := &g.work[worker]
	t.tile = tile{x: &x[0], step: g.step, run: g.pixelsPerRow, wStride: stride,
		init: &partial[0], out: &partial[0], floor: noFloor}
	run := g.d.isa.tile[panel.cols/lane]
	for first := 0; first < g.pixelRows; first += g.band {
		t.seg, t.segs = &g.segs[first], min(g.band, g.pixelRows-first)
		t.w = &dy[first*g.pixelsPerRow*stride]
		for r := 0; r < len(g.kernelRows); r += tileRows {
			t.row, t.outRow, t.initRow = &g.kernelRows[r], &outs[r], &outs[r]
			run(&t.tile)
		}
	}
}

// addPartials sums the chunks' partial results, first chunk first, a row of weights at a time.
type addPartials struct{ *weightGrad }

func (g *addPartials) tile(_, i int) {
	group, k := i/g.k, i%g.k
	for p, panel := range g.panels {
		dw := g.dw[k*g.cd+group*g.dg+panel.first:][:panel.n]
		for chunk := range g.chunks {
			from := g.d.shared[(chunk*g.groups+group)*g.partialLen+g.partialOff[p]+k*panel.cols:][:len(dw)]
			if chunk == 0 {
				copy(dw, from)
				continue
			}
			for c, v := range from {
				dw[c] += v
			}
		}
	}
}
