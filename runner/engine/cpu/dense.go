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

// kBlock is how many sum indices of a weight panel are packed at a time: 64
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
	panels     []panel
	rows, outs []int // offsets of the images in x and y, in groups of six
	work       []workspace
}

func newDenseForward(d *Device, op *graph.Dense, in engine.Instr) engine.Kernel {
	m := &matmul{d: d, x: slice(in.In[0]), w: slice(in.In[1]), bias: slice(in.In[2]), y: slice(in.Out), batch: op.Batch,
		columns: op.Outputs, floor: noFloor}
	if in.ReLU {
		m.floor = 0
	}
	m.k = len(m.x) / m.batch
	m.panels = panelsOf(m.columns)
	for n := range m.batch {
		m.rows = append(m.rows, n*m.k)
		m.outs = append(m.outs, n*m.columns)
	}
	m.rows, m.outs = rowGroups(m.rows), rowGroups(m.outs)
	d.needScratch((min(m.k, kBlock)+1)*panelCols + len(m.rows)*panelCols)
	m.work = make([]workspace, d.workers.n)
	return m
}

// Run computes all panels.
func (m *matmul) Run(*engine.Context) error { return m.d.workers.run(m, len(m.panels)) }

// tile computes one panel of columns for all images.
func (m *matmul) tile(worker, i int) {
	p := m.panels[i]
	scratch := m.d.scratch[worker]
	bias, scratch := scratch[:p.cols], scratch[p.cols:]
	clear(bias[copy(bias[:p.n], m.bias[p.first:]):])
	packed, result := scratch[:min(m.k, kBlock)*p.cols], scratch[min(m.k, kBlock)*p.cols:]
	t := &m.work[worker]
	t.tile = tile{segs: 1, seg: &zeroRows[0], step: 1, wStride: p.cols, w: &packed[0]}
	run := m.d.isa.tile[p.cols/lane]
	whole := p.n == p.cols
	out := m.y[p.first:]
	for k := 0; k < m.k; k += kBlock {
		t.run = min(kBlock, m.k-k)
		m.pack(packed, p, k, t.run)
		t.x = &m.x[k]
		t.floor = noFloor
		if k+t.run == m.k {
			t.floor = m.floor
		}
		for r := 0; r < len(m.rows); r += tileRows {
			t.row = &m.rows[r]
			if whole {
				t.out, t.outRow = &out[0], &m.outs[r]
			} else {
				t.out, t.outRow = &result[r*p.cols], strided(&t.scratch, p.cols)
			}
			t.init, t.initRow = t.out, t.outRow
			if k == 0 {
				t.init, t.initRow = &bias[0], &zeroRows[0]
			}
			run(&t.tile)
		}
	}
	if !whole {
		copyPanel(out, m.outs, result, p)
	}
}

// pack lays out the weights of n sum indices from k on, p.cols to a row.
func (m *matmul) pack(to []float32, p panel, k, n int) {
	for i := range n {
		row := to[i*p.cols : (i+1)*p.cols]
		copy(row[:p.n], m.w[(k+i)*m.columns+p.first:])
		clear(row[p.n:])
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
		k: op.Outputs, columns: op.In.Len(), panels: panelsOf(op.Batch), width: padded(op.Batch)}
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
	for k := 0; k < m.k; k += kBlock {
		t.run = min(kBlock, m.k-k)
		for _, p := range m.panels {
			t.w, t.wStride = &m.d.shared[m.k*p.first+k*p.cols], p.cols
			run := m.d.isa.tile[p.cols/lane]
			for r := 0; r < n; r += tileRows {
				for j := range tileRows {
					row := min(r+j, n-1)
					t.rows[j] = (first+row)*m.k + k
					t.outs[j] = row*m.width + p.first
				}
				t.row, t.outRow = &t.rows[0], &t.outs[0]
				t.init, t.initRow = t.out, t.outRow
				if k == 0 {
					t.init, t.initRow = &zeros[0], &zeroRows[0]
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
	panels     []panel
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
	m.panels = panelsOf(m.columns)
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
	if err := m.d.workers.run(&m.packing, len(m.panels)); err != nil {
		return err
	}
	return m.d.workers.run(m, (m.k+outerRows-1)/outerRows)
}

// packRows copies a panel of dy's columns together, one image a row.
type packRows struct{ *outer }

func (m *packRows) tile(_, i int) {
	p := m.panels[i]
	to := m.d.shared[m.batch*p.first:]
	for n := range m.batch {
		row := to[n*p.cols : (n+1)*p.cols]
		copy(row[:p.n], m.dy[n*m.columns+p.first:])
		clear(row[p.n:])
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
	t.tile = tile{x: &x[0], segs: 1, seg: &zeroRows[0], run: m.batch, step: n, init: &zeros[0], initRow: &zeroRows[0], floor: noFloor}
	for _, p := range m.panels {
		t.w, t.wStride = &m.d.shared[m.batch*p.first], p.cols
		run := m.d.isa.tile[p.cols/lane]
		for r := 0; r < n; r += tileRows {
			for j := range tileRows {
				t.rows[j] = min(r+j, n-1)
				t.outs[j] = (first+t.rows[j])*m.columns + p.first
			}
			t.row = &t.rows[0]
			if m.update == nil && p.n == p.cols {
				t.out, t.outRow = &m.dw[0], &t.outs[0]
				run(&t.tile)
				continue
			}
			t.out, t.outRow = &result[0], strided(&t.scratch, p.cols)
			if m.update != nil {
				m.d.isa.prefetch(&m.update.w[t.outs[0]], min(tileRows, n-r), m.columns)
				m.d.isa.prefetch(&m.update.v[t.outs[0]], min(tileRows, n-r), m.columns)
			}
			run(&t.tile)
			if m.update == nil {
				copyPanel(m.dw, t.outs[:], result, p)
				continue
			}
			for j := range min(tileRows, n-r) {
				m.update.apply(t.outs[j], result[j*p.cols:][:p.n])
			}
		}
	}
}

// zeros start the sums of a tile that has no bias.
var zeros [panelCols]float32
