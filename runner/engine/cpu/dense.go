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

// matmul is the forward pass of a dense layer, y[n][o] = max(floor, bias[o] + Σ_k x[n][k]·w[k][o]).
//
// The sum is cut into blocks. The blocks of x are copied together once: in place, the rows of a block
// lie at a stride that uses few sets of the cache. A strip of weights is packed one block at a time.
// The block stays in the cache while all images pass over it, so the weights are read from memory
// once. The sums are kept beside the block in scratch.
type matmul struct {
	d          *Device
	x, w, y    []float32
	bias       []float32
	batch      int
	k, columns int
	floor      float32
	strips     [][]panel
	rows, outs []int // offsets of the images in a block of x and in a panel's sums, in groups of six
	images     []int // offsets of the images in y
	block      int   // sum indices taken at a time
	together   int   // strips that a block of x serves while it is in the cache
	inPlace    bool  // x is read where it lies
	work       []workspace
	packing    packBlocks
}

func newDenseForward(d *Device, op *graph.Dense, in engine.Instr) engine.Kernel {
	m := &matmul{d: d, x: slice(in.In[0]), w: slice(in.In[1]), bias: biases(in), y: slice(in.Out), batch: op.Batch,
		columns: op.Outputs, floor: noFloor, block: d.isa.block}
	if in.ReLU {
		m.floor = 0
	}
	m.k = len(m.x) / m.batch
	m.strips = d.isa.stripsOf(m.columns)
	pitch := m.block
	if m.inPlace = len(m.strips) == 1; m.inPlace {
		pitch = m.k
	} else {
		d.needShared(ceil(m.k, m.block) * m.batch * m.block)
	}
	m.rows, m.images = rowGroups(stepped(m.batch, pitch)), stepped(m.batch, m.columns)
	m.outs = stepped(len(m.rows), panelCols)
	m.together = max(1, min(4, len(m.strips)/d.workers.n))
	d.needScratch((m.block + 1 + m.together*len(m.rows)) * panelCols)
	m.work = make([]workspace, d.workers.n)
	m.packing = packBlocks{m}
	return m
}

// Run packs x, then computes all strips.
func (m *matmul) Run(*engine.Context) error {
	if !m.inPlace {
		if err := m.d.workers.run(&m.packing, ceil(m.k, m.block)); err != nil {
			return err
		}
	}
	return m.d.workers.run(m, ceil(len(m.strips), m.together))
}

// packBlocks copies a block of x together, one image a row.
type packBlocks struct{ *matmul }

func (m *packBlocks) tile(_, i int) {
	from := i * m.block
	n := min(m.block, m.k-from)
	to := m.d.shared[i*m.batch*m.block:]
	for img := range m.batch {
		copy(to[img*m.block:][:n], m.x[img*m.k+from:])
	}
}

// xFrom returns the images' values from sum index k, the first of a block, onwards.
func (m *matmul) xFrom(k int) []float32 {
	if m.inPlace {
		return m.x[k:]
	}
	return m.d.shared[k*m.batch:]
}

// tile computes some strips of columns for all images.
func (m *matmul) tile(worker, i int) {
	scratch := m.d.scratch[worker]
	strips := m.strips[i*m.together : min((i+1)*m.together, len(m.strips))]
	biases, packed, sums := scratch[:panelCols], scratch[panelCols:][:m.block*panelCols], scratch[(1+m.block)*panelCols:]
	t := &m.work[worker]
	t.tile = tile{segs: 1, seg: &zeroRows[0], step: 1, floor: noFloor}
	for k := 0; k < m.k; k += m.block {
		n := min(m.block, m.k-k)
		if k+n == m.k {
			t.floor = m.floor
		}
		for s, strip := range strips {
			m.pack(packed, strip, k, n)
			if k == 0 {
				m.biasesOf(strip, biases)
			}
			next, from := strip, k+n // the block to pack after this one
			if s+1 < len(strips) {
				next, from = strips[s+1], k
			}
			for j, p := range strip {
				column := j * m.d.isa.panel
				t.x, t.w, t.run, t.wStride = &m.xFrom(k)[0], &packed[column*n], n, p.cols
				t.out = &sums[s*len(m.rows)*panelCols+column]
				groups := len(m.rows) / tileRows
				for part := range askParts {
					m.ask(next, from, j*askParts+part, len(strip)*askParts)
					first, last := part*groups/askParts*tileRows, (part+1)*groups/askParts*tileRows
					if first == last {
						continue
					}
					t.rowsOf(m.rows[first:last], m.outs[first:last])
					if k == 0 {
						t.from(biases[column:])
					}
					m.d.isa.tile[p.cols/lane](&t.tile)
				}
			}
		}
	}
	for s, strip := range strips {
		first := strip[0].first
		for img := range m.batch {
			copy(m.y[img*m.columns+first:][:min(panelCols, m.columns-first)], sums[(s*len(m.rows)+img)*panelCols:])
		}
	}
}

