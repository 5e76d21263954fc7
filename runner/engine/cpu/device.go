// Package cpu is the engine's device for the machine's own cores: kernels in Go
// and assembly over NHWC float32 memory.
//
// All matrix work (convolutions, dense layers, their gradients) is cut into
// tiles of 6 rows by up to 64 columns, see tile. No im2col matrix is built: a
// tile reads pixels straight from a padded copy of one image, which stays in
// the core's cache.
//
// Results do not depend on the number of threads: tiles are cut by shape alone,
// and sums over images run in fixed chunks that are added in fixed order.
package cpu

import (
	"fmt"
	"math"
	"reflect"
	"runtime"
	"unsafe"

	"ablate/runner/engine"
)

// Device is a share of the machine's cores.
type Device struct {
	name    string
	isa     *isa
	workers *workers

	shared  []float32   // packed weights and the like: one kernel runs at a time
	scratch [][]float32 // one per worker: padded images, packed panels
	short   error       // not enough memory for a kernel that is being bound; Kernel returns it
}

// New starts a device with the given number of threads, or with all cores if threads is 0. The CPU's
// features determine the instruction set. ABLATE_CPU selects one explicitly: avx512, avx2 or go.
func New(name string, threads int) (*Device, error) {
	p, err := selectISA()
	if err != nil {
		return nil, err
	}
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	return &Device{name: name, isa: p, workers: newWorkers(threads), scratch: make([][]float32, threads)}, nil
}

// Name returns the device's name: cpu, cpu:0 …
func (d *Device) Name() string { return d.name }

// Hardware returns the CPU, the threads and the kernels.
func (d *Device) Hardware() string {
	return fmt.Sprintf("%s, %d threads, %s kernels", Model(), d.workers.n, d.isa.name)
}

// Threads returns the number of worker threads.
func (d *Device) Threads() int { return d.workers.n }

// Close stops the worker threads.
func (d *Device) Close() error {
	d.workers.close()
	return nil
}

// memory is a block of float32 values that starts on a cache line.
type memory []float32

// Alloc returns zeroed memory for n values. If the machine does not have enough, the error is an
// engine.MemoryError.
func (d *Device) Alloc(n int) (engine.Memory, error) {
	if n < 0 || n > math.MaxInt/8 {
		return nil, fmt.Errorf("%s: cannot allocate %d values", d.name, n)
	}
	if err := room(n, false); err != nil {
		return nil, err
	}
	return memory(alignedFloats(n)), nil
}

// alignedFloats returns n zeroed values whose first lies at a multiple of 64 bytes.
func alignedFloats(n int) []float32 {
	const line = 64 / 4
	raw := make([]float32, n+line)
	hugePages(raw)
	skip := 0
	if at := uintptr(unsafe.Pointer(unsafe.SliceData(raw))) % 64; at != 0 {
		skip = int(64-at) / 4
	}
	return raw[skip : skip+n : skip+n]
}

func (m memory) Len() int { return len(m) }

func (m memory) Write(off int, from []float32) error {
	if off < 0 || off+len(from) > len(m) {
		return fmt.Errorf("write of %d values at %d outside a block of %d", len(from), off, len(m))
	}
	copy(m[off:], from)
	return nil
}

func (m memory) Read(off int, to []float32) error {
	if off < 0 || off+len(to) > len(m) {
		return fmt.Errorf("read of %d values at %d outside a block of %d", len(to), off, len(m))
	}
	copy(to, m[off:])
	return nil
}

// slice returns the tensor's values.
func slice(t engine.Tensor) []float32 {
	n := t.Len()
	return t.Mem.(memory)[t.Off : t.Off+n : t.Off+n]
}

// needShared makes sure that kernels have n values of shared memory to pack into.
func (d *Device) needShared(n int) { d.grow(&d.shared, n) }

// needScratch makes sure that every worker has n values of its own.
func (d *Device) needScratch(n int) {
	for i := range d.scratch {
		d.grow(&d.scratch[i], n)
	}
}

// grow makes a block of at least n values, unless the machine has no room for it.
func (d *Device) grow(block *[]float32, n int) {
	if len(*block) >= n || d.short != nil {
		return
	}
	if d.short = room(n, true); d.short == nil {
		*block = alignedFloats(n)
	}
}

// Kernel binds an instruction.
func (d *Device) Kernel(in engine.Instr) (engine.Kernel, error) {
	k, err := d.bind(in)
	if d.short != nil {
		err, d.short = d.short, nil
	}
	return k, err
}

func (d *Device) bind(in engine.Instr) (engine.Kernel, error) {
	for _, t := range in.In {
		if _, ok := t.Mem.(memory); !ok {
			return nil, fmt.Errorf("an input lies in %T, not in the memory of %s", t.Mem, d.name)
		}
	}
	bind, ok := kernels[reflect.TypeOf(in.Op)]
	if !ok {
		return nil, fmt.Errorf("%v: %w", in.Op, engine.ErrNoKernel)
	}
	return bind(d, in), nil
}

// kernels bind an instruction, by the type of its op. Each is registered next to its kernel.
var kernels = map[reflect.Type]func(*Device, engine.Instr) engine.Kernel{}

// computes registers the kernel for a type of op.
func computes[O any, K engine.Kernel](bind func(d *Device, op O, in engine.Instr) K) struct{} {
	kernels[reflect.TypeFor[O]()] = func(d *Device, in engine.Instr) engine.Kernel { return bind(d, in.Op.(O), in) }
	return struct{}{}
}
