package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Offsets of the fields of type tapRow (cpu/depthwise.go); a test there holds them.
const (
	tapX = 8 * iota
	tapW
	tapInit
	tapOut
	tapChannels
	tapPixels
	tapRows
	tapCols
	tapRow
	tapCol
	tapStep
	tapWRow
	tapWCol
	tapOutStep
	tapAhead
	tapOutAhead
	tapStream
	tapWidth
	tapFloor
)

// tapPixelsAtOnce is how many pixels share a load of a weight, or how many sums go side by side.
const tapPixelsAtOnce = 4

// depthwise emits the kernels of depthwise convolutions. A product is rounded
// before it is added, as in the Go twins.
func depthwise() {
	for _, width := range []int{64, 32} {
		tapSums(width)
		tapGrads(width)
		tapRowGrads(width, 1)
		tapRowGrads(width, 2)
	}
}

func tapField(t Register, off int) Register {
	r := GP64()
	MOVQ(Mem{Base: t, Disp: off}, r)
	return r
}

// move adds a field's number of values to a pointer; tmp is overwritten.
func move(t, p, tmp Register, off int) {
	MOVQ(Mem{Base: t, Disp: off}, tmp)
	LEAQ(Mem{Base: p, Index: tmp, Scale: 4}, p)
}

// unrolledForms are the taps of a row, and the cells from one pixel to the next, that tapSums has code
// of its own for: 3×3 and 5×5 kernels and their gradients, at strides of 1 and 2.
var unrolledForms = []struct{ taps, stride int }{{3, 1}, {2, 1}, {1, 1}, {5, 1}, {3, 2}, {5, 2}}

