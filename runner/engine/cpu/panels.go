package cpu

// tileRows is the number of rows of a register tile; panelCols the most columns.
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

// panelsOf cuts n columns into panels of 64 and one narrower last one.
func panelsOf(n int) []panel {
	var ps []panel
	for first := 0; first < n; first += panelCols {
		w := min(panelCols, n-first)
		ps = append(ps, panel{first, w, (w + lane - 1) / lane * lane})
	}
	return ps
}

// padded gives the columns all panels of n columns take together.
func padded(n int) int { return (n + lane - 1) / lane * lane }

// rowGroups repeats the last offset until the table is a multiple of tileRows long:
// the rows too many compute the last one again and write the same values.
func rowGroups(offsets []int) []int {
	for len(offsets)%tileRows != 0 {
		offsets = append(offsets, offsets[len(offsets)-1])
	}
	return offsets
}

// A bench is one worker's tile and the offset tables that are made on the fly; it
// lives as long as the kernel, so that running one allocates nothing.
type bench struct {
	tile
	rows, outs, scratch [tileRows]int
}

// strided fills a table with 0, by, 2·by …
func strided(table *[tileRows]int, by int) *int {
	for r := range table {
		table[r] = r * by
	}
	return &table[0]
}

// copyPanel copies the values of a tile's scratch rows (stride cols) to their places.
func copyPanel(to []float32, at []int, from []float32, p panel) {
	for r, off := range at {
		copy(to[off:off+p.n], from[r*p.cols:r*p.cols+p.n])
	}
}

// padImage copies the channels [first, first+n) of an image of height h and
// width w into to, an image of n channels with zero borders. A negative border cuts off.
func padImage(to, from []float32, h, w, channels, first, n int, top, bottom, left, right int) {
	wide := w + left + right
	clear(to[:max(top, 0)*wide*n])
	clear(to[(h+top+min(bottom, 0))*wide*n : (h+top+bottom)*wide*n])
	for y := max(0, -top); y < h+min(bottom, 0); y++ {
		row := to[(y+top)*wide*n : (y+top+1)*wide*n]
		clear(row[:max(left, 0)*n])
		clear(row[(w+left+min(right, 0))*n:])
		x0, x1 := max(0, -left), w+min(right, 0)
		src := from[y*w*channels:]
		if n == channels {
			copy(row[(x0+left)*n:(x1+left)*n], src[x0*n:x1*n])
			continue
		}
		for x := x0; x < x1; x++ {
			copy(row[(x+left)*n:(x+left+1)*n], src[x*channels+first:x*channels+first+n])
		}
	}
}
