package emulation

import (
	"fmt"
	"unsafe"

	"ablate/runner/engine"
	"ablate/runner/engine/cuda/kernels"
)

// A Device is an engine.Device whose kernels are the GPU's.
type Device struct {
	gpu   *GPU
	name  string
	step  *kernels.Step
	block memory
	used  []memory // what addresses point into: Go must not free it
}

// NewDevice makes a device of a name on a GPU.
func NewDevice(gpu *GPU, name string) *Device {
	return &Device{gpu: gpu, name: name, step: kernels.NewStep(), block: allocate(kernels.StepLen / 4)}
}

// Name is what New was told.
func (d *Device) Name() string { return d.name }

// Hardware says that this is no measure of speed.
func (d *Device) Hardware() string { return "emulated GPU" }

// Close frees nothing: memory goes with the device.
func (d *Device) Close() error { return nil }

// memory is host memory that starts at a multiple of 64 bytes.
type memory []float32

func allocate(n int) memory {
	raw := make([]float32, n+16)
	skip := 0
	for uintptr(unsafe.Pointer(&raw[skip]))%64 != 0 {
		skip++
	}
	return raw[skip : skip+n : skip+n]
}

func (m memory) address() uint64 { return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(m)))) }

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

// Alloc returns zeroed memory.
func (d *Device) Alloc(n int) (engine.Memory, error) {
	m := allocate(n)
	d.used = append(d.used, m)
	return m, nil
}

// Address is a tensor's first value.
func (d *Device) Address(t engine.Tensor) uint64 { return t.Mem.(memory).address() + 4*uint64(t.Off) }

// Kernel lowers an instruction.
func (d *Device) Kernel(in engine.Instr) (engine.Kernel, error) {
	launches, err := kernels.Lower(in, kernels.Bindings{
		Address: d.Address,
		Scratch: func(n int) (uint64, error) {
			m := allocate(n)
			d.used = append(d.used, m)
			return m.address(), nil
		},
		Step: d.block.address(), Slots: d.step,
	})
	if err != nil {
		return nil, err
	}
	k := kernel{d: d}
	for _, l := range launches {
		c, err := d.gpu.Prepare(l)
		if err != nil {
			return nil, err
		}
		k.calls = append(k.calls, c)
	}
	return k, nil
}

// A kernel is the launches of one instruction.
type kernel struct {
	d     *Device
	calls []*Call
}

// Run writes the block that the launches read, then runs them.
func (k kernel) Run(c *engine.Context) error {
	to := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(k.d.block))), kernels.StepLen)
	copy(to, k.d.step.Bytes(c))
	for _, call := range k.calls {
		if err := call.Run(); err != nil {
			return err
		}
	}
	return nil
}