// tapSums: for four pixels and each two vectors of channels, all taps.
//
// Prediction, Zen 3: a tap of four pixels and two vectors is ten loads, two a
// cycle, eight products and eight additions, about 21 operations of which six
// start in a cycle: 5 cycles, so 45 of 3×3 taps for the 512 bytes that come from
// memory or go there, 11 bytes a cycle.
func tapSums(width int) {
	name := "tapSums" + suffix(width)
	TEXT(name, NOSPLIT, "func(t *byte)")
	Doc(name + " sets out to max(floor, init + Σ x·w).")
	Pragma("noescape")
	t := pointer("t")
	x, out, pixels := tapField(t, tapX), tapField(t, tapOut), tapField(t, tapPixels)
	step, col, wCol := tapField(t, tapStep), tapField(t, tapCol), tapField(t, tapWCol)
	step3 := GP64()
	LEAQ(Mem{Base: step, Index: step, Scale: 2}, step3)
	i, xr, wr, xk, wk, rows, cols := GP64(), GP64(), GP64(), GP64(), GP64(), GP64(), GP64()
	floor, product := vectorOf(width), vectorOf(width)
	VBROADCASTSS(Mem{Base: t, Disp: tapFloor}, floor)

	// sums is the outputs of some pixels for some vectors of channels from i on.
	sums := func(pixels, vectors int, label string) {
		LEAQ(Mem{Base: x, Index: i, Scale: 4}, xr)
		MOVQ(Mem{Base: t, Disp: tapW}, wr)
		LEAQ(Mem{Base: wr, Index: i, Scale: 4}, wr)
		MOVQ(Mem{Base: t, Disp: tapInit}, xk)
		acc := make([][]VecVirtual, pixels)
		weights := make([]VecVirtual, vectors)
		for p := range acc {
			for v := range vectors {
				acc[p] = append(acc[p], vectorOf(width))
				VMOVUPS(Mem{Base: xk, Index: i, Scale: 4, Disp: v * width}, acc[p][v])
			}
		}
		MOVQ(Mem{Base: t, Disp: tapRows}, rows)
		TESTQ(rows, rows)
		JE(LabelRef(label + "_store"))
		Label(label + "_row")
		MOVQ(xr, xk)
		MOVQ(wr, wk)
		MOVQ(Mem{Base: t, Disp: tapCols}, cols)
		Label(label + "_tap")
		for v := range weights {
			weights[v] = vectorOf(width)
			VMOVUPS(Mem{Base: wk, Disp: v * width}, weights[v])
		}
		at := []Mem{
			{Base: xk}, {Base: xk, Index: step, Scale: 4}, {Base: xk, Index: step, Scale: 8}, {Base: xk, Index: step3, Scale: 4},
		}
		for p := range acc {
			for v := range vectors {
				VMULPS(at[p].Offset(v*width), weights[v], product)
				VADDPS(product, acc[p][v], acc[p][v])
			}
		}
		LEAQ(Mem{Base: xk, Index: col, Scale: 4}, xk)
		LEAQ(Mem{Base: wk, Index: wCol, Scale: 4}, wk)
		DECQ(cols)
		JNZ(LabelRef(label + "_tap"))
		move(t, xr, xk, tapRow)
		move(t, wr, wk, tapWRow)
		DECQ(rows)
		JNZ(LabelRef(label + "_row"))
		Label(label + "_store")
		LEAQ(Mem{Base: out, Index: i, Scale: 4}, xk)
		for p := range acc {
			if p > 0 {
				move(t, xk, wk, tapOutStep)
			}
			for v := range vectors {
				VMAXPS(acc[p][v], floor, acc[p][v]) // of a NaN and a number the first operand here is taken: a NaN stays
				VMOVUPS(acc[p][v], Mem{Base: xk, Disp: v * width})
			}
		}
	}
	// unrolled is sums where a row has so many taps and a pixel's cells lie stride cells from the last one's:
	// a cell is loaded once for all pixels of the row, and a vector's weights rest in registers.
	unrolled := func(pixels, vectors, taps, stride int, label string) {
		LEAQ(Mem{Base: x, Index: i, Scale: 4}, xr)
		MOVQ(Mem{Base: t, Disp: tapW}, wr)
		LEAQ(Mem{Base: wr, Index: i, Scale: 4}, wr)
		MOVQ(Mem{Base: t, Disp: tapInit}, xk)
		acc := make([][]VecVirtual, pixels)
		for p := range acc {
			for v := range vectors {
				acc[p] = append(acc[p], vectorOf(width))
				VMOVUPS(Mem{Base: xk, Index: i, Scale: 4, Disp: v * width}, acc[p][v])
			}
		}
		MOVQ(Mem{Base: t, Disp: tapRows}, rows)
		Label(label + "_row")
		for v := range vectors {
			MOVQ(wr, wk)
			weights := make([]VecVirtual, taps)
			for k := range weights {
				weights[k] = vectorOf(width)
				VMOVUPS(Mem{Base: wk, Disp: v * width}, weights[k])
				if k < taps-1 {
					LEAQ(Mem{Base: wk, Index: wCol, Scale: 4}, wk)
				}
			}
			MOVQ(xr, xk)
			cells := stride*(pixels-1) + taps
			for j := range cells {
				cell := vectorOf(width)
				VMOVUPS(Mem{Base: xk, Disp: v * width}, cell)
				if j < cells-1 {
					LEAQ(Mem{Base: xk, Index: col, Scale: 4}, xk)
				}
				for p := range acc {
					if k := j - stride*p; 0 <= k && k < taps {
						product := vectorOf(width)
						VMULPS(cell, weights[k], product)
						VADDPS(product, acc[p][v], acc[p][v])
					}
				}
			}
		}
		move(t, xr, xk, tapRow)
		move(t, wr, wk, tapWRow)
		DECQ(rows)
		JNZ(LabelRef(label + "_row"))
		store := func(as func(Op, Op), beyond string) {
			LEAQ(Mem{Base: out, Index: i, Scale: 4}, xk)
			for p := range acc {
				if p > 0 {
					move(t, xk, wk, tapOutStep)
				}
				for v := range vectors {
					as(acc[p][v], Mem{Base: xk, Disp: v * width})
				}
			}
			if beyond != "" {
				JMP(LabelRef(beyond))
			}
		}
		for p := range acc {
			for v := range vectors {
				VMAXPS(acc[p][v], floor, acc[p][v])
			}
		}
		if vectors*width < 64 { // half a line
			store(func(v, m Op) { VMOVUPS(v, m) }, "")
			return
		}
		CMPQ(Mem{Base: t, Disp: tapStream}, U8(0))
		JE(LabelRef(label + "_kept"))
		store(VMOVNTPS, label+"_stored")
		Label(label + "_kept")
		store(func(v, m Op) { VMOVUPS(v, m) }, "")
		Label(label + "_stored")
	}
	// ask has memory send the lines of the next row of cells and of outputs, those of the same place.
	ask := func(pixels, stride int, label string) {
		MOVQ(Mem{Base: t, Disp: tapAhead}, xk)
		LEAQ(Mem{Base: x, Index: xk, Scale: 4}, xk)
		LEAQ(Mem{Base: xk, Index: i, Scale: 4}, xk)
		MOVQ(Mem{Base: t, Disp: tapRow}, wk)
		for c := range pixels * stride {
			if c > 0 {
				LEAQ(Mem{Base: xk, Index: col, Scale: 4}, xk)
			}
			PREFETCHT0(Mem{Base: xk})
			if stride > 1 {
				PREFETCHT0(Mem{Base: xk, Index: wk, Scale: 4})
			}
		}
		CMPQ(Mem{Base: t, Disp: tapStream}, U8(0))
		JNE(LabelRef(label + "_asked"))
		MOVQ(Mem{Base: t, Disp: tapOutAhead}, xk)
		LEAQ(Mem{Base: out, Index: xk, Scale: 4}, xk)
		LEAQ(Mem{Base: xk, Index: i, Scale: 4}, xk)
		for p := range pixels {
			if p > 0 {
				move(t, xk, wk, tapOutStep)
			}
			PREFETCHT0(Mem{Base: xk})
		}
		Label(label + "_asked")
	}
	// several is all channels of some pixels.
	several := func(pixels int, label string) {
		MOVQ(Mem{Base: t, Disp: tapRows}, rows)
		TESTQ(rows, rows)
		JE(LabelRef(label + "_any"))
		MOVQ(Mem{Base: t, Disp: tapCols}, cols)
		for _, form := range unrolledForms {
			if pixels == 1 && form.stride > 1 {
				continue // one pixel's cells do not depend on it
			}
			next := fmt.Sprintf("%s_not%dby%d", label, form.taps, form.stride)
			CMPQ(cols, U8(form.taps))
			JNE(LabelRef(next))
			if pixels > 1 {
				MOVQ(col, xk)
				for range form.stride - 1 {
					ADDQ(col, xk)
				}
				CMPQ(step, xk)
				JNE(LabelRef(next))
			}
			vectors := 64 / width
			here := fmt.Sprintf("%s_%dby%d", label, form.taps, form.stride)
			XORQ(i, i)
			if vectors == 2 {
				MOVQ(Mem{Base: t, Disp: tapChannels}, cols)
				SUBQ(U8(16), cols)
				JL(LabelRef(here + "_last"))
			}
			Label(here + "_line")
			ask(pixels, form.stride, here)
			unrolled(pixels, vectors, form.taps, form.stride, here)
			ADDQ(U8(16), i)
			if vectors == 2 {
				CMPQ(i, cols)
				JLE(LabelRef(here + "_line"))
				Label(here + "_last")
			}
			CMPQ(i, Mem{Base: t, Disp: tapChannels})
			if vectors == 2 {
				JE(LabelRef(label + "_on"))
				unrolled(pixels, 1, form.taps, form.stride, here+"_half")
			} else {
				JL(LabelRef(here + "_line"))
			}
			JMP(LabelRef(label + "_on"))
			Label(next)
		}
		Label(label + "_any")
		XORQ(i, i)
		MOVQ(Mem{Base: t, Disp: tapChannels}, cols)
		CMPQ(cols, U8(2*width/4))
		JLT(LabelRef(label + "_last"))
		Label(label + "_pair")
		sums(pixels, 2, label+"_two")
		ADDQ(U8(2*width/4), i)
		MOVQ(Mem{Base: t, Disp: tapChannels}, cols)
		SUBQ(i, cols)
		CMPQ(cols, U8(2*width/4))
		JGE(LabelRef(label + "_pair"))
		Label(label + "_last")
		TESTQ(cols, cols)
		JE(LabelRef(label + "_on"))
		sums(pixels, 1, label+"_one")
		Label(label + "_on")
		for range pixels {
			LEAQ(Mem{Base: x, Index: step, Scale: 4}, x)
			move(t, out, xk, tapOutStep)
		}
	}

	SUBQ(U8(tapPixelsAtOnce), pixels)
	JL(LabelRef(name + "_rest"))
	Label(name + "_four")
	several(tapPixelsAtOnce, name+"_four")
	SUBQ(U8(tapPixelsAtOnce), pixels)
	JGE(LabelRef(name + "_four"))
	Label(name + "_rest")
	ADDQ(U8(tapPixelsAtOnce), pixels)
	JE(LabelRef(name + "_end"))
	Label(name + "_single")
	several(1, name+"_single")
	DECQ(pixels)
	JNZ(LabelRef(name + "_single"))
	Label(name + "_end")
	VZEROUPPER()
	RET()
}

