package cpu

import "unsafe"

// A tile is the inner product that all matrix work is cut into: count groups of tileRows rows by cols
// columns, where cols is a multiple of 16 up to 64. For each group:
//
//	acc[r][c] = init[initRow[r]+c]
//	for s < segs, i < run: acc[r][c] += x[row[r]+seg[s]+i·step] · w[(s·run+i)·wStride+c]
//	out[outRow[r]+c] = max(acc[r][c], floor)          a NaN stays a NaN
//
// in this order. Offsets count float32 values. Rows may repeat: equal rows write equal values. The row
// and outRow of the next group follow directly, and its initRow is initNext entries further on.
type tile struct {
	x, w, init, out      *float32
	row, initRow, outRow *int // tileRows offsets per group
	seg                  *int // segs offsets
	segs, run            int
	step, wStride        int
	count, initNext      int
	ahead                *float32 // the values that are read next, prefetched piece by piece
	aheadStep            int      // of a piece, in bytes
	floor                float32
}

// at returns p moved by n values.
func at(p *float32, n int) *float32 {
	return (*float32)(unsafe.Add(unsafe.Pointer(p), 4*n))
}

// goBlock is the number of sum indices that tileGo takes at a time. The cache lines of their weights
// (16 KiB at 64 columns) stay in the first-level cache while all rows pass over them.
const goBlock = 64

// tileGo is the tile in portable Go.
func tileGo(t *tile, cols int) {
	for g := range t.count {
		groupGo(t, cols, offsetsAt(t.row, g*tileRows), offsetsAt(t.initRow, g*t.initNext), offsetsAt(t.outRow, g*tileRows))
	}
}

// offsetsAt returns a group's offsets from entry n of a table onwards.
func offsetsAt(table *int, n int) []int {
	return unsafe.Slice((*int)(unsafe.Add(unsafe.Pointer(table), n*int(unsafe.Sizeof(n)))), tileRows)
}

func groupGo(t *tile, cols int, row, initRow, outRow []int) {
	var acc [tileRows][panelCols]float32 // all rows are read before any is written: rows may repeat
	for r := range acc {
		copy(acc[r][:cols], values(t.init, initRow[r], cols))
	}
	var x [tileRows][goBlock]float32 // packed, so that short segments make long loops
	seg := unsafe.Slice(t.seg, t.segs)
	off, n := 0, 0 // in the weights; in the block
	flush := func() {
		for c := 0; c < cols; c += 2 {
			for r := 0; r < tileRows; r += 3 {
				products((*[3][goBlock]float32)(x[r:]), at(t.w, off+c), n, t.wStride,
					(*[2]float32)(acc[r][c:]), (*[2]float32)(acc[r+1][c:]), (*[2]float32)(acc[r+2][c:]))
			}
		}
		off, n = off+n*t.wStride, 0
	}
	for _, s := range seg {
		for k := 0; k < t.run; {
			m := min(goBlock-n, t.run-k)
			for r := range x {
				from := at(t.x, row[r]+s+k*t.step)
				to := x[r][n : n+m]
				if t.step == 1 {
					copy(to, values(from, 0, m))
					continue
				}
				for i := range to {
					to[i] = *at(from, i*t.step)
				}
			}
			k += m
			if n += m; n == goBlock {
				flush()
			}
		}
	}
	if n > 0 {
		flush()
	}
	for r := range acc {
		out := values(t.out, outRow[r], cols)
		for c, v := range acc[r][:cols] {
			out[c] = max(v, t.floor)
		}
	}
}

// products adds n terms to the sums of three rows and two columns. The compiler multiplies all terms
// before it adds any: with more than six sums it runs out of registers and the speed is halved. Two
// terms per turn hide the cost of the loop.
func products(rows *[3][goBlock]float32, weights *float32, n, wStride int, a, b, c *[2]float32) {
	x, w := unsafe.Pointer(rows), unsafe.Pointer(weights)
	const y, z = 4 * goBlock, 8 * goBlock // from one row to the others
	step := 4 * wStride
	a0, a1, b0, b1, c0, c1 := a[0], a[1], b[0], b[1], c[0], c[1]
	for ; n > 2; n -= 2 { // the last terms come after the loop, so that no pointer leaves its array
		p, q, r := *(*float32)(x), *(*float32)(unsafe.Add(x, y)), *(*float32)(unsafe.Add(x, z))
		v := *(*float32)(w)
		a0 += p * v
		b0 += q * v
		c0 += r * v
		v = *(*float32)(unsafe.Add(w, 4))
		a1 += p * v
		b1 += q * v
		c1 += r * v
		w = unsafe.Add(w, step)
		p, q, r = *(*float32)(unsafe.Add(x, 4)), *(*float32)(unsafe.Add(x, y+4)), *(*float32)(unsafe.Add(x, z+4))
		v = *(*float32)(w)
		a0 += p * v
		b0 += q * v
		c0 += r * v
		v = *(*float32)(unsafe.Add(w, 4))
		a1 += p * v
		b1 += q * v
		c1 += r * v
		x, w = unsafe.Add(x, 8), unsafe.Add(w, step)
	}
	for i := range n {
		p, q, r := *(*float32)(unsafe.Add(x, 4*i)), *(*float32)(unsafe.Add(x, 4*i+y)), *(*float32)(unsafe.Add(x, 4*i+z))
		v, u := *(*float32)(unsafe.Add(w, i*step)), *(*float32)(unsafe.Add(w, i*step+4))
		a0, b0, c0 = a0+p*v, b0+q*v, c0+r*v
		a1, b1, c1 = a1+p*u, b1+q*u, c1+r*u
	}
	*a, *b, *c = [2]float32{a0, a1}, [2]float32{b0, b1}, [2]float32{c0, c1}
}
