package cpu

import "unsafe"

// A tile is the inner product all matrix work is cut into: tileRows rows by cols columns, cols a multiple of 16 up to 64.
//
//	acc[r][c] = init[initRow[r]+c]
//	for s < segs, i < run: acc[r][c] += x[row[r]+seg[s]+i·step] · w[(s·run+i)·wStride+c]
//	out[outRow[r]+c] = max(acc[r][c], floor)          a NaN stays a NaN
//
// in this order. Offsets count float32 values. Rows may repeat: equal rows write equal values.
type tile struct {
	x, w, init, out      *float32
	row, initRow, outRow *int // tileRows offsets each
	seg                  *int // segs offsets
	segs, run            int
	step, wStride        int
	floor                float32
}

// at is p moved by n values.
func at(p *float32, n int) *float32 {
	return (*float32)(unsafe.Add(unsafe.Pointer(p), 4*n))
}

// tileGo is the tile in portable Go: 2×4 sums at a time, which is what fits in registers.
func tileGo(t *tile, cols int) {
	row := unsafe.Slice(t.row, tileRows)
	initRow := unsafe.Slice(t.initRow, tileRows)
	outRow := unsafe.Slice(t.outRow, tileRows)
	seg := unsafe.Slice(t.seg, t.segs)
	step, wStep := uintptr(4*t.step), uintptr(4*t.wStride)
	for c := 0; c < cols; c += 4 {
		var acc [tileRows][4]float32 // all rows are read before any is written: rows may repeat
		for r := range acc {
			acc[r] = *(*[4]float32)(unsafe.Pointer(at(t.init, initRow[r]+c)))
		}
		for r := 0; r < tileRows; r += 2 {
			a0, a1, a2, a3 := acc[r][0], acc[r][1], acc[r][2], acc[r][3]
			b0, b1, b2, b3 := acc[r+1][0], acc[r+1][1], acc[r+1][2], acc[r+1][3]
			w := unsafe.Pointer(at(t.w, c))
			for _, s := range seg {
				x := unsafe.Pointer(at(t.x, row[r]+s))
				y := unsafe.Pointer(at(t.x, row[r+1]+s))
				for range t.run {
					v := (*[4]float32)(w)
					p, q := *(*float32)(x), *(*float32)(y)
					a0 += p * v[0]
					a1 += p * v[1]
					a2 += p * v[2]
					a3 += p * v[3]
					b0 += q * v[0]
					b1 += q * v[1]
					b2 += q * v[2]
					b3 += q * v[3]
					x, y, w = unsafe.Add(x, step), unsafe.Add(y, step), unsafe.Add(w, wStep)
				}
			}
			acc[r] = [4]float32{max(a0, t.floor), max(a1, t.floor), max(a2, t.floor), max(a3, t.floor)}
			acc[r+1] = [4]float32{max(b0, t.floor), max(b1, t.floor), max(b2, t.floor), max(b3, t.floor)}
		}
		for r := range acc {
			*(*[4]float32)(unsafe.Pointer(at(t.out, outRow[r]+c))) = acc[r]
		}
	}
}