// tapsAtOnce is how many taps of a row share a load of dy: three fill a 3×3 kernel's row, and
// their sums the registers.
const tapsAtOnce = 3

// tapGrads: for up to three taps and each vector of channels, all pixels, a tap's
// in four sums that do not wait for each other.
func tapGrads(width int) {
	name := "tapGrads" + suffix(width)
	TEXT(name, NOSPLIT, "func(t *byte)")
	Doc(name + " adds Σ x·out over the pixels to w.")
	Pragma("noescape")
	t := pointer("t")
	// Locals: there are more pointers than registers.
	frame := AllocLocal(32)
	xr, wr, rows, cols := frame.Offset(0), frame.Offset(8), frame.Offset(16), frame.Offset(24)
	step, outStep := tapField(t, tapStep), tapField(t, tapOutStep)
	step3, outStep3 := GP64(), GP64()
	LEAQ(Mem{Base: step, Index: step, Scale: 2}, step3)
	LEAQ(Mem{Base: outStep, Index: outStep, Scale: 2}, outStep3)
	i, xk, wk, dp, pixels := GP64(), GP64(), GP64(), GP64(), GP64()
	xp := [tapsAtOnce]Register{GP64(), GP64(), GP64()}
	dy, product := vectorOf(width), vectorOf(width)
	set := func(off int, local Mem) {
		MOVQ(Mem{Base: t, Disp: off}, i)
		MOVQ(i, local)
	}
	along := func(base, one, three Register, p int) Mem {
		return []Mem{{Base: base}, {Base: base, Index: one, Scale: 4}, {Base: base, Index: one, Scale: 8},
			{Base: base, Index: three, Scale: 4}}[p]
	}

	// some is the gradients of some taps, which begin at xk and wk; dp ends as the next taps' wk.
	some := func(taps int, label string) {
		XORQ(i, i)
		Label(label + "_vector")
		LEAQ(Mem{Base: xk, Index: i, Scale: 4}, xp[0])
		for k := 1; k < taps; k++ {
			MOVQ(Mem{Base: t, Disp: tapCol}, xp[k])
			LEAQ(Mem{Base: xp[k-1], Index: xp[k], Scale: 4}, xp[k])
		}
		MOVQ(Mem{Base: t, Disp: tapOut}, dp)
		LEAQ(Mem{Base: dp, Index: i, Scale: 4}, dp)
		acc := make([][]VecVirtual, taps)
		for k := range acc {
			for p := range tapPixelsAtOnce {
				acc[k] = append(acc[k], vectorOf(width))
				VXORPS(acc[k][p], acc[k][p], acc[k][p])
			}
		}
		pixel := func(p, sum int) {
			VMOVUPS(along(dp, outStep, outStep3, p), dy)
			for k := range acc {
				VMULPS(along(xp[k], step, step3, p), dy, product)
				VADDPS(product, acc[k][sum], acc[k][sum])
			}
		}
		MOVQ(Mem{Base: t, Disp: tapPixels}, pixels)
		SUBQ(U8(tapPixelsAtOnce), pixels)
		JL(LabelRef(label + "_rest"))
		Label(label + "_four")
		for p := range tapPixelsAtOnce {
			pixel(p, p)
		}
		for k := range taps {
			LEAQ(Mem{Base: xp[k], Index: step, Scale: 8}, xp[k])
			LEAQ(Mem{Base: xp[k], Index: step, Scale: 8}, xp[k])
		}
		LEAQ(Mem{Base: dp, Index: outStep, Scale: 8}, dp)
		LEAQ(Mem{Base: dp, Index: outStep, Scale: 8}, dp)
		SUBQ(U8(tapPixelsAtOnce), pixels)
		JGE(LabelRef(label + "_four"))
		Label(label + "_rest")
		ADDQ(U8(tapPixelsAtOnce), pixels)
		JE(LabelRef(label + "_sum"))
		Label(label + "_one")
		pixel(0, 0)
		for k := range taps {
			LEAQ(Mem{Base: xp[k], Index: step, Scale: 4}, xp[k])
		}
		LEAQ(Mem{Base: dp, Index: outStep, Scale: 4}, dp)
		DECQ(pixels)
		JNZ(LabelRef(label + "_one"))
		Label(label + "_sum")
		MOVQ(wk, dp)
		for _, a := range acc {
			VADDPS(a[1], a[0], a[0])
			VADDPS(a[3], a[2], a[2])
			VADDPS(a[2], a[0], a[0])
			VADDPS(Mem{Base: dp, Index: i, Scale: 4}, a[0], a[0])
			VMOVUPS(a[0], Mem{Base: dp, Index: i, Scale: 4})
			move(t, dp, pixels, tapWCol)
		}
		ADDQ(U8(width/4), i)
		CMPQ(i, Mem{Base: t, Disp: tapChannels})
		JLT(LabelRef(label + "_vector"))
		MOVQ(dp, wk)
		for range taps {
			move(t, xk, dp, tapCol)
		}
	}

	set(tapX, xr)
	set(tapW, wr)
	set(tapRows, rows)
	Label(name + "_row")
	MOVQ(xr, xk)
	MOVQ(wr, wk)
	set(tapCols, cols)
	Label(name + "_taps")
	CMPQ(cols, U8(tapsAtOnce))
	JLT(LabelRef(name + "_few"))
	some(tapsAtOnce, name+"_three")
	SUBQ(U8(tapsAtOnce), cols)
	JNZ(LabelRef(name + "_taps"))
	JMP(LabelRef(name + "_next"))
	Label(name + "_few")
	some(1, name+"_tap")
	DECQ(cols)
	JNZ(LabelRef(name + "_few"))
	Label(name + "_next")
	for _, of := range []struct {
		local Mem
		by    int
	}{{xr, tapRow}, {wr, tapWRow}} {
		MOVQ(Mem{Base: t, Disp: of.by}, i)
		SHLQ(U8(2), i)
		ADDQ(i, of.local)
	}
	DECQ(rows)
	JNZ(LabelRef(name + "_row"))
	VZEROUPPER()
	RET()
}

