package engine

import (
	"fmt"

	"ablate/recipe"
)

// bind plans each device's memory and asks each device for its kernels. It also returns where the
// values lie that the host reads and writes.
func (s *schedule) bind(where Placement) (*Program, map[*value]sharded, error) {
	group := where.Group
	b := binder{memoryPlan: s.plan(), precision: where.Precision}
	prog := &Program{group: group}
	for d, dev := range group.devices {
		var spans []*span
		for _, v := range b.order {
			spans = append(spans, b.spans[v][d])
		}
		n := pack(spans)
		mem, err := dev.Alloc(n)
		if err != nil {
			return nil, nil, fmt.Errorf("allocate %d MiB for activations on %s: %w", n>>18, dev.Name(), err)
		}
		b.arenas = append(b.arenas, mem)
		prog.arena += n
	}
	for _, l := range s.instructions {
		st := step{name: l.name, layer: l.layer, transfer: l.gathers}
		for d, dev := range group.devices {
			in, err := b.instr(l, d)
			if err != nil {
				return nil, nil, err
			}
			k, err := dev.Kernel(in)
			if err != nil {
				return nil, nil, fmt.Errorf("%s on %s: %w", l.name, dev.Name(), err)
			}
			st.kernels = append(st.kernels, k)
			st.cost.add(costOf(in))
		}
		prog.steps = append(prog.steps, st)
	}
	at := map[*value]sharded{}
	for v, bound := range s.bindings {
		where := sharded{shape: v.shape, sharding: bound.sharding}
		for d := range group.devices {
			for _, buf := range bound.buffers {
				where.parts = append(where.parts, b.tensor(buf, d))
			}
		}
		at[v] = where
	}
	prog.join()
	return prog, at, nil
}

// A binder knows where buffers are.
type binder struct {
	*memoryPlan
	arenas    []Memory
	precision recipe.Precision
}

// tensor returns the tensor of a buffer on a device.
func (b binder) tensor(v *buffer, device int) Tensor {
	switch {
	case v.base != nil:
		t := b.tensor(v.base, device)
		return Tensor{Mem: t.Mem, Off: t.Off + v.offs[device], Shape: v.shapes[device]}
	case v.storage != nil:
		return v.storage[device]
	}
	return Tensor{Mem: b.arenas[device], Off: b.spans[b.owner[v]][device].off, Shape: v.shapes[device], Type: v.kind}
}

// instr returns what one device does for an instruction.
func (b binder) instr(l instruction, device int) (Instr, error) {
	var mask Tensor
	if l.Mask != nil {
		mask = b.tensor(l.Mask, device)
	}
	in := Instr{Op: l.ops[device], Fused: withMask(l.Fused, mask), Precision: b.precision}
	if l.gathers {
		for d := range b.arenas {
			in.In = append(in.In, b.tensor(l.in[0], d))
		}
	} else {
		for _, v := range l.in {
			t := b.tensor(v, device)
			if v.number != nil {
				if err := t.Mem.Write(t.Off, []float32{*v.number}); err != nil {
					return in, err
				}
			}
			in.In = append(in.In, t)
		}
	}
	if l.out != nil {
		in.Out = b.tensor(l.out, device)
	}
	return in, nil
}