// biasesOf returns the biases of a strip, followed by zeros.
func (m *matmul) biasesOf(strip []panel, to []float32) {
	clear(to)
	if m.bias != nil {
		copy(to, m.bias[strip[0].first:])
	}
}

// askParts is the number of pieces into which a panel's images are cut. Before each piece, a piece of
// the weights that are packed next is prefetched, so that memory keeps pace.
const askParts = 4

// ask prefetches a part of a strip's weights for the block from k onwards.
func (m *matmul) ask(strip []panel, k, part, of int) {
	n := min(m.block, m.k-k)
	if from, to := part*n/of, (part+1)*n/of; from < to {
		m.d.isa.prefetch(&m.w[(k+from)*m.columns+strip[0].first], to-from, m.columns, panelCols)
	}
}

// pack lays out a strip's weights for n sum indices from k onwards, panel after panel.
func (m *matmul) pack(to []float32, strip []panel, k, n int) {
	for j, p := range strip {
		m.d.isa.copyColumns(to[j*m.d.isa.panel*n:], m.w[k*m.columns+p.first:], n, m.columns, p)
	}
}

// transposed is the data gradient of a dense layer, dx[n][i] = Σ_o dy[n][o]·w[i][o]. It computes dxᵀ.
// The weights are the tile's rows; they are read once, without a copy. dy is packed by images, which
// are few.
type transposed struct {
	d          *Device
	w, dy, dx  []float32
	batch      int
	k, columns int     // outputs and inputs of the layer
	panels     []panel // of images
	width      int     // columns of all panels together
	full, last rowTables
	work       []workspace
	packing    packImages
}

// inputBlock is the number of rows of the weights that one work item takes. A block of their columns
// stays in the second-level cache for all panels of images.
const inputBlock = 16 * tileRows

// rowTables holds the offsets of a block of inputs in the weights and in the sums.
type rowTables struct{ rows, outs []int }

func (m *transposed) tablesOf(n int) rowTables {
	return rowTables{rowGroups(stepped(n, m.k)), rowGroups(stepped(n, m.width))}
}

