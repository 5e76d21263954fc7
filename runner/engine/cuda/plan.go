package cuda

import (
	"fmt"
	"slices"
	"unsafe"

	"ablate/recipe"
	"ablate/runner/engine"
	"ablate/runner/engine/cuda/kernels"
	"ablate/runner/engine/cuda/nvidia"
	"ablate/runner/graph"
)

// A plan collects the calls of one kernel. Scratch memory is reserved first, then placed, then used.
// The plan keeps the first error.
type plan struct {
	d     *Device
	size  uint64
	base  nvidia.Address
	calls []call
	by    string
	// refused lists what a library refused to do for this plan, with its reasons.
	refused []string
	err     error
}

// A region is a piece of a plan's scratch memory, as an offset from its start.
type region uint64

// regionAlign is the alignment in bytes that NVIDIA's libraries prefer for operands. MemAlloc aligns
// to it too.
const regionAlign = 256

// reserve reserves bytes of scratch memory.
func (p *plan) reserve(bytes uint64) region {
	r := region(p.size)
	p.size += (bytes + regionAlign - 1) / regionAlign * regionAlign
	return r
}

// place allocates the memory of all regions.
func (p *plan) place() {
	if p.size > 0 && p.err == nil {
		p.base, p.err = p.d.room(p.size)
	}
}

func (p *plan) at(r region) nvidia.Address { return p.base + nvidia.Address(r) }

// call adds a call. Its error will name its purpose.
func (p *plan) call(what string, c func() error) {
	p.calls = append(p.calls, func() error {
		if err := c(); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return nil
	})
}

// launch adds the call of one of our own kernels. It takes the results of the function that made the
// launch, including the error.
func (p *plan) launch(l kernels.Launch, err error) {
	if p.err != nil {
		return
	}
	if err != nil {
		p.err = err
		return
	}
	f, ok := p.d.kernels[l.Function]
	if !ok {
		p.err = fmt.Errorf("no function %s", l.Function)
		return
	}
	params, err := packed(l)
	if err != nil {
		p.err = err
		return
	}
	d := p.d
	p.calls = append(p.calls, func() error {
		r := d.driver.LaunchKernel(f, l.Grid[0], l.Grid[1], l.Grid[2], l.Block[0], l.Block[1], l.Block[2], l.Shared, d.stream,
			unsafe.Pointer(&params[0]), nil)
		if r != nvidia.Success {
			return fmt.Errorf("launch of %s: %w", l.Function, r)
		}
		return nil
	})
}

// packed returns pointers to a launch's parameters, as LaunchKernel takes them. Every parameter is
// copied to a separate 8 bytes, or is used where it is.
func packed(l kernels.Launch) ([]unsafe.Pointer, error) {
	values, params := make([]uint64, len(l.Params)+1), make([]unsafe.Pointer, len(l.Params)+1)
	for i, p := range l.Params {
		to := unsafe.Pointer(&values[i])
		params[i] = to
		switch p := p.(type) {
		case uint64:
			*(*uint64)(to) = p
		case int32:
			*(*int32)(to) = p
		case uint32:
			*(*uint32)(to) = p
		case float32:
			*(*float32)(to) = p
		case float64:
			*(*float64)(to) = p
		case kernels.Struct:
			params[i] = unsafe.Pointer(&p[0])
		default:
			return nil, fmt.Errorf("function %s: parameter %d is a %T", l.Function, i, p)
		}
	}
	return params, nil
}

// fallback adds the work of our own kernels for an instruction. They form products of float32 values
// only. Products of other types that a library does not form are computed from widened values.
func (p *plan) fallback(in engine.Instr) {
	if p.err != nil {
		return
	}
	if p.calls != nil || !multiplies(in.Op) {
		p.lower(in)
		return
	}
	p.by = "own kernel"
	wide := in
	wide.In = slices.Clone(in.In)
	narrow, regions := append(in.In[:len(in.In):len(in.In)], in.Out), make([]region, len(in.In)+1)
	for i, t := range narrow {
		if t.Type != engine.Float32 {
			regions[i] = p.reserve(4 * uint64(t.Len()))
		}
	}
	if p.place(); p.err != nil {
		return
	}
	for i, t := range narrow {
		if t.Type == engine.Float32 {
			continue
		}
		p.by = "own kernel of float32"
		to := engine.Tensor{Mem: &memory{p.d, p.at(regions[i]), t.Len()}, Shape: t.Shape}
		if i == len(in.In) {
			wide.Out = to
			continue
		}
		wide.In[i] = to
		p.launch(kernels.Store(uint64(address(t)), t.Type, uint64(address(to)), engine.Float32, t.Len()))
	}
	p.lower(wide)
	if in.Out.Type != engine.Float32 {
		p.launch(kernels.Store(uint64(address(wide.Out)), engine.Float32, uint64(address(in.Out)), in.Out.Type, in.Out.Len()))
	}
}

// lower adds our kernels for an instruction, with their scratch memory after the plan's regions.
func (p *plan) lower(in engine.Instr) {
	launches, err := kernels.Lower(in, kernels.Bindings{
		Address: func(t engine.Tensor) uint64 { return uint64(address(t)) },
		Scratch: func(n int) (uint64, error) {
			a, err := p.d.room(p.size + 4*uint64(n))
			return uint64(a) + p.size, err
		},
		Step: uint64(p.d.block), Slots: p.d.step,
	})
	if err != nil {
		p.err = err
	}
	for _, l := range launches {
		p.launch(l, nil)
	}
}

// multiplies reports whether a library may compute an op.
func multiplies(op any) bool {
	o, ok := op.(graph.Op)
	return ok && (o.Class() == graph.Product || o.Class() == graph.WeightProduct)
}

// operand is a tensor as a library reads it: unchanged, or stored as another type in scratch memory.
type operand struct {
	engine.Tensor
	stored region
	as     engine.Type
}

// operand reserves the memory that a tensor needs at a precision.
func (p *plan) operand(t engine.Tensor, precision recipe.Precision) operand {
	o := operand{Tensor: t, as: typeOf(precision)}
	if t.Type != o.as {
		o.stored = p.reserve(uint64(o.as.Bytes()) * uint64(t.Len()))
	}
	return o
}

// read adds the launch that narrows the operand, if needed, and returns its address.
func (p *plan) read(o operand) nvidia.Address {
	if o.Type == o.as {
		return address(o.Tensor)
	}
	p.launch(kernels.Store(uint64(address(o.Tensor)), o.Type, uint64(p.at(o.stored)), o.as, o.Len()))
	return p.at(o.stored)
}

// typeOf returns the type that stores operands of a precision. TF32 is float32 whose last bits the GPU
// ignores.
func typeOf(p recipe.Precision) engine.Type {
	if p == recipe.BF16 {
		return engine.BFloat16
	}
	return engine.Float32
}
