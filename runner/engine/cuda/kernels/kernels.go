// Package kernels holds the work that a GPU computes: CUDA C sources, which NVRTC compiles at run
// time, and the launches that an engine.Instr becomes. It knows no driver and runs nothing. Package
// cuda does, and package emulation for tests.
//
// A launch is constant. Everything that changes from step to step is in a block of device memory that
// is rewritten before each run (see Step), so that the launches of a program can be captured in a CUDA
// graph once.
package kernels

import (
	_ "embed"
	"fmt"
	"math"
	"math/bits"
	"regexp"
	"strings"

	"ablate/runner/engine"
	"ablate/runner/graph"
)

// A Source is a text for NVRTC: it includes nothing, and its functions are
// extern "C".
type Source struct{ Name, Text string }

// Sources returns all sources, in a fixed order. Each can be compiled by itself. A source that reads
// activations comes twice, the second time with activations in bfloat16 and with bf16Suffix after the
// names of its functions.
func Sources() []Source {
	var all []Source
	for _, s := range files {
		all = append(all, Source{s.name, s.text("float")})
		if s.activations {
			text := definition.ReplaceAllString(s.text("bf16"), "${0}"+bf16Suffix)
			all = append(all, Source{strings.TrimSuffix(s.name, ".cu") + bf16Suffix + ".cu", text})
		}
	}
	return all
}

// Functions returns the names of a source's kernels.
func (s Source) Functions() []string {
	var names []string
	for _, m := range definition.FindAllStringSubmatch(s.Text, -1) {
		names = append(names, m[1])
	}
	return names
}

var definition = regexp.MustCompile(`(?m)^extern "C" __global__ void (\w+)`)

const bf16Suffix = "_bf16"

// A file is one of the files that sources are made of.
type file struct {
	name, own   string
	activations bool // it reads or writes activations
}

// text returns a file's source for activations of a type.
func (f file) text(real string) string {
	return fmt.Sprintf("#define REAL %s\n#line 1 \"prelude.cu\"\n%s\n#line 1 \"windows.cu\"\n%s\n#line 1 %q\n%s", real,
		prelude, windows, f.name, f.own)
}

//go:embed prelude.cu
var prelude string

//go:embed windows.cu
var windows string

//go:embed join.cu
var join string

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

//go:embed optimizers.cu
var optimizer string

var files = []file{
	{"elementwise.cu", elementwise, true}, {"pool.cu", pool, true}, {"norm.cu", norm, true}, {"columns.cu", columns, true},
	{"join.cu", join, true},
	{"softmax.cu", softmax, false}, {"product.cu", product, false}, {"view.cu", view, false}, {"layout.cu", layout, false},
	{"optimizers.cu", optimizer, false},
}

// A Launch runs a function of one of the sources.
type Launch struct {
	Function string
	Grid     [3]uint32 // blocks
	Block    [3]uint32 // threads of each
	Shared   uint32    // bytes of dynamic shared memory
	// Params are the parameters of the function, in C order: uint64 (also device addresses), int32,
	// uint32, float32, float64, Struct.
	Params []any
}

// A Struct is a C struct of ints, passed by value.
type Struct []int32

// divisor returns Divisor of prelude.cu: n/d is ⌊n·magic/2³² + n⌋ >> shift for 0 ≤ n < 2³¹.
func divisor(d int) Struct {
	shift := bits.Len32(uint32(d - 1))
	magic := uint32((1<<shift-uint64(d))<<32/uint64(d) + 1)
	return Struct{int32(d), int32(magic), int32(shift)}
}

// divisors returns several divisors, one after the other.
func divisors(of ...int) Struct {
	var all Struct
	for _, d := range of {
		all = append(all, divisor(d)...)
	}
	return all
}

// Bindings holds the places of things on a device.
type Bindings struct {
	// Address returns the address of a tensor's first value.
	Address func(engine.Tensor) uint64
	// Scratch returns the address of memory for n float32 values, aligned to 64 bytes, that the
	// launches of one instruction use. Instructions, which run one after the other, may share it.
	Scratch func(n int) (uint64, error)
	// Step is the address of StepLen bytes that hold Slots.Bytes when the launches run.
	Step  uint64
	Slots *Step
}

// Lower returns the launches that an instruction becomes, to be run in order on one
// stream. The error wraps engine.ErrNoKernel where there is no kernel for it.
func Lower(in engine.Instr, b Bindings) ([]Launch, error) {
	l := &lowering{Instr: in, b: b}
	l.settle()
	l.lower()
	if l.err != nil {
		return nil, l.err
	}
	return l.launches, nil
}

