// Command _asm generates the assembly of package cpu with avo:
//
//	go run . -out ../kernels_amd64.s -stubs ../kernels_amd64.go -pkg cpu
//
// The committed files must equal its output; CI compares them.
package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Offsets of the fields of type tile (cpu/tile.go); a test there holds them.
const (
	tileX = 8 * iota
	tileW
	tileInit
	tileOut
	tileRow
	tileInitRow
	tileOutRow
	tileSeg
	tileSegs
	tileRun
	tileStep
	tileWStride
	tileCount
	tileInitNext
	tileAhead
	tileAheadStep
	tileFloor
)

const rows = 6

func main() {
	ConstraintExpr("amd64,!noasm")
	for vectors := 2; vectors <= 4; vectors++ {
		tile(fmt.Sprintf("tileAVX512x%d", vectors), vectors, 64)
	}
	// 16 ymm registers hold 6 rows of 16 columns: AVX2's panels, and AVX-512's narrowest.
	tile("tileAVX2", 2, 32)
	elementwise()
	optimizers()
	channels()
	poolingRows()
	depthwise()
	units()
	cpuid()
	Generate()
}

// unroll is how many sum indices the inner loop of a tile takes in a turn.
const unroll = 4

// tile emits the loops of type tile: over groups of rows, and for each over the sum, for
// rows × vectors registers.
//
// Prediction, Zen 4: a 512-bit FMA a cycle; per sum index 6·vectors of them, 6
// broadcasts and as many loads as vectors, two loads a cycle: bound by FMAs from
// two vectors on.
// The argument is a *tile; avo knows no types but Go's own.
func tile(name string, vectors int, width int) {
	TEXT(name, NOSPLIT, "func(t *byte)")
	Doc(fmt.Sprintf("%s computes %d columns of a tile.", name, vectors*width/4))
	Pragma("noescape")
	t := Load(Param("t"), GP64())
	field := func(off int) Register {
		r := GP64()
		MOVQ(Mem{Base: t, Disp: off}, r)
		return r
	}
	vector := func() VecVirtual { return vectorOf(width) }
	// start returns the address of row r of a table of offsets.
	start := func(base, table Register, r int) Register {
		off := GP64()
		MOVQ(Mem{Base: table, Disp: 8 * r}, off)
		a := GP64()
		LEAQ(Mem{Base: base, Index: off, Scale: 4}, a)
		return a
	}
	// What moves from one group of rows to the next is kept in the frame: registers are few.
	local := func(off int) Mem {
		m := AllocLocal(8)
		MOVQ(field(off), m)
		return m
	}
	row, initRow, outRow, count := local(tileRow), local(tileInitRow), local(tileOutRow), local(tileCount)
	far := field(tileAhead)
	value := func(m Mem) Register {
		r := GP64()
		MOVQ(m, r)
		return r
	}
	step, wStride := field(tileStep), field(tileWStride)
	SHLQ(U8(2), step)
	SHLQ(U8(2), wStride)

	Label(name + "_group")
	acc := make([][]VecVirtual, rows)
	init, initTable := field(tileInit), value(initRow)
	for r := range acc {
		from := start(init, initTable, r)
		for v := range vectors {
			acc[r] = append(acc[r], vector())
			VMOVUPS(Mem{Base: from, Disp: v * width}, acc[r][v])
		}
	}
	x, rowTable := field(tileX), value(row)
	var px [rows]Register
	for r := range px {
		px[r] = start(x, rowTable, r)
	}
	CMPQ(count, U8(1))
	JE(LabelRef(name + "_last"))
	next := field(tileInitNext) // the next group's sums may rest far away
	initTable, init = value(initRow), field(tileInit)
	LEAQ(Mem{Base: initTable, Index: next, Scale: 8}, initTable)
	for r := range rows {
		from := start(init, initTable, r)
		for line := 0; line < vectors*width; line += 64 {
			PREFETCHT0(Mem{Base: from, Disp: line})
		}
	}
	Label(name + "_last")
	w := field(tileW)
	seg, segs := field(tileSeg), field(tileSegs)
	idx, left := GP64(), GP64()
	weights := make([]VecVirtual, vectors)
	for v := range weights {
		weights[v] = vector()
	}
	b := vector()

	product := func() { // one sum index's
		for v, wv := range weights {
			VMOVUPS(Mem{Base: w, Disp: v * width}, wv)
		}
		for r := range rows {
			VBROADCASTSS(Mem{Base: px[r], Index: idx, Scale: 1}, b)
			for v, wv := range weights {
				VFMADD231PS(wv, b, acc[r][v])
			}
		}
		ADDQ(step, idx)
		ADDQ(wStride, w)
	}

	TESTQ(segs, segs)
	JE(LabelRef(name + "_store"))
	Label(name + "_seg")
	MOVQ(Mem{Base: seg}, idx)
	SHLQ(U8(2), idx)
	MOVQ(Mem{Base: t, Disp: tileRun}, left)
	SUBQ(U8(unroll), left)
	JL(LabelRef(name + "_rest"))
	Label(name + "_turn")
	for range unroll {
		product()
	}
	PREFETCHT1(Mem{Base: far})
	ADDQ(Mem{Base: t, Disp: tileAheadStep}, far)
	SUBQ(U8(unroll), left)
	JGE(LabelRef(name + "_turn"))
	Label(name + "_rest")
	ADDQ(U8(unroll), left)
	JE(LabelRef(name + "_next"))
	Label(name + "_one")
	product()
	DECQ(left)
	JNZ(LabelRef(name + "_one"))
	Label(name + "_next")
	ADDQ(U8(8), seg)
	DECQ(segs)
	JNZ(LabelRef(name + "_seg"))

	Label(name + "_store")
	floor := vector()
	VBROADCASTSS(Mem{Base: t, Disp: tileFloor}, floor)
	out, outTable := field(tileOut), value(outRow)
	for r := range acc {
		to := start(out, outTable, r)
		for v := range vectors {
			VMAXPS(acc[r][v], floor, acc[r][v]) // of a NaN and a number the first operand here is taken: a NaN stays
			VMOVUPS(acc[r][v], Mem{Base: to, Disp: v * width})
		}
	}
	DECQ(count)
	JZ(LabelRef(name + "_end"))
	ADDQ(U8(8*rows), row)
	ADDQ(U8(8*rows), outRow)
	next = field(tileInitNext)
	SHLQ(U8(3), next)
	ADDQ(next, initRow)
	JMP(LabelRef(name + "_group"))
	Label(name + "_end")
	VZEROUPPER()
	RET()
}
