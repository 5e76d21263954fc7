package cpu

import (
	"ablate/runner/engine"
	"ablate/runner/graph"
)

var (
	_ = computes(newDenseForward)
	_ = computes(newDenseDataGrad)
	_ = computes(newDenseWeightGrad)
)

// kBlock is how many sum indices of a strip of weights are packed at a time: 64
// columns of 512 are 128 KiB, which stays in the core's second-level cache
// while all images pass over it. So the weights are read from memory once.
const kBlock = 512

// matmul is the forward pass of a dense layer, y[n][o] = max(floor, bias[o] + Σ_k x[n][k]·w[k][o]).
type matmul struct {
	d          *Device
	x, w, y    []float32
	bias       []float32
	batch      int
	k, columns int
	floor      float32
	strips     [][]panel
	rows, outs []int // offsets of the images in x and y, in groups of six
	spread     []int // and in scratch, for a panel that holds more columns than there are
	work       []workspace
}

func newDenseForward(d *Device, op *graph.Dense, in engine.Instr) engine.Kernel {
	m := &matmul{d: d, x: slice(in.In[0]), w: slice(in.In[1]), bias: biases(in), y: slice(in.Out), batch: op.Batch,
		columns: op.Outputs, floor: noFloor}
	if in.ReLU {
		m.floor = 0
	}
	m.k = len(m.x) / m.batch
	m.strips = d.isa.stripsOf(m.columns)
	m.rows, m.outs = rowGroups(stepped(m.batch, m.k)), rowGroups(stepped(m.batch, m.columns))
	m.spread = stepped(len(m.rows), padded(m.columns%d.isa.panel))
	d.needScratch((min(m.k, kBlock)+1)*panelCols + len(m.rows)*panelCols)
	m.work = make([]workspace, d.workers.n)
	return m
}

// Run computes all strips.
func (m *matmul) Run(*engine.Context) error { return m.d.workers.run(m, len(m.strips)) }

// tile computes one strip of columns for all images.
func (m *matmul) tile(worker, i int) {
	scratch := m.d.scratch[worker]
	most := min(m.k, kBlock)
	biases, packed, result := scratch[:panelCols], scratch[panelCols:][:most*panelCols], scratch[(1+most)*panelCols:]
	for from := 0; from < m.k; from += kBlock {
		to := min(from+kBlock, m.k)
		m.pack(packed, m.strips[i], from, to-from)
		for j, p := range m.strips[i] {
			column := j * m.d.isa.panel
			bias := biases[column:][:p.cols]
			clear(bias)
			if m.bias != nil {
				copy(bias[:p.n], m.bias[p.first:])
			}
			weights := packed[column*(to-from):]
			for k := from; k < to; k += m.d.isa.block {
				n := min(m.d.isa.block, to-k)
				m.rowsOf(&m.work[worker], p, k, n, bias, weights[(k-from)*p.cols:], result)
			}
			if p.n < p.cols && to == m.k {
				copyPanel(m.y[p.first:], m.outs, result, p)
			}
		}
	}
}

// rowsOf adds the products of n sum indices from k on to a panel's outputs of all images.
func (m *matmul) rowsOf(t *workspace, p panel, k, n int, bias, weights, result []float32) {
	out, outs := m.y[p.first:], m.outs
	if p.n < p.cols {
		out, outs = result, m.spread
	}
	t.tile = tile{x: &m.x[k], w: &weights[0], segs: 1, seg: &zeroRows[0], run: n, step: 1, wStride: p.cols,
		out: &out[0], floor: noFloor}
	if k+n == m.k {
		t.floor = m.floor
	}
	run := m.d.isa.tile[p.cols/lane]
	t.rowsOf(m.rows, outs)
	if k == 0 {
		t.from(bias)
	}
	run(&t.tile)
}