func newDenseDataGrad(d *Device, op *graph.DenseDataGrad, in engine.Instr) engine.Kernel {
	m := &transposed{d: d, w: slice(in.In[0]), dy: slice(in.In[1]), dx: slice(in.Out), batch: op.Batch,
		k: op.Outputs, columns: op.In.Len(), panels: d.isa.panelsOf(op.Batch), width: padded(op.Batch)}
	m.full, m.last = m.tablesOf(inputBlock), m.tablesOf((m.columns-1)%inputBlock+1)
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

// packImages lays out the dy of a panel of images, one output per row.
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
	tables := m.full
	if first+n == m.columns {
		tables = m.last
	}
	t := &m.work[worker]
	t.tile = tile{segs: 1, seg: &zeroRows[0], step: 1, floor: noFloor}
	for k := 0; k < m.k; k += m.d.isa.block {
		t.x, t.run = &m.w[first*m.k+k], min(m.d.isa.block, m.k-k)
		for _, p := range m.panels {
			t.w, t.wStride, t.out = &m.d.shared[m.k*p.first+k*p.cols], p.cols, &sums[p.first]
			t.rowsOf(tables.rows, tables.outs)
			if k == 0 {
				t.from(zeros[:])
			}
			m.d.isa.tile[p.cols/lane](&t.tile)
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
	rows, outs []int // offsets of a tile's rows of dw in the packed x, and of the rows that are computed together
	work       []workspace
	packing    packRows
	update     *update // of the weights, applied after each block of rows; nil: the gradient is stored in dw
}

// outerRows is the number of rows of dw that a tile computes: 96 columns of x. They are packed in
// groups of six, as a tile takes them. together is the number of groups that are computed before they
// are stored: a panel of dy stays in the first-level cache for that many groups.
const (
	together  = 4
	outerRows = 4 * together * tileRows
)

func newDenseWeightGrad(d *Device, op *graph.DenseWeightGrad, in engine.Instr) engine.Kernel {
	m := &outer{d: d, x: slice(in.In[0]), dy: slice(in.In[1]), batch: op.Batch, columns: op.Outputs}
	if in.Update != nil {
		m.update = newUpdate(d, *in.Update, engine.Instr{In: in.In[2:4]})
	} else {
		m.dw = slice(in.Out)
	}
	m.k = len(m.x) / m.batch
	m.strips = d.isa.stripsOf(m.columns)
	for g := range outerRows / tileRows {
		for j := range tileRows {
			m.rows = append(m.rows, g*m.batch*tileRows+j)
		}
	}
	m.outs = stepped(together*tileRows, panelCols)
	d.needShared(m.batch * padded(m.columns))
	d.needScratch(m.batch*outerRows + together*tileRows*panelCols)
	m.work = make([]workspace, d.workers.n)
	m.packing = packRows{m}
	return m
}

// Run packs dy, then computes.
func (m *outer) Run(c *engine.Context) error {
	if m.update != nil && !m.update.set(c) {
		return nil // frozen, and nothing else reads the gradient
	}
	if err := m.d.workers.run(&m.packing, len(m.strips)); err != nil {
		return err
	}
	return m.d.workers.run(m, ceil(m.k, outerRows))
}

// packRows copies the panels of a strip of dy's columns together, one image a row.
type packRows struct{ *outer }

func (m *packRows) tile(_, i int) {
	for _, p := range m.strips[i] {
		m.d.isa.copyColumns(m.d.shared[m.batch*p.first:], m.dy[p.first:], m.batch, m.columns, p)
	}
}

// tile computes outerRows rows of dw.
func (m *outer) tile(worker, i int) {
	first := i * outerRows
	n := min(outerRows, m.k-first)
	scratch := m.d.scratch[worker]
	x, result := scratch[:m.batch*outerRows], scratch[m.batch*outerRows:]
	m.packColumns(x, first, n)
	t := &m.work[worker]
	t.tile = tile{x: &x[0], segs: 1, seg: &zeroRows[0], run: m.batch, step: tileRows, floor: noFloor}
	for _, strip := range m.strips {
		for r := 0; r < n; r += together * tileRows {
			m.rowsOf(t, strip, first, r, min(together*tileRows, n-r), result)
		}
	}
}

// packColumns copies n columns of x, starting at first, together in groups of six. The columns that
// the last group lacks are left as they are: the results computed from them are never stored.
func (m *outer) packColumns(to []float32, first, n int) {
	for img := range m.batch {
		from := m.x[img*m.k+first:][:n]
		for g := 0; g < n; g += tileRows {
			six := to[g*m.batch+img*tileRows:][:tileRows]
			if n-g < tileRows {
				copy(six, from[g:])
				continue
			}
			*(*[tileRows]float32)(six) = *(*[tileRows]float32)(from[g:])
		}
	}
}

// rowsOf computes a strip of count rows of dw, starting at row r of the tile. It stores them or
// updates the weights by them.
func (m *outer) rowsOf(t *workspace, strip []panel, first, r, count int, result []float32) {
	start := (first+r)*m.columns + strip[0].first
	rows := ceil(count, len(strip)) // prefetched before each panel, so that memory keeps pace
	width := 0
	for i, p := range strip {
		if n := min(rows, count-i*rows); m.update != nil && n > 0 {
			at := start + i*rows*m.columns
			m.d.isa.prefetch(&m.update.w[at], n, m.columns, panelCols)
			m.d.isa.prefetch(&m.update.v[at], n, m.columns, panelCols)
		}
		t.w, t.wStride, t.out = &m.d.shared[m.batch*p.first], p.cols, &result[i*m.d.isa.panel]
		t.rowsOf(m.rows[r:][:ceil(count, tileRows)*tileRows], m.outs)
		t.from(zeros[:])
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
