package engine

import (
	"fmt"

	"gorgonia.org/gorgonia"

	"ablate/recipe"
	"ablate/runner/graph"
)

// reads are all values a launch reads.
func (l *launch) reads() []*value {
	if l.mask == nil {
		return l.in
	}
	return append(l.in[:len(l.in):len(l.in)], l.mask)
}

// inPlace lets an elementwise op overwrite an input that nobody reads after it.
func (s *script) inPlace() {
	last := map[*value]int{}
	for i, l := range s.launches {
		for _, v := range l.reads() {
			last[v.memory()] = i
		}
	}
	for i := range s.launches {
		l := &s.launches[i]
		from := -1
		switch l.ops[0].(type) {
		case *graph.Unit, *graph.Dropout:
			from = 0
		case *graph.UnitGrad, *graph.LRNGrad:
			from = 1 // dy or, with a pooling layer's gradient, y
		}
		if from < 0 {
			continue
		}
		v := l.in[from]
		if last[v] == i && !s.kept[v] && !v.given && v.home == nil && v.base == nil {
			l.alias = v
		}
	}
}

// A layout says where every value lies.
type layout struct {
	owner map[*value]*value    // of the memory that a value is in
	spans map[*value]([]*span) // of an owner, one a device
	order []*value             // owners as they first appear
}

// layout gives every value that is not a parameter a life: from the launch that
// makes it to the last that reads it. Inputs, constants and kept values live throughout.
func (s *script) layout() *layout {
	p := &layout{map[*value]*value{}, map[*value][]*span{}, nil}
	end := len(s.launches)
	touch := func(v *value, i int) {
		v = v.memory()
		if v.home != nil {
			return
		}
		if _, ok := p.owner[v]; !ok {
			p.owner[v] = v
		}
		owner := p.owner[v]
		spans, ok := p.spans[owner]
		if !ok {
			for _, shape := range owner.shapes {
				spans = append(spans, &span{n: Tensor{Shape: shape, Type: owner.kind}.room(), first: i})
			}
			p.spans[owner] = spans
			p.order = append(p.order, owner)
		}
		for _, span := range spans {
			span.last = max(span.last, i)
			if v.given {
				span.first, span.last = 0, end
			}
		}
	}
	for i, l := range s.launches {
		for _, v := range l.reads() {
			touch(v, i)
		}
		if l.out == nil {
			continue
		}
		if l.alias != nil {
			p.owner[l.out] = p.owner[l.alias]
		}
		touch(l.out, i)
	}
	for _, port := range s.ports {
		for _, v := range port.values {
			touch(v, end)
		}
	}
	return p
}

// bind plans each device's memory and asks it for its kernels.
func (s *script) bind(where Placement) (*Program, error) {
	group := where.Group
	b := binder{s.layout(), nil, where.Precision}
	prog := &Program{group: group, at: map[*gorgonia.Node]spread{}}
	for d, dev := range group.devices {
		var spans []*span
		for _, v := range b.order {
			spans = append(spans, b.spans[v][d])
		}
		n := pack(spans)
		mem, err := dev.Alloc(n)
		if err != nil {
			return nil, fmt.Errorf("allocate %d MiB for activations on %s: %w", n>>18, dev.Name(), err)
		}
		b.arenas = append(b.arenas, mem)
		prog.arena += n
	}
	for _, l := range s.launches {
		st := step{name: l.name, transfer: l.move}
		for d, dev := range group.devices {
			in, err := b.instr(l, d)
			if err != nil {
				return nil, err
			}
			k, err := dev.Kernel(in)
			if err != nil {
				return nil, fmt.Errorf("%s on %s: %w", l.name, dev.Name(), err)
			}
			st.kernels = append(st.kernels, k)
			st.cost.add(costOf(in))
		}
		prog.steps = append(prog.steps, st)
	}
	for n, p := range s.ports {
		at := spread{shape: n.Shape(), cut: p.cut}
		for d := range group.devices {
			for _, v := range p.values {
				at.parts = append(at.parts, b.tensor(v, d))
			}
		}
		prog.at[n] = at
	}
	prog.join()
	return prog, nil
}

// A binder knows where values are.
type binder struct {
	*layout
	arenas    []Memory
	precision recipe.Precision
}

// tensor is a value on a device.
func (b binder) tensor(v *value, device int) Tensor {
	switch {
	case v.base != nil:
		t := b.tensor(v.base, device)
		return Tensor{Mem: t.Mem, Off: t.Off + v.offs[device], Shape: v.shapes[device]}
	case v.home != nil:
		return v.home[device]
	}
	return Tensor{Mem: b.arenas[device], Off: b.spans[b.owner[v]][device].off, Shape: v.shapes[device], Type: v.kind}
}

// instr is what a device does of a launch.
func (b binder) instr(l launch, device int) (Instr, error) {
	in := Instr{Op: l.ops[device], ReLU: l.relu, Pool: l.pool, Precision: b.precision, Update: l.update}
	if l.move {
		for d := range b.arenas {
			in.In = append(in.In, b.tensor(l.in[0], d))
		}
	} else {
		for _, v := range l.in {
			t := b.tensor(v, device)
			if err := writeConstant(v.constant, t); err != nil {
				return in, err
			}
			in.In = append(in.In, t)
		}
	}
	if l.mask != nil {
		in.Mask = b.tensor(l.mask, device)
	}
	if l.out != nil {
		in.Out = b.tensor(l.out, device)
	}
	return in, nil
}

// writeConstant stores the value of a constant, such as the loss's own gradient, 1.
func writeConstant(n *gorgonia.Node, t Tensor) error {
	if n == nil || n.Value() == nil {
		return nil
	}
	if v, ok := n.Value().Data().(float32); ok && t.Len() == 1 {
		return t.Mem.Write(t.Off, []float32{v})
	}
	return fmt.Errorf("constant %v of type %T: only float32 scalars are known", n, n.Value().Data())
}
