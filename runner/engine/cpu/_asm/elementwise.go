package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// vectorOf is a register of width bytes.
func vectorOf(width int) VecVirtual {
	if width == 64 {
		return ZMM()
	}
	return YMM()
}

// suffix names the instruction set of a width.
func suffix(width int) string {
	if width == 64 {
		return "AVX512"
	}
	return "AVX2"
}

// Predicates of VCMPPS.
const (
	equal   = 0  // ordered
	ordered = 7  // neither is a NaN
	greater = 30 // ordered, quiet
)

// keepWhere sets dst to value where a (predicate) b holds and to 0 elsewhere.
func keepWhere(width int, predicate uint8, a, b, value, dst VecVirtual) {
	if width == 64 {
		k := K()
		VCMPPS(U8(predicate), b, a, k)
		VMOVAPS_Z(value, k, dst)
		return
	}
	m := YMM()
	VCMPPS(U8(predicate), b, a, m)
	VANDPS(value, m, dst)
}

// elementwise emits the kernels that run over long vectors. They use only
// operations that are rounded correctly, in their Go twin's order, so they give
// the same bits as it.
func elementwise() {
	one := GLOBL("one", RODATA|NOPTR)
	DATA(0, F32(1))
	for _, width := range []int{64, 32} {
		reluGrad(width)
		relu(width)
		axpy(width)
		sgd(width)
		columnSums(width)
	}
	lrn(one)
	prefetchRows()
	copyRows()
	fmas("fmasAVX512", 64, 24)
	fmas("fmasAVX2", 32, 12)
}

// vectorLoop emits a loop over n values, a multiple of the vector: body works at the pointers, which then move on.
func vectorLoop(name string, width int, n Register, pointers []Register, body func()) {
	Label(name + "_loop")
	CMPQ(n, U8(0))
	JLE(LabelRef(name + "_end"))
	body()
	for _, p := range pointers {
		ADDQ(U8(width), p)
	}
	SUBQ(U8(width/4), n)
	JMP(LabelRef(name + "_loop"))
	Label(name + "_end")
	VZEROUPPER()
	RET()
}

func pointer(name string) Register { return Load(Param(name), GP64()) }

func broadcast(name string, width int) VecVirtual {
	v := vectorOf(width)
	m, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	VBROADCASTSS(m.Addr, v)
	return v
}

// power sets p = d^−3/4.
func power(width int, d, ones, p VecVirtual) {
	root, fourth := vectorOf(width), vectorOf(width)
	VSQRTPS(d, root)
	VSQRTPS(root, fourth)
	VMULPS(root, fourth, root)
	VDIVPS(root, ones, p)
}

func reluGrad(width int) {
	name := "reluGrad" + suffix(width)
	TEXT(name, NOSPLIT, "func(dx, y, dy *float32, n int)")
	Doc(name + " sets dx = y > 0 ? dy : 0 for n values, a multiple of the vector's length.")
	Pragma("noescape")
	dx, y, dy, n := pointer("dx"), pointer("y"), pointer("dy"), pointer("n")
	zero, a, g := vectorOf(width), vectorOf(width), vectorOf(width)
	VXORPS(zero, zero, zero)
	vectorLoop(name, width, n, []Register{dx, y, dy}, func() {
		VMOVUPS(Mem{Base: y}, a)
		VMOVUPS(Mem{Base: dy}, g)
		keepWhere(width, greater, a, zero, g, g)
		VMOVUPS(g, Mem{Base: dx})
	})
}

func relu(width int) {
	name := "relu" + suffix(width)
	TEXT(name, NOSPLIT, "func(y, x *float32, n int)")
	Doc(name + " sets y = max(x, 0) for n values, a multiple of the vector's length.")
	Pragma("noescape")
	y, x, n := pointer("y"), pointer("x"), pointer("n")
	zero, a := vectorOf(width), vectorOf(width)
	VXORPS(zero, zero, zero)
	vectorLoop(name, width, n, []Register{y, x}, func() {
		VMAXPS(Mem{Base: x}, zero, a) // of a NaN and a number the memory operand is taken: a NaN stays
		VMOVUPS(a, Mem{Base: y})
	})
}

func axpy(width int) {
	name := "axpy" + suffix(width)
	TEXT(name, NOSPLIT, "func(dst, src *float32, n int, a float32)")
	Doc(name + " adds a·src to dst for n values, a multiple of the vector's length.")
	Pragma("noescape")
	dst, src, n := pointer("dst"), pointer("src"), pointer("n")
	a, v := broadcast("a", width), vectorOf(width)
	vectorLoop(name, width, n, []Register{dst, src}, func() {
		VMULPS(Mem{Base: src}, a, v)
		VADDPS(Mem{Base: dst}, v, v)
		VMOVUPS(v, Mem{Base: dst})
	})
}

