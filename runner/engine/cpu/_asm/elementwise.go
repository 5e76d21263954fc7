package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// elementwise emits the kernels that run over one long vector. They use only
// operations that are rounded correctly, so they give the same bits as their Go twins.
func elementwise() {
	one := GLOBL("one", RODATA|NOPTR)
	DATA(0, F32(1))
	powers("powersAVX512", 64, one)
	powers("powersAVX2", 32, one)
	fmas("fmasAVX512", 64, 24)
	fmas("fmasAVX2", 32, 12)
}

// powers emits p = d^−3/4 = 1/(√d·√√d) for n values, n a multiple of the vector.
func powers(name string, width int, one Mem) {
	TEXT(name, NOSPLIT, "func(p, d *float32, n int)")
	Doc(name + " sets p = d^−0.75 for n values, a multiple of the vector's length.")
	Pragma("noescape")
	p, d, n := Load(Param("p"), GP64()), Load(Param("d"), GP64()), Load(Param("n"), GP64())
	ones, root, fourth := vectorOf(width), vectorOf(width), vectorOf(width)
	VBROADCASTSS(one, ones)
	Label(name + "_loop")
	CMPQ(n, U8(0))
	JLE(LabelRef(name + "_end"))
	VSQRTPS(Mem{Base: d}, root)
	VSQRTPS(root, fourth)
	VMULPS(root, fourth, root)
	VDIVPS(root, ones, root)
	VMOVUPS(root, Mem{Base: p})
	ADDQ(U8(width), p)
	ADDQ(U8(width), d)
	SUBQ(U8(width/4), n)
	JMP(LabelRef(name + "_loop"))
	Label(name + "_end")
	VZEROUPPER()
	RET()
}

// fmas emits rounds of independent fused multiply-adds that touch no memory: the core's peak.
// An FMA takes 4 cycles on Zen 4 and two 256-bit ones start each cycle, so 12 chains hide the latency.
func fmas(name string, width, chains int) {
	TEXT(name, NOSPLIT, "func(rounds int)")
	Doc(fmt.Sprintf("%s does %d fused multiply-adds of vectors a round.", name, chains))
	rounds := Load(Param("rounds"), GP64())
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

// vectorOf is a register of width bytes.
func vectorOf(width int) VecVirtual {
	if width == 64 {
		return ZMM()
	}
	return YMM()
}