// pack lays out a strip's weights of n sum indices from k on, panel after panel.
// All columns of a row are read together: they share a page.
func (m *matmul) pack(to []float32, strip []panel, k, n int) {
	const ahead = 8 // rows asked for before they are needed: the hardware does not guess across pages
	for i := range n {
		if i%ahead == 0 && i+ahead < n {
			next := m.w[(k+i+ahead)*m.columns+strip[0].first:]
			m.d.isa.prefetch(&next[0], min(ahead, n-i-ahead), m.columns, panelCols)
		}
		from := m.w[(k+i)*m.columns:][:m.columns]
		for j, p := range strip {
			copyPadded(to[j*m.d.isa.panel*n+i*p.cols:][:p.cols], from[p.first:], p.n)
		}
	}
}

// transposed is the data gradient of a dense layer, dx[n][i] = Σ_o dy[n][o]·w[i][o].
// It computes dxᵀ: the weights are the tile's rows and read where they lie, once;
// dy is packed by images, which are few.
type transposed struct {
	d          *Device
	w, dy, dx  []float32
	batch      int
	k, columns int     // outputs and inputs of the layer
	panels     []panel // of images
	width      int     // columns of all panels
	work       []workspace
	packing    packImages
}

// inputBlock is how many rows of the weights a tile of work takes: with kBlock
// columns they stay in the second-level cache for all panels of images.
const inputBlock = 16 * tileRows

func newDenseDataGrad(d *Device, op *graph.DenseDataGrad, in engine.Instr) engine.Kernel {
	m := &transposed{d: d, w: slice(in.In[0]), dy: slice(in.In[1]), dx: slice(in.Out), batch: op.Batch,
		k: op.Outputs, columns: op.In.Len(), panels: d.isa.panelsOf(op.Batch), width: padded(op.Batch)}
	d.needShared(m.k * m.width)
	d.needScratch(inputBlock * m.width)
	m.work = make([]workspace, d.workers.n)
	m.packing = packImages{m}
	return m
}

// Run packs dy, then computes.
func (m *transposed) Run(*engine.Context) error {
	if err := m.d.workers.run(&m.packing, len(m.panels)); err != nil {
		return err
	}
	return m.d.workers.run(m, (m.columns+inputBlock-1)/inputBlock)
}

// packImages lays out dy of a panel of images, one output a row.
type packImages struct{ *transposed }

func (m *packImages) tile(_, i int) {
	p := m.panels[i]
	to := m.d.shared[m.k*p.first:][:m.k*p.cols]
	if p.n < p.cols {
		clear(to)
	}
	for n := range p.n {
		for o, v := range m.dy[(p.first+n)*m.k:][:m.k] {
			to[o*p.cols+n] = v
		}
	}
}

// tile computes the gradient of inputBlock inputs for all images.
func (m *transposed) tile(worker, i int) {
	first := i * inputBlock
	n := min(inputBlock, m.columns-first)
	sums := m.d.scratch[worker][:inputBlock*m.width]
	t := &m.work[worker]
	t.tile = tile{x: &m.w[0], segs: 1, seg: &zeroRows[0], step: 1, out: &sums[0], floor: noFloor}
	for k := 0; k < m.k; k += m.d.isa.block {
		t.run = min(m.d.isa.block, m.k-k)
		for _, p := range m.panels {
			t.w, t.wStride = &m.d.shared[m.k*p.first+k*p.cols], p.cols
			run := m.d.isa.tile[p.cols/lane]
			for r := 0; r < n; r += tileRows {
				for j := range tileRows {
					row := min(r+j, n-1)
					t.rows[j] = (first+row)*m.k + k
					t.outs[j] = row*m.width + p.first
				}
				t.rowsOf(t.rows[:], t.outs[:])
				if k == 0 {
					t.from(zeros[:])
				}
				run(&t.tile)
			}
		}
	}
	for img := range m.batch {
		dx := m.dx[img*m.columns+first:][:n]
		for j := range dx {
			dx[j] = sums[j*m.width+img]
		}
	}
}

