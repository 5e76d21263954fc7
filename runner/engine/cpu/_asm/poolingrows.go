package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Offsets of the fields of type poolingRow (cpu/poolingrows.go); a test there holds them.
const (
	winCell = 8 * iota
	winGrad
	winOut
	winTop
	winChannels
	winPixels
	winRows
	winCols
	winRow
	winCol
	winStep
	winOutStep
	winScale
)

// poolingRows emits the kernels that walk pooling windows: for each output pixel and
// each vector of channels, all cells of the window. Bound by loads.
func poolingRows() {
	inf := GLOBL("negativeInfinity", RODATA|NOPTR)
	DATA(0, U32(math.Float32bits(float32(math.Inf(-1)))))
	for _, width := range []int{64, 32} {
		maxWindows(width, inf)
		sumWindows(width)
		maxGradWindows(width)
		addWindows(width)
	}
}

// A walk is the loop that all kernels of windows share. start is emitted before
// a window's first cell, cell at each with its byte offset from the window's
// first, end after the last.
type walk struct {
	name     string
	width    int
	t        Register
	pointers map[int]Register // by field
	scale    VecVirtual
}

func newWalk(name, doc string, width int, pointers ...int) *walk {
	w := &walk{name: name + suffix(width), width: width, pointers: map[int]Register{}}
	TEXT(w.name, NOSPLIT, "func(t *byte)")
	Doc(w.name + " " + doc)
	Pragma("noescape")
	w.t = pointer("t")
	for _, p := range pointers {
		w.pointers[p] = w.field(p)
	}
	w.scale = vectorOf(width)
	VBROADCASTSS(Mem{Base: w.t, Disp: winScale}, w.scale)
	return w
}

func (w *walk) field(off int) Register {
	r := GP64()
	MOVQ(Mem{Base: w.t, Disp: off}, r)
	return r
}

// bytes is a field that counts values, in bytes.
func (w *walk) bytes(off int) Register {
	r := w.field(off)
	SHLQ(U8(2), r)
	return r
}

// at is the operand of a field's pointer for the vector at hand.
func (w *walk) at(field int, i Register) Mem {
	return Mem{Base: w.pointers[field], Index: i, Scale: 1}
}

func (w *walk) emit(start func(i Register), cell func(offset Register), end func(i Register)) {
	pixels, channels := w.field(winPixels), w.bytes(winChannels)
	row, col := w.bytes(winRow), w.bytes(winCol)
	i, line, at, rows, cols := GP64(), GP64(), GP64(), GP64(), GP64()
	Label(w.name + "_pixel")
	XORQ(i, i)
	Label(w.name + "_vector")
	start(i)
	MOVQ(i, line)
	MOVQ(Mem{Base: w.t, Disp: winRows}, rows)
	Label(w.name + "_row")
	MOVQ(line, at)
	MOVQ(Mem{Base: w.t, Disp: winCols}, cols)
	Label(w.name + "_cell")
	cell(at)
	ADDQ(col, at)
	DECQ(cols)
	JNZ(LabelRef(w.name + "_cell"))
	ADDQ(row, line)
	DECQ(rows)
	JNZ(LabelRef(w.name + "_row"))
	end(i)
	ADDQ(U8(w.width), i)
	CMPQ(i, channels)
	JLT(LabelRef(w.name + "_vector"))
	for _, field := range []int{winCell, winGrad, winOut, winTop} {
		p, ok := w.pointers[field]
		if !ok {
			continue
		}
		by := winStep
		if field == winOut || field == winTop {
			by = winOutStep
		}
		step := w.bytes(by)
		ADDQ(step, p)
	}
	DECQ(pixels)
	JNZ(LabelRef(w.name + "_pixel"))
	VZEROUPPER()
	RET()
}

func maxWindows(width int, inf Mem) {
	w := newWalk("maxWindows", "sets out to the greatest of each window's cells; a NaN stays.", width, winCell, winOut)
	acc, v := vectorOf(width), vectorOf(width)
	w.emit(func(Register) { VBROADCASTSS(inf, acc) },
		func(at Register) {
			// VMAXPS takes the memory operand if either is a NaN: a NaN comes in, and is kept by not writing over it.
			if width == 64 {
				k := K()
				VCMPPS(U8(ordered), acc, acc, k)
				VMAXPS(w.at(winCell, at), acc, k, acc)
				return
			}
			m := YMM()
			VCMPPS(U8(ordered), acc, acc, m)
			VMAXPS(w.at(winCell, at), acc, v)
			VBLENDVPS(m, v, acc, acc)
		},
		func(i Register) { VMOVUPS(acc, w.at(winOut, i)) })
}

func sumWindows(width int) {
	w := newWalk("sumWindows", "sets out to the sum of scale times each window's cells.", width, winCell, winOut)
	acc, v := vectorOf(width), vectorOf(width)
	w.emit(func(Register) { VXORPS(acc, acc, acc) },
		func(at Register) {
			VMULPS(w.at(winCell, at), w.scale, v)
			VADDPS(v, acc, acc)
		},
		func(i Register) { VMOVUPS(acc, w.at(winOut, i)) })
}

func maxGradWindows(width int) {
	w := newWalk("maxGradWindows", "adds out to grad at each window's first cell that equals top.", width, winCell, winGrad, winOut, winTop)
	top, left, sum := vectorOf(width), vectorOf(width), vectorOf(width)
	w.emit(func(i Register) {
		VMOVUPS(w.at(winTop, i), top)
		VMOVUPS(w.at(winOut, i), left)
	}, func(at Register) {
		if width == 64 {
			k := K()
			VCMPPS(U8(equal), w.at(winCell, at), top, k)
			VMOVUPS(w.at(winGrad, at), sum)
			VADDPS(left, sum, k, sum)
			VMOVUPS(sum, w.at(winGrad, at))
			VXORPS(left, left, k, left)
			return
		}
		m, give := YMM(), YMM()
		VCMPPS(U8(equal), w.at(winCell, at), top, m)
		VANDPS(left, m, give)
		VADDPS(w.at(winGrad, at), give, sum)
		VMOVUPS(sum, w.at(winGrad, at))
		VANDNPS(left, m, left)
	}, func(Register) {})
}

func addWindows(width int) {
	w := newWalk("addWindows", "adds scale·out to grad at each window's cells.", width, winGrad, winOut)
	g, sum := vectorOf(width), vectorOf(width)
	w.emit(func(i Register) { VMULPS(w.at(winOut, i), w.scale, g) },
		func(at Register) {
			VADDPS(w.at(winGrad, at), g, sum)
			VMOVUPS(sum, w.at(winGrad, at))
		}, func(Register) {})
}