// tapRowGrads: for each vector of channels one walk along the cells of up to three rows, with a sum for each of
// nine taps. A cell is loaded once: the pixels that it reaches have their dy in registers.
//
// Prediction, Zen 3: a pixel is nine products and nine additions, 4.5 cycles, of 64 bytes from memory.
func tapRowGrads(width, stride int) {
	name := fmt.Sprintf("tapRowGradsBy%d%s", stride, suffix(width))
	TEXT(name, NOSPLIT, "func(t *byte)")
	Doc(name + " adds the gradients of 3×3 taps over a row of pixels to w.")
	Pragma("noescape")
	t := pointer("t")
	row, col := tapField(t, tapRow), tapField(t, tapCol)
	farX, farDy := tapField(t, tapX), tapField(t, tapOut)
	SHLQ(U8(2), col)
	i, left, xp, dp, wp, tmp := GP64(), GP64(), GP64(), GP64(), GP64(), GP64()
	MOVQ(Mem{Base: t, Disp: tapAhead}, tmp)
	LEAQ(Mem{Base: farX, Index: tmp, Scale: 4}, farX)
	MOVQ(Mem{Base: t, Disp: tapOutAhead}, tmp)
	LEAQ(Mem{Base: farDy, Index: tmp, Scale: 4}, farDy)
	before, here, next, cell, product := vectorOf(width), vectorOf(width), vectorOf(width), vectorOf(width), vectorOf(width)

	walk := func(rows int, label string) {
		acc := make([][3]VecVirtual, rows)
		XORQ(i, i)
		Label(label + "_vector")
		MOVQ(Mem{Base: t, Disp: tapX}, xp)
		LEAQ(Mem{Base: xp, Index: i, Scale: 4}, xp)
		MOVQ(Mem{Base: t, Disp: tapOut}, dp)
		LEAQ(Mem{Base: dp, Index: i, Scale: 4}, dp)
		for r := range acc {
			for k := range acc[r] {
				acc[r][k] = vectorOf(width)
				VXORPS(acc[r][k], acc[r][k], acc[r][k])
			}
		}
		// cells adds what a column of cells gives to some taps, whose dy are in order.
		cells := func(taps []int, dy ...VecVirtual) {
			for r := range acc {
				VMOVUPS([]Mem{{Base: xp}, {Base: xp, Index: row, Scale: 4}, {Base: xp, Index: row, Scale: 8}}[r], cell)
				for n, k := range taps {
					VMULPS(cell, dy[n], product)
					VADDPS(product, acc[r][k], acc[r][k])
				}
			}
			ADDQ(col, xp)
		}
		load := func(to VecVirtual) {
			VMOVUPS(Mem{Base: dp}, to)
			ADDQ(col, dp)
		}
		ask := func(lines int) {
			for l := range lines {
				PREFETCHT0(Mem{Base: farX, Disp: 64 * l})
			}
			PREFETCHT0(Mem{Base: farDy})
		}
		step := func(lines int) {
			ADDQ(U32(uint32(64*lines)), farX)
			ADDQ(U8(64), farDy)
		}
		MOVQ(Mem{Base: t, Disp: tapPixels}, left)
		if stride == 1 {
			load(here)
			load(next)
			cells([]int{0, 1}, next, here)
			SUBQ(U8(2), left)
			JE(LabelRef(label + "_last"))
			Label(label + "_pixel")
			VMOVAPS(here, before)
			VMOVAPS(next, here)
			load(next)
			cells([]int{0, 1, 2}, next, here, before)
			TESTQ(U32(16-1), i) // once a line
			JNE(LabelRef(label + "_asked"))
			ask(1)
			step(1)
			Label(label + "_asked")
			DECQ(left)
			JNZ(LabelRef(label + "_pixel"))
			Label(label + "_last")
			cells([]int{1, 2}, next, here)
		} else {
			load(here)
			cells([]int{1}, here)
			DECQ(left)
			JE(LabelRef(label + "_last"))
			Label(label + "_pixel")
			VMOVAPS(here, before)
			load(here)
			cells([]int{0, 2}, here, before)
			cells([]int{1}, here)
			TESTQ(U32(16-1), i)
			JNE(LabelRef(label + "_asked"))
			ask(4)
			step(4)
			Label(label + "_asked")
			DECQ(left)
			JNZ(LabelRef(label + "_pixel"))
			Label(label + "_last")
			MOVQ(Mem{Base: t, Disp: tapWidth}, tmp)
			TESTQ(U32(1), tmp)
			JNE(LabelRef(label + "_sum"))
			cells([]int{2}, here)
			Label(label + "_sum")
		}
		MOVQ(Mem{Base: t, Disp: tapW}, wp)
		LEAQ(Mem{Base: wp, Index: i, Scale: 4}, wp)
		for r := range acc {
			for k := range acc[r] {
				VADDPS(Mem{Base: wp}, acc[r][k], acc[r][k])
				VMOVUPS(acc[r][k], Mem{Base: wp})
				if r < rows-1 || k < 2 {
					move(t, wp, tmp, tapWCol) // rows of taps follow each other
				}
			}
		}
		ADDQ(U8(width/4), i)
		CMPQ(i, Mem{Base: t, Disp: tapChannels})
		JLT(LabelRef(label + "_vector"))
		VZEROUPPER()
		RET()
	}
	CMPQ(Mem{Base: t, Disp: tapRows}, U8(2))
	JE(LabelRef(name + "_two"))
	JL(LabelRef(name + "_one"))
	walk(3, name+"_3")
	Label(name + "_two")
	walk(2, name+"_2")
	Label(name + "_one")
	walk(1, name+"_1")
}
