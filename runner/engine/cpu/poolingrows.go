package cpu

import (
	"math"
	"unsafe"
)

// A poolingRow is a run of pooling windows of one size in one row of output pixels.
// The inner loop is over the channels, which are contiguous. Offsets and
// distances count float32 values.
//
//	maxWindows      out[p][c] = max over the window's cells of cell; a NaN stays
//	sumWindows      out[p][c] = Σ scale·cell
//	maxGradWindows  grad[first cell that equals top[p][c]] += out[p][c]
//	addWindows      grad[every cell] += scale·out[p][c]
//
// Cells are taken row by row, pixels one after the other.
type poolingRow struct {
	cell, grad *float32 // first cell of the first window, in the image and in its gradient
	out, top   *float32 // first output pixel: values or gradient, and the greatest value
	channels   int
	pixels     int
	rows, cols int // cells of a window
	row, col   int // from one row of cells to the next, from one cell to the next
	step       int // from one window to the next
	outStep    int // from one output pixel to the next
	scale      float32
}

// moved returns the run for the channels from c onwards.
func (w poolingRow) moved(c int) poolingRow {
	for _, p := range []**float32{&w.cell, &w.grad, &w.out, &w.top} {
		if *p != nil {
			*p = at(*p, c)
		}
	}
	w.channels -= c
	return w
}

// vectorised handles the channels that fill vectors with f and the rest with its Go twin.
func vectorised(w *poolingRow, lanes int, f func(*byte), twin func(*poolingRow)) {
	all := *w // restored at the end: a copy handed to a kernel would be allocated
	whole := all.channels / lanes * lanes
	if whole > 0 {
		w.channels = whole
		f((*byte)(unsafe.Pointer(w)))
	}
	if whole < all.channels {
		*w = all.moved(whole)
		twin(w)
	}
	*w = all
}

// values returns n values from offset off of p onwards.
func values(p *float32, off, n int) []float32 { return unsafe.Slice(at(p, off), n) }

func maxWindowsGo(w *poolingRow) {
	for p := range w.pixels {
		out := values(w.out, p*w.outStep, w.channels)
		for c := range out {
			out[c] = float32(math.Inf(-1))
		}
		for r := range w.rows {
			for k := range w.cols {
				for c, v := range values(w.cell, p*w.step+r*w.row+k*w.col, w.channels) {
					out[c] = max(out[c], v)
				}
			}
		}
	}
}

func sumWindowsGo(w *poolingRow) {
	for p := range w.pixels {
		out := values(w.out, p*w.outStep, w.channels)
		clear(out)
		for r := range w.rows {
			for k := range w.cols {
				for c, v := range values(w.cell, p*w.step+r*w.row+k*w.col, w.channels) {
					out[c] += float32(w.scale * v)
				}
			}
		}
	}
}

func maxGradWindowsGo(w *poolingRow) {
	for p := range w.pixels {
		top, dy := values(w.top, p*w.outStep, w.channels), values(w.out, p*w.outStep, w.channels)
		for c, greatest := range top {
			w.give(p*w.step+c, greatest, dy[c])
		}
	}
}

// give adds dy to the gradient of the window's first cell, from offset off onwards, that equals
// greatest.
func (w *poolingRow) give(off int, greatest, dy float32) {
	for r := range w.rows {
		for k := range w.cols {
			cell := off + r*w.row + k*w.col
			if *at(w.cell, cell) == greatest {
				*at(w.grad, cell) += dy
				return
			}
		}
	}
}

func addWindowsGo(w *poolingRow) {
	for p := range w.pixels {
		out := values(w.out, p*w.outStep, w.channels)
		for r := range w.rows {
			for k := range w.cols {
				grad := values(w.grad, p*w.step+r*w.row+k*w.col, w.channels)
				for c, v := range out {
					grad[c] += float32(w.scale * v)
				}
			}
		}
	}
}
