//go:build amd64 && !noasm

package cpu

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

var avx512Path = path{
	name: "avx512",
	tile: [5]func(*tile){
		1: func(t *tile) { tileAVX512x1((*byte)(unsafe.Pointer(t))) },
		2: func(t *tile) { tileAVX512x2((*byte)(unsafe.Pointer(t))) },
		3: func(t *tile) { tileAVX512x3((*byte)(unsafe.Pointer(t))) },
		4: func(t *tile) { tileAVX512x4((*byte)(unsafe.Pointer(t))) },
	},
	reluGrad: reluGradGo, columnSums: columnSumsGo, sgd: sgdGo, maxInto: maxIntoGo, axpy: axpyGo,
	powers: func(p, d []float32) { powersBy(16, powersAVX512, p, d) },
	fmas:   fmasAVX512, fmaFLOPs: 2 * 24 * 16,
}

var avx2Path = path{
	name: "avx2",
	tile: [5]func(*tile){
		1: func(t *tile) { tileAVX2s(t, 16) }, 2: func(t *tile) { tileAVX2s(t, 32) },
		3: func(t *tile) { tileAVX2s(t, 48) }, 4: func(t *tile) { tileAVX2s(t, 64) },
	},
	reluGrad: reluGradGo, columnSums: columnSumsGo, sgd: sgdGo, maxInto: maxIntoGo, axpy: axpyGo,
	powers: func(p, d []float32) { powersBy(8, powersAVX2, p, d) },
	fmas:   fmasAVX2, fmaFLOPs: 2 * 12 * 8,
}

// tileAVX2s does a panel 16 columns at a time.
func tileAVX2s(t *tile, cols int) {
	for c := 0; c < cols; c += 16 {
		tileAVX2((*byte)(unsafe.Pointer(t)), 4*c)
	}
}

// powersBy does whole vectors in assembly and the rest in Go.
func powersBy(lanes int, f func(p, d *float32, n int), p, d []float32) {
	n := len(d) / lanes * lanes
	if n > 0 {
		f(&p[0], &d[0], n)
	}
	powersGo(p[n:], d[n:])
}

// paths are the kernels this CPU can run, the fastest first.
func paths() []*path {
	var ps []*path
	if cpu.X86.HasAVX512F && cpu.X86.HasAVX512VL && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512DQ {
		ps = append(ps, &avx512Path)
	}
	if cpu.X86.HasAVX2 && cpu.X86.HasFMA {
		ps = append(ps, &avx2Path)
	}
	return append(ps, &goPath)
}