func sgd(width int) {
	name := "sgd" + suffix(width)
	TEXT(name, NOSPLIT, "func(w, v, dw *float32, n int, rate, decay, momentum float32)")
	Doc(name + " sets v = momentum·v − decay·w − rate·dw and adds it to w, for n values, a multiple of the vector's length.")
	Pragma("noescape")
	w, v, g, n := pointer("w"), pointer("v"), pointer("dw"), pointer("n")
	rate, decay, momentum := broadcast("rate", width), broadcast("decay", width), broadcast("momentum", width)
	weight, next, part := vectorOf(width), vectorOf(width), vectorOf(width)
	vectorLoop(name, width, n, []Register{w, v, g}, func() {
		VMOVUPS(Mem{Base: w}, weight)
		VMULPS(Mem{Base: v}, momentum, next)
		VMULPS(weight, decay, part)
		VSUBPS(part, next, next)
		VMULPS(Mem{Base: g}, rate, part)
		VSUBPS(part, next, next)
		VMOVUPS(next, Mem{Base: v})
		VADDPS(next, weight, weight)
		VMOVUPS(weight, Mem{Base: w})
	})
}

// columnSums keeps one vector of sums in a register and walks down the rows.
// The rows of a chunk lie in the cache after the first vector has passed.
func columnSums(width int) {
	name := "columnSums" + suffix(width)
	TEXT(name, NOSPLIT, "func(sum, rows *float32, n, count, stride int)")
	Doc(name + " adds count rows, stride values apart, to n sums, n a multiple of the vector's length.")
	Pragma("noescape")
	sum, rows, n, stride := pointer("sum"), pointer("rows"), pointer("n"), pointer("stride")
	SHLQ(U8(2), stride)
	acc := vectorOf(width)
	vectorLoop(name, width, n, []Register{sum, rows}, func() {
		at, left := GP64(), pointer("count")
		MOVQ(rows, at)
		VMOVUPS(Mem{Base: sum}, acc)
		Label(name + "_row")
		VADDPS(Mem{Base: at}, acc, acc)
		ADDQ(stride, at)
		DECQ(left)
		JNZ(LabelRef(name + "_row"))
		VMOVUPS(acc, Mem{Base: sum})
	})
}

// fmas emits rounds of independent fused multiply-adds that touch no memory: the core's peak.
// An FMA takes 4 cycles on Zen 4 and two 256-bit ones start each cycle, so 12 chains hide the latency.
func fmas(name string, width, chains int) {
	TEXT(name, NOSPLIT, "func(rounds int)")
	Doc(fmt.Sprintf("%s does %d fused multiply-adds of vectors a round.", name, chains))
	rounds := pointer("rounds")
	acc := make([]VecVirtual, chains)
	for i := range acc {
		acc[i] = vectorOf(width)
		VXORPS(acc[i], acc[i], acc[i])
	}
	x := vectorOf(width)
	VXORPS(x, x, x)
	Label(name + "_loop")
	for _, a := range acc {
		VFMADD231PS(x, x, a)
	}
	DECQ(rounds)
	JNZ(LabelRef(name + "_loop"))
	VZEROUPPER()
	RET()
}

// prefetchRows asks for pieces of rows, as wide as a panel, before they are
// needed: they are too short for the hardware to guess the next.
func prefetchRows() {
	TEXT("prefetchRows", NOSPLIT, "func(p *float32, rows, stride, n int)")
	Doc("prefetchRows asks for n values, a multiple of 16, of each of some rows, stride values apart.")
	Pragma("noescape")
	p, rows, stride, n := pointer("p"), pointer("rows"), pointer("stride"), pointer("n")
	SHLQ(U8(2), stride)
	Label("prefetchRows_loop")
	CMPQ(rows, U8(0))
	JLE(LabelRef("prefetchRows_end"))
	line, left := GP64(), GP64()
	MOVQ(p, line)
	MOVQ(n, left)
	Label("prefetchRows_line")
	PREFETCHT0(Mem{Base: line})
	ADDQ(U8(64), line)
	SUBQ(U8(16), left)
	JG(LabelRef("prefetchRows_line"))
	ADDQ(stride, p)
	DECQ(rows)
	JMP(LabelRef("prefetchRows_loop"))
	Label("prefetchRows_end")
	RET()
}

// copyRows copies pieces of rows, as wide as a panel, together.
func copyRows() {
	TEXT("copyRows", NOSPLIT, "func(to, from *float32, rows, stride, n int)")
	Doc("copyRows copies n values, a multiple of 16, of each of some rows, stride values apart, one behind the other.")
	Pragma("noescape")
	to, from, rows, stride, n := pointer("to"), pointer("from"), pointer("rows"), pointer("stride"), pointer("n")
	SHLQ(U8(2), stride)
	low, high := YMM(), YMM()
	Label("copyRows_loop")
	CMPQ(rows, U8(0))
	JLE(LabelRef("copyRows_end"))
	line, left := GP64(), GP64()
	MOVQ(from, line)
	MOVQ(n, left)
	Label("copyRows_line")
	VMOVUPS(Mem{Base: line}, low)
	VMOVUPS(Mem{Base: line, Disp: 32}, high)
	VMOVUPS(low, Mem{Base: to})
	VMOVUPS(high, Mem{Base: to, Disp: 32})
	ADDQ(U8(64), line)
	ADDQ(U8(64), to)
	SUBQ(U8(16), left)
	JG(LabelRef("copyRows_line"))
	ADDQ(stride, from)
	DECQ(rows)
	JMP(LabelRef("copyRows_loop"))
	Label("copyRows_end")
	VZEROUPPER()
	RET()
}