// A lowering collects an instruction's launches. It keeps the first error.
type lowering struct {
	engine.Instr
	b        Bindings
	real     engine.Type // of activations, as in prelude.cu
	launches []Launch
	err      error
}

// settle finds the type of the instruction's activations, which have four axes. All activations have
// one type, except those of a Cast. Everything else is float32.
func (l *lowering) settle() {
	if _, ok := l.Op.(engine.Cast); ok {
		return
	}
	tensors := append(l.In[:len(l.In):len(l.In)], l.Out)
	if l.Mask.Mem != nil {
		tensors = append(tensors, l.Mask)
	}
	for _, t := range tensors {
		if t.Type != engine.Float32 {
			l.real = t.Type
		}
	}
	if l.real == engine.Float32 {
		return
	}
	if inFloat32(l.Op) {
		l.fail(fmt.Errorf("%v: no kernel of ours reads bfloat16: %w", l.Op, engine.ErrNoKernel))
	}
	for _, t := range tensors {
		if (len(t.Shape) == 4) != (t.Type == l.real) {
			l.fail(fmt.Errorf("%v: tensors of bfloat16 and of float32: %w", l.Op, engine.ErrNoKernel))
		}
	}
}

// inFloat32 reports whether an op's source is compiled for float32 only.
func inFloat32(op any) bool {
	o, ok := op.(graph.Op)
	if !ok {
		_, cast := op.(engine.Cast)
		return !cast
	}
	return o.Class() != graph.Pass
}

func (l *lowering) fail(err error) {
	if l.err == nil {
		l.err = err
	}
}

// threads is the number of threads in blocks without special requirements. With at most 64 registers
// per thread, four blocks fit on a multiprocessor, enough to hide latency.
const threads = 256

// most is the largest number of values that int32 indices reach, minus room for the idle threads of a
// last block.
const most = math.MaxInt32 - 4*threads

// launch adds a launch, with its numbers of blocks along x and y.
func (l *lowering) launch(function string, x, y, block int, params ...any) {
	if x > math.MaxInt32 || y > math.MaxUint16 {
		l.fail(fmt.Errorf("%v: %s needs %d × %d blocks, a GPU runs %d × %d: %w", l.Op, function, x, y, math.MaxInt32,
			math.MaxUint16, engine.ErrNoKernel))
		return
	}
	if l.real == engine.BFloat16 {
		function += bf16Suffix
	}
	l.launches = append(l.launches, Launch{Function: function, Grid: [3]uint32{uint32(x), uint32(y), 1},
		Block: [3]uint32{uint32(block), 1, 1}, Params: params})
}

// each launches one thread for each of n values, quads one for every four.
func (l *lowering) each(function string, n int, params ...any) {
	l.launch(function, ceil(l.count(n), threads), 1, threads, params...)
}

func (l *lowering) quads(function string, n int, params ...any) {
	l.launch(function, ceil(l.count(n), 4*threads), 1, threads, params...)
}

// fours launches one thread for every four of n values whose channels come in fours, if all addresses
// allow it, and otherwise one for each value. The parameters of the function are its addresses, n,
// which of the two it is, and the rest.
func (l *lowering) fours(function string, n, channels int, addresses []uint64, rest ...any) {
	four := inFours(channels, addresses...)
	var params []any
	for _, a := range addresses {
		params = append(params, a)
	}
	params = append(append(params, int32(n), four), rest...)
	l.launch(function, ceil(l.count(n), (1+3*int(four))*threads), 1, threads, params...)
}

// inFours tells kernels whether channels come in fours and all addresses allow loads of four.
func inFours(channels int, addresses ...uint64) int32 {
	if channels%4 != 0 {
		return 0
	}
	return wide(addresses...)
}

// count returns an error through the lowering if int32 indices cannot reach the values of a tensor.
func (l *lowering) count(n int) int {
	if n > most {
		l.fail(fmt.Errorf("%v: a tensor of %d values, a kernel reaches %d: %w", l.Op, n, most, engine.ErrNoKernel))
	}
	return n
}

func ceil(n, by int) int { return (n + by - 1) / by }

// in and out return addresses of operands. mask returns that of the fused ReLU's output, or 0.
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

// wide tells kernels whether all addresses allow loads of four values; 0 stands for no operand.
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
