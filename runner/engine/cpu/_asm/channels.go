package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// channels emits the kernels in which every channel, a column of rows of values, has
// constants of its own. A vector of channels walks down the rows, as in columnSums.
func channels() {
	for _, width := range []int{64, 32} {
		plus(width)
		down(width, "columnSquares", "adds the squares of count rows, less the mean, to n sums",
			[]string{"x"}, []string{"mean"}, "sum", func(v map[string]VecVirtual, t VecVirtual) {
				VSUBPS(v["mean"], v["x"], t)
				VMULPS(t, t, t)
				VADDPS(t, v["sum"], v["sum"])
			})
		down(width, "columnProducts", "adds the products of count rows of dy and of x, less the mean, to n sums",
			[]string{"x", "dy"}, []string{"mean"}, "sum", func(v map[string]VecVirtual, t VecVirtual) {
				VSUBPS(v["mean"], v["x"], t)
				VMULPS(t, v["dy"], t)
				VADDPS(t, v["sum"], v["sum"])
			})
		down(width, "normalise", "sets out = factor·(x − mean) + offset in n columns of count rows",
			[]string{"x"}, []string{"mean", "factor", "offset"}, "", func(v map[string]VecVirtual, t VecVirtual) {
				VSUBPS(v["mean"], v["x"], t)
				VMULPS(v["factor"], t, t)
				VADDPS(v["offset"], t, t)
			})
		down(width, "normaliseGrad", "sets out = factor·(dy − (offset + (x − mean)·slope)) in n columns of count rows",
			[]string{"x", "dy"}, []string{"mean", "factor", "offset", "slope"}, "", func(v map[string]VecVirtual, t VecVirtual) {
				VSUBPS(v["mean"], v["x"], t)
				VMULPS(v["slope"], t, t)
				VADDPS(v["offset"], t, t)
				VSUBPS(t, v["dy"], t)
				VMULPS(v["factor"], t, t)
			})
	}
}

func plus(width int) {
	name := "plus" + suffix(width)
	TEXT(name, NOSPLIT, "func(y, a, b *float32, n int)")
	Doc(name + " sets y = a + b for n values, a multiple of the vector's length.")
	Pragma("noescape")
	y, a, b, n := pointer("y"), pointer("a"), pointer("b"), pointer("n")
	v := vectorOf(width)
	vectorLoop(name, width, n, []Register{y, a, b}, func() {
		VMOVUPS(Mem{Base: a}, v)
		VADDPS(Mem{Base: b}, v, v)
		VMOVUPS(v, Mem{Base: y})
	})
}

// down emits a loop over vectors of columns and, in it, over rows that lie stride values
// apart. body computes on what the rows hold and on the columns' constants. With a sum it
// adds to that; without, it leaves what is stored in a row of out.
func down(width int, name, what string, rows, constants []string, sum string,
	body func(map[string]VecVirtual, VecVirtual)) {
	name += suffix(width)
	signature := "func("
	if sum == "" {
		signature += "out"
	} else {
		signature += sum
	}
	for _, p := range append(append([]string{}, rows...), constants...) {
		signature += ", " + p
	}
	TEXT(name, NOSPLIT, signature+" *float32, n, count, stride int)")
	Doc(name + " " + what + ", stride values apart, n a multiple of the vector's length.")
	Pragma("noescape")
	result := sum
	if sum == "" {
		result = "out"
	}
	to := pointer(result)
	moving := []Register{to}
	base := map[string]Register{}
	for _, p := range append(append([]string{}, rows...), constants...) {
		base[p] = pointer(p)
		moving = append(moving, base[p])
	}
	n, stride := pointer("n"), pointer("stride")
	SHLQ(U8(2), stride)
	v, t := map[string]VecVirtual{}, vectorOf(width)
	for _, p := range append(append([]string{}, rows...), constants...) {
		v[p] = vectorOf(width)
	}
	vectorLoop(name, width, n, moving, func() {
		left, at := pointer("count"), GP64()
		XORQ(at, at)
		for _, p := range constants {
			VMOVUPS(Mem{Base: base[p]}, v[p])
		}
		if sum != "" {
			v[sum] = vectorOf(width)
			VMOVUPS(Mem{Base: to}, v[sum])
		}
		Label(name + "_row")
		for _, p := range rows {
			VMOVUPS(Mem{Base: base[p], Index: at, Scale: 1}, v[p])
		}
		body(v, t)
		if sum == "" {
			VMOVUPS(t, Mem{Base: to, Index: at, Scale: 1})
		}
		ADDQ(stride, at)
		DECQ(left)
		JNZ(LabelRef(name + "_row"))
		if sum != "" {
			VMOVUPS(v[sum], Mem{Base: to})
		}
	})
}
