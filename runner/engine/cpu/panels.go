package cpu

import (
	"slices"

	"ablate/arch"
)

// tileRows is the number of rows of a register tile. panelCols is the largest number of columns of
// one, and the number of columns of a strip.
const (
	tileRows  = 6
	panelCols = 64
	lane      = 16 // a panel's width is a multiple of a 512-bit vector
)

// A panel is a strip of columns of a matrix product: n of them hold values,
// cols (n rounded up to whole vectors) are computed.
type panel struct {
	first, n, cols int
}

// panelsOf cuts n columns into panels of the tile's width and one narrower last one.
func (s *isa) panelsOf(n int) []panel {
	var ps []panel
	for first := 0; first < n; first += s.panel {
		w := min(s.panel, n-first)
		ps = append(ps, panel{first, w, padded(w)})
	}
	return ps
}

// stripsOf groups panels by 64 columns. One thread handles a strip. Its panels share the copies of the
// values they read, and 64 columns of a row are whole cache lines in every matrix, however narrow the
// tile is.
func (s *isa) stripsOf(n int) [][]panel {
	return slices.Collect(slices.Chunk(s.panelsOf(n), panelCols/s.panel))
}

// A block is a part of a tile's sum whose weights stay in the cache while all rows pass over them. It
// consists of segments of run values each, from sum index first onwards. Between blocks the sums are
// stored in memory as float32, which changes no bit of them.
type block struct {
	segs       []int
	run, first int
}

// blocksOf cuts the sum over segs × run values into blocks of about the same length, which is at most
// most.
func blocksOf(segs []int, run, most int) []block {
	if len(segs) == 0 || run == 0 {
		return []block{{}}
	}
	var blocks []block
	if run <= most {
		n := ceil(len(segs), most/run)
		for i := range n {
			from, to := i*len(segs)/n, (i+1)*len(segs)/n
			blocks = append(blocks, block{segs[from:to], run, from * run})
		}
		return blocks
	}
	n := ceil(run, most)
	for i, s := range segs {
		for j := range n {
			from, to := j*run/n, (j+1)*run/n
			blocks = append(blocks, block{[]int{s + from}, to - from, i*run + from})
		}
	}
	return blocks
}

// blockOf returns how many sum indices of a panel fill a part of a cache, or usual if the size of the
// cache is not known. The result affects speed and never a bit.
func blockOf(bytes, columns, usual int) int {
	if bytes <= 0 {
		return usual
	}
	return min(max(bytes/(4*columns)&^15, 64), 1024)
}

// take sets the tile to a block. weights are all of the panel's weights, with cols of them per sum
// index.
func (t *tile) take(b *block, weights []float32, cols int) {
	t.segs, t.run = len(b.segs), b.run
	if t.segs > 0 {
		t.seg, t.w = &b.segs[0], &weights[b.first*cols]
	}
}

// rowsOf sets the tile to groups of rows. Their sums continue from the values in their outputs.
func (t *tile) rowsOf(rows, outs []int) {
	t.row, t.outRow, t.count = &rows[0], &outs[0], len(rows)/tileRows
	t.init, t.initRow, t.initNext = t.out, t.outRow, tileRows
	t.ahead, t.aheadStep = t.out, 0
}

// from starts the sums of all rows from the same values.
func (t *tile) from(init []float32) { t.init, t.initRow, t.initNext = &init[0], &zeroRows[0], 0 }

func ceil(n, by int) int { return (n + by - 1) / by }

// padded returns how many columns all panels of n columns take together.
func padded(n int) int { return (n + lane - 1) / lane * lane }

// rowGroups repeats the last offset until the length of the table is a multiple of tileRows. The
// surplus rows compute the last row again and write the same values.
func rowGroups(offsets []int) []int {
	for len(offsets)%tileRows != 0 {
		offsets = append(offsets, offsets[len(offsets)-1])
	}
	return offsets
}

// A workspace is one worker's tile. It lives as long as the kernel, so that running the kernel
// allocates nothing.
type workspace struct{ tile }

// copyPanel copies the values of scratch rows, p.cols apart, to their places.
func copyPanel(to []float32, at []int, from []float32, p panel) {
	for r, off := range at {
		copy(to[off:off+p.n], from[r*p.cols:r*p.cols+p.n])
	}
}

// stepped returns the offsets 0, by, 2·by … of n rows.
func stepped(n, by int) []int {
	offsets := make([]int, n)
	for i := range offsets {
		offsets[i] = i * by
	}
	return offsets
}

// copyColumns copies a panel's columns of some rows, stride values apart, together. It clears the
// columns that the panel lacks.
func (s *isa) copyColumns(to, from []float32, rows, stride int, p panel) {
	if p.n == p.cols {
		s.copyRows(&to[0], &from[0], rows, stride, p.n)
		return
	}
	for r := range rows {
		copyPadded(to[r*p.cols:(r+1)*p.cols], from[r*stride:], p.n)
	}
}

// copyPadded copies n values of a row and clears the rest of the row. Most rows are one cache line,
// which is copied faster without a call.
func copyPadded(row, from []float32, n int) {
	if n == lane && len(row) == lane {
		*(*[lane]float32)(row) = *(*[lane]float32)(from)
		return
	}
	clear(row[copy(row[:n], from):])
}

// An image describes the input of a convolution: its shape, the channels of one group, the distance in
// values from one pixel to the next, and the border it needs.
type image struct {
	arch.Shape
	group, pixel int
	arch.Pad
}

// rowLen returns the length of a row of the bordered image of one group.
func (m image) rowLen() int { return (m.Width + m.Left + m.Right) * m.pixel }

// asIs reports whether the image can be read without a copy.
func (m image) asIs() bool {
	return m.Pad == arch.Pad{} && m.group == m.Channels && m.pixel == m.group
}

// paddedLen returns how many values of scratch view needs.
func (m image) paddedLen() int {
	if m.asIs() {
		return 0
	}
	return (m.Height + m.Top + m.Bottom) * m.rowLen()
}

// view returns image n of a batch with its border and the channels of only one group, and the scratch
// that is left. The image is a copy in scratch unless it can be read without one.
func (m image) view(batch []float32, n, group int, scratch []float32) (img, rest []float32) {
	img = batch[n*m.Len() : (n+1)*m.Len()]
	if m.asIs() {
		return img, scratch
	}
	to := scratch[:m.paddedLen()]
	m.pad(to, img, group*m.group)
	return to, scratch[len(to):]
}

// pad copies the group's channels, starting at channel first, into the middle of zeros.
func (m image) pad(to, from []float32, first int) {
	row := m.rowLen()
	clear(to[:m.Top*row])
	clear(to[(m.Top+m.Height)*row:])
	for y := range m.Height {
		line := to[(m.Top+y)*row : (m.Top+y+1)*row]
		inner := line[m.Left*m.pixel : (m.Left+m.Width)*m.pixel]
		clear(line[:m.Left*m.pixel])
		clear(line[(m.Left+m.Width)*m.pixel:])
		src := from[y*m.Width*m.Channels : (y+1)*m.Width*m.Channels]
		if m.pixel == m.Channels {
			copy(inner, src)
			continue
		}
		for x := range m.Width {
			copyPadded(inner[x*m.pixel:][:m.group], src[x*m.Channels+first:], m.group)
		}
	}
}
