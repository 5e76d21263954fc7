package engine

import (
	"slices"

	"ablate/runner/graph"
)

// A buffer is a value in one of the forms in which the devices hold it. A value has several buffers
// where columns cross, or where each chunk of a batch has its own.
type buffer struct {
	shapes   [][]int // one per device
	kind     Type
	storage  []Tensor // of a parameter, whose memory does not belong to the program
	external bool     // comes from outside the program and lives throughout
	// base is the buffer that this one is a piece of. The piece starts at offset offs on each device.
	base *buffer
	offs []int
	// number is the value of a constant.
	number *float32
}

// An instruction is an action on the devices, with a kernel on each.
type instruction struct {
	name  string
	layer string
	ops   []any
	in    []*buffer
	out   *buffer // nil for an update, which writes its first two inputs
	Fused[*buffer]
	alias   *buffer // the buffer whose memory out takes over, nil if out has its own
	gathers bool    // the instruction reads its input's parts on all devices
}

// A binding is the place where the host reads or writes a value: one buffer, or one for each of a
// device's chunks.
type binding struct {
	sharding graph.Sharding
	buffers  []*buffer
}

// A schedule is a program before its memory is planned.
type schedule struct {
	devices      int
	instructions []instruction
	bindings     map[*value]binding
	kept         map[*buffer]bool
}

func newSchedule(devices int) *schedule {
	return &schedule{devices: devices, bindings: map[*value]binding{}, kept: map[*buffer]bool{}}
}

// same returns a list of x repeated for every device.
func same[T any](n int, x T) []T { return slices.Repeat([]T{x}, n) }

// outside makes the buffer of a value that no action computes.
func (s *schedule) outside(v *value) *buffer {
	return &buffer{shapes: same(s.devices, v.shape), external: true, number: v.number}
}

// parameter makes the buffer of a parameter.
func (s *schedule) parameter(of sharded) *buffer {
	b := &buffer{storage: of.parts}
	for _, t := range of.parts {
		b.shapes = append(b.shapes, t.Shape)
	}
	return b
}

// bindHost lets the host read or write a value.
func (s *schedule) bindHost(v *value, b binding) {
	s.bindings[v] = b
	for _, buf := range b.buffers {
		s.kept[buf.memory()] = true
	}
}

// memory returns the buffer that owns the memory of b.
func (b *buffer) memory() *buffer {
	for b.base != nil {
		b = b.base
	}
	return b
}

// gather adds the instruction by which every device gets its part, cut by to, of a buffer that is
// sharded in another way. In place, the device's own part is already there.
func (s *schedule) gather(name string, b, out *buffer, from, to graph.Sharding, inPlace bool) {
	in := instruction{name: "transfer " + name, in: []*buffer{b}, out: out, gathers: !from.Whole()}
	if !in.gathers {
		in.name = "part " + name
	}
	for d := range s.devices {
		in.ops = append(in.ops, Gather{From: from, To: to, Part: d, Of: s.devices, InPlace: inPlace})
	}
	s.instructions = append(s.instructions, in)
}
