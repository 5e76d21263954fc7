package main

import (
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
	// several is all channels of some pixels.
	several := func(pixels int, label string) {
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
