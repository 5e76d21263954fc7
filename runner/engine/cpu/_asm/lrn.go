package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Offsets of the fields of type lines (cpu/lrn.go); a test there holds them.
const (
	lineX = 8 * iota
	lineDY
	lineOut
	lineSums
	lineShares
	lineCount
	lineLen
	linePitch
	lineSize
	lineK
	lineAlpha  = lineK + 4
	lineFactor = lineK + 8
)

// lrn emits the passes of local response normalisation. The sums over a window
// of maps are unaligned loads from a scratch line with zeros around it, in
// ascending order.
func lrn(one Mem) {
	for _, width := range []int{64, 32} {
		lrnSquares(width)
		lrnForward(width, one)
		lrnShares(width, one)
		lrnGrad(width)
	}
}

// A scan is the loop over lines and their vectors that all passes share.
type scan struct {
	name     string
	width    int
	t        Register
	pointers map[int]Register
}

func newScan(name, doc string, width int, pointers ...int) *scan {
	s := &scan{name: name + suffix(width), width: width, pointers: map[int]Register{}}
	TEXT(s.name, NOSPLIT, "func(t *byte)")
	Doc(s.name + " " + doc)
	Pragma("noescape")
	s.t = pointer("t")
	for _, p := range pointers {
		r := GP64()
		MOVQ(Mem{Base: s.t, Disp: p}, r)
		s.pointers[p] = r
	}
	return s
}

func (s *scan) value(off int) VecVirtual {
	v := vectorOf(s.width)
	VBROADCASTSS(Mem{Base: s.t, Disp: off}, v)
	return v
}

func (s *scan) at(field int, i Register) Mem {
	return Mem{Base: s.pointers[field], Index: i, Scale: 1}
}

// emit emits body for every vector; i is its offset in the line, in bytes.
func (s *scan) emit(body func(i Register)) {
	count, length, pitch, i := GP64(), GP64(), GP64(), GP64()
	MOVQ(Mem{Base: s.t, Disp: lineCount}, count)
	MOVQ(Mem{Base: s.t, Disp: lineLen}, length)
	MOVQ(Mem{Base: s.t, Disp: linePitch}, pitch)
	SHLQ(U8(2), length)
	SHLQ(U8(2), pitch)
	Label(s.name + "_line")
	XORQ(i, i)
	Label(s.name + "_vector")
	body(i)
	ADDQ(U8(s.width), i)
	CMPQ(i, length)
	JLT(LabelRef(s.name + "_vector"))
	for _, field := range []int{lineX, lineDY, lineOut} {
		if p, ok := s.pointers[field]; ok {
			ADDQ(length, p)
		}
	}
	for _, field := range []int{lineSums, lineShares} {
		if p, ok := s.pointers[field]; ok {
			ADDQ(pitch, p)
		}
	}
	DECQ(count)
	JNZ(LabelRef(s.name + "_line"))
	VZEROUPPER()
	RET()
}

// window emits the sum of size values from the field's line on, for each lane.
func (s *scan) window(field int, i Register) VecVirtual {
	sum, a, left := vectorOf(s.width), GP64(), GP64()
	LEAQ(s.at(field, i), a)
	MOVQ(Mem{Base: s.t, Disp: lineSize}, left)
	VMOVUPS(Mem{Base: a}, sum)
	Label(s.name + "_window")
	DECQ(left)
	JZ(LabelRef(s.name + "_summed"))
	ADDQ(U8(4), a)
	VADDPS(Mem{Base: a}, sum, sum)
	JMP(LabelRef(s.name + "_window"))
	Label(s.name + "_summed")
	return sum
}

func lrnSquares(width int) {
	s := newScan("lrnSquares", "sets sums = x².", width, lineX, lineSums)
	v := vectorOf(width)
	s.emit(func(i Register) {
		VMOVUPS(s.at(lineX, i), v)
		VMULPS(v, v, v)
		VMOVUPS(v, s.at(lineSums, i))
	})
}

func lrnForward(width int, one Mem) {
	s := newScan("lrnForward", "sets out = x·(k + α·Σ sums)^−¾.", width, lineX, lineOut, lineSums)
	k, alpha, ones := s.value(lineK), s.value(lineAlpha), vectorOf(width)
	VBROADCASTSS(one, ones)
	s.emit(func(i Register) {
		d := s.window(lineSums, i)
		VMULPS(d, alpha, d)
		VADDPS(d, k, d)
		power(width, d, ones, d)
		VMULPS(s.at(lineX, i), d, d)
		VMOVUPS(d, s.at(lineOut, i))
	})
}

func lrnShares(width int, one Mem) {
	s := newScan("lrnShares", "sets shares = dy·x·d^−¾/d and out = dy·d^−¾, d = k + α·Σ sums.", width, lineX, lineDY, lineOut, lineSums, lineShares)
	k, alpha, ones := s.value(lineK), s.value(lineAlpha), vectorOf(width)
	VBROADCASTSS(one, ones)
	p, dy, q := vectorOf(width), vectorOf(width), vectorOf(width)
	s.emit(func(i Register) {
		d := s.window(lineSums, i)
		VMULPS(d, alpha, d)
		VADDPS(d, k, d)
		power(width, d, ones, p)
		VMOVUPS(s.at(lineDY, i), dy)
		VMULPS(s.at(lineX, i), dy, q)
		VMULPS(p, q, q)
		VDIVPS(d, q, q)
		VMOVUPS(q, s.at(lineShares, i))
		VMULPS(p, dy, dy)
		VMOVUPS(dy, s.at(lineOut, i))
	})
}

func lrnGrad(width int) {
	s := newScan("lrnGrad", "subtracts factor·x·Σ shares from out.", width, lineX, lineOut, lineShares)
	factor, x := s.value(lineFactor), vectorOf(width)
	s.emit(func(i Register) {
		sum := s.window(lineShares, i)
		VMULPS(s.at(lineX, i), factor, x)
		VMULPS(sum, x, x)
		VMOVUPS(s.at(lineOut, i), sum)
		VSUBPS(x, sum, sum)
		VMOVUPS(sum, s.at(lineOut, i))
	})
}
