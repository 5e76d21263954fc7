// Package kernels is what a GPU computes: CUDA C sources, which NVRTC compiles at
// run time, and the launches that an engine.Instr becomes. It knows no driver and
// runs nothing; package cuda does, and package emulation for tests.
//
// A launch is constant: whatever changes from step to step lies in a block of
// device memory that is rewritten before each run (see Step), so that the
// launches of a program can be captured in a CUDA graph once.
package kernels

import (
	_ "embed"
	"fmt"
	"math"
	"math/bits"

	"ablate/runner/engine"
)

// A Source is a text for NVRTC: it includes nothing, and its functions are
// extern "C".
type Source struct{ Name, Text string }

// Sources are all texts, in a fixed order. Each can be compiled by itself.
func Sources() []Source {
	var all []Source
	for _, s := range files {
		all = append(all, Source{s.Name, fmt.Sprintf("#line 1 \"prelude.cu\"\n%s\n#line 1 \"windows.cu\"\n%s\n#line 1 %q\n%s", prelude, windows, s.Name, s.Text)})
	}
	return all
}

//go:embed prelude.cu
var prelude string

//go:embed windows.cu
var windows string

//go:embed elementwise.cu
var elementwise string

//go:embed pool.cu
var pool string

//go:embed norm.cu
var norm string

//go:embed columns.cu
var columns string

//go:embed softmax.cu
var softmax string

//go:embed product.cu
var product string

//go:embed view.cu
var view string

//go:embed layout.cu
var layout string

var files = []Source{
	{"elementwise.cu", elementwise}, {"pool.cu", pool}, {"norm.cu", norm}, {"columns.cu", columns},
	{"softmax.cu", softmax}, {"product.cu", product}, {"view.cu", view}, {"layout.cu", layout},
}

// A Launch runs a function of one of the sources.
type Launch struct {
	Function string
	Grid     [3]uint32 // blocks
	Block    [3]uint32 // threads of each
	Shared   uint32    // bytes of dynamic shared memory
	// Params are the function's, in C order: uint64 (also device addresses), int32,
	// uint32, float32, float64, Struct.
	Params []any
}

// A Struct is a C struct of ints, passed by value.
type Struct []int32

// divisor is Divisor of prelude.cu: n/d is ⌊n·magic/2³² + n⌋ >> shift for 0 ≤ n < 2³¹.
func divisor(d int) Struct {
	shift := bits.Len32(uint32(d - 1))
	magic := uint32((1<<shift-uint64(d))<<32/uint64(d) + 1)
	return Struct{int32(d), int32(magic), int32(shift)}
}

// divisors are several, one behind the other.
func divisors(of ...int) Struct {
	var all Struct
	for _, d := range of {
		all = append(all, divisor(d)...)
	}
	return all
}

// Bindings say where things are on a device.
type Bindings struct {
	// Address is a tensor's first value.
	Address func(engine.Tensor) uint64
	// Scratch gives room for so many float32 values, aligned to 64 bytes, that the
	// launches of one instruction use. Instructions, which run one after the other, may share it.
	Scratch func(n int) (uint64, error)
	// Step is the address of StepLen bytes that hold Slots.Bytes when the launches run.
	Step  uint64
	Slots *Step
}

// Lower gives the launches that an instruction becomes, to be run in order on one
// stream. The error wraps engine.ErrNoKernel where there is no kernel for it.
func Lower(in engine.Instr, b Bindings) ([]Launch, error) {
	l := &lowering{Instr: in, b: b}
	l.lower()
	if l.err != nil {
		return nil, l.err
	}
	return l.launches, nil
}

// A lowering collects an instruction's launches. The first error stays.
type lowering struct {
	engine.Instr
	b        Bindings
	launches []Launch
	err      error
}

func (l *lowering) fail(err error) {
	if l.err == nil {
		l.err = err
	}
}

// threads is what blocks have that are not cut to a purpose: enough to hide
// latency, and few enough registers each for eight blocks on a multiprocessor.
const threads = 256

// maxThreads is what a block can have.
const maxThreads = 1024

// most is the largest number of values that int32 indices reach, with room for a
// last block's idle threads.
const most = math.MaxInt32 - 4*threads

// launch adds a launch of so many blocks along x and y.
func (l *lowering) launch(function string, x, y, block int, params ...any) {
	if x > math.MaxInt32 || y > math.MaxUint16 {
		l.fail(fmt.Errorf("%v: %s needs %d × %d blocks, a GPU runs %d × %d: %w", l.Op, function, x, y, math.MaxInt32, math.MaxUint16, engine.ErrNoKernel))
		return
	}
	l.launches = append(l.launches, Launch{Function: function, Grid: [3]uint32{uint32(x), uint32(y), 1},
		Block: [3]uint32{uint32(block), 1, 1}, Params: params})
}

// each launches a thread for each of n values, quads one for each four.
func (l *lowering) each(function string, n int, params ...any) {
	l.launch(function, ceil(l.count(n), threads), 1, threads, params...)
}

func (l *lowering) quads(function string, n int, params ...any) {
	l.launch(function, ceil(l.count(n), 4*threads), 1, threads, params...)
}

// fours launches a thread for each four of n values whose channels come in fours,
// if all addresses allow it, else for each one. The function takes n and which of
// both behind its addresses, then the rest.
func (l *lowering) fours(function string, n, channels int, addresses []uint64, rest ...any) {
	four := inFours(channels, addresses...)
	var params []any
	for _, a := range addresses {
		params = append(params, a)
	}
	params = append(append(params, int32(n), four), rest...)
	l.launch(function, ceil(l.count(n), (1+3*int(four))*threads), 1, threads, params...)
}

// inFours tells whether channels come in fours and all addresses allow loads of them.
func inFours(channels int, addresses ...uint64) int32 {
	if channels%4 != 0 {
		return 0
	}
	return wide(addresses...)
}

// count refuses tensors that int32 indices cannot reach.
func (l *lowering) count(n int) int {
	if n > most {
		l.fail(fmt.Errorf("%v: a tensor of %d values, a kernel reaches %d: %w", l.Op, n, most, engine.ErrNoKernel))
	}
	return n
}

func ceil(n, by int) int { return (n + by - 1) / by }

// in and out are addresses of operands, mask is that of the fused ReLU's output or 0.
func (l *lowering) in(i int) uint64 { return l.b.Address(l.In[i]) }
func (l *lowering) out() uint64     { return l.b.Address(l.Out) }

func (l *lowering) mask() uint64 {
	if l.Mask.Mem == nil {
		return 0
	}
	return l.b.Address(l.Mask)
}

func (l *lowering) scratch(n int) uint64 {
	address, err := l.b.Scratch(l.count(n))
	if err != nil {
		l.fail(fmt.Errorf("%v: scratch memory of %d MiB: %w", l.Op, n>>18, err))
	}
	return address
}

// wide tells whether all addresses allow loads of four values; 0 stands for no operand.
func wide(addresses ...uint64) int32 {
	for _, a := range addresses {
		if a%16 != 0 {
			return 0
		}
	}
	return 1
}

func boolean(b bool) int32 {
	if b {
		return 1
	}
	return 0
}