// outer is the weight gradient of a dense layer, dw[k][o] = Σ_n x[n][k]·dy[n][o].
// dy is packed into panels once; then each tile takes a block of k.
type outer struct {
	d          *Device
	x, dy, dw  []float32
	batch      int
	k, columns int
	strips     [][]panel
	work       []workspace
	packing    packRows
	update     *update // of the weights, which follows each block of rows at once; nil: the gradient is stored in dw
}

const outerRows = 16 * tileRows // rows of dw a tile computes: 96 columns of x, packed to avoid cache conflicts

func newDenseWeightGrad(d *Device, op *graph.DenseWeightGrad, in engine.Instr) engine.Kernel {
	m := &outer{d: d, x: slice(in.In[0]), dy: slice(in.In[1]), batch: op.Batch, columns: op.Outputs}
	if in.Update != nil {
		m.update = newUpdate(d, *in.Update, engine.Instr{In: in.In[2:4]})
	} else {
		m.dw = slice(in.Out)
	}
	m.k = len(m.x) / m.batch
	m.strips = d.isa.stripsOf(m.columns)
	d.needShared(m.batch * padded(m.columns))
	d.needScratch(m.batch*outerRows + tileRows*panelCols)
	m.work = make([]workspace, d.workers.n)
	m.packing = packRows{m}
	return m
}

// Run packs dy, then computes.
func (m *outer) Run(c *engine.Context) error {
	if m.update != nil && !m.update.set(c) {
		return nil // frozen, and nobody else reads the gradient
	}
	if err := m.d.workers.run(&m.packing, len(m.strips)); err != nil {
		return err
	}
	return m.d.workers.run(m, (m.k+outerRows-1)/outerRows)
}

// packRows copies the panels of a strip of dy's columns together, one image a row.
type packRows struct{ *outer }

func (m *packRows) tile(_, i int) {
	for _, p := range m.strips[i] {
		to := m.d.shared[m.batch*p.first:]
		for n := range m.batch {
			copyPadded(to[n*p.cols:(n+1)*p.cols], m.dy[n*m.columns+p.first:], p.n)
		}
	}
}

// tile computes outerRows rows of dw.
func (m *outer) tile(worker, i int) {
	first := i * outerRows
	n := min(outerRows, m.k-first)
	scratch := m.d.scratch[worker]
	x, result := scratch[:m.batch*n], scratch[m.batch*outerRows:]
	for img := range m.batch {
		copy(x[img*n:(img+1)*n], m.x[img*m.k+first:])
	}
	t := &m.work[worker]
	t.tile = tile{x: &x[0], segs: 1, seg: &zeroRows[0], run: m.batch, step: n, out: &result[0],
		outRow: strided(&t.scratch, panelCols), count: 1, ahead: &result[0], init: &zeros[0], initRow: &zeroRows[0], floor: noFloor}
	for _, strip := range m.strips {
		for r := 0; r < n; r += tileRows {
			for j := range tileRows {
				t.rows[j] = min(r+j, n-1)
			}
			m.rowsOf(t, strip, first+r, min(tileRows, n-r), result)
		}
	}
}

// rowsOf computes a strip of count rows of dw from row first on, and stores it or updates the weights by it.
func (m *outer) rowsOf(t *workspace, strip []panel, first, count int, result []float32) {
	start := first*m.columns + strip[0].first
	if m.update != nil {
		m.d.isa.prefetch(&m.update.w[start], count, m.columns, panelCols)
		m.d.isa.prefetch(&m.update.v[start], count, m.columns, panelCols)
	}
	t.row = &t.rows[0]
	width := 0
	for i, p := range strip {
		t.out = &result[i*m.d.isa.panel]
		t.w, t.wStride = &m.d.shared[m.batch*p.first], p.cols
		m.d.isa.tile[p.cols/lane](&t.tile)
		width += p.n
	}
	for j := range count {
		row := result[j*panelCols:][:width]
		if m.update != nil {
			m.update.apply(start+j*m.columns, row)
		} else {
			copy(m.dw[start+j*m.columns:], row)
		}
	}
}

// zeros start the sums of a tile that has no bias.
var zeros [panelCols]float32
