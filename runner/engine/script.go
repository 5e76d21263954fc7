package engine

import (
	"slices"

	"gorgonia.org/gorgonia"

	"ablate/runner/graph"
)

// A value is a node's value in one of the forms in which the devices hold it. A
// node has several where columns cross, or where each chunk of a batch has its own.
type value struct {
	shapes [][]int // one a device
	kind   Type
	home   []Tensor
	given  bool // comes from outside the program and lives throughout
	// base is the value that this one is a piece of, from offset offs on each device.
	base *value
	offs []int
	// constant is the number it holds, if it is one.
	constant *gorgonia.Node
}

// A launch is an action on the devices: a kernel on each.
type launch struct {
	name   string
	ops    []any
	in     []*value
	out    *value // nil for an update, which writes its first two inputs
	relu   bool
	mask   *value
	pool   *graph.MaxPoolGrad
	update *Update
	alias  *value // whose memory out takes over, nil if it gets its own
	move   bool   // reads its input's parts on all devices
}

// A port is where the host reads or writes a node: a value, or one for each of a device's chunks.
type port struct {
	cut    graph.Cut
	values []*value
}

// A script is a program before memory is planned.
type script struct {
	devices  int
	launches []launch
	ports    map[*gorgonia.Node]port
	kept     map[*value]bool
}

func newScript(devices int) *script {
	return &script{devices: devices, ports: map[*gorgonia.Node]port{}, kept: map[*value]bool{}}
}

// same gives every device the same thing.
func same[T any](n int, x T) []T { return slices.Repeat([]T{x}, n) }

// external makes the value of a node that no action computes.
func (s *script) external(n *gorgonia.Node) *value {
	v := &value{shapes: same(s.devices, []int(n.Shape())), given: true}
	if n.Op() != nil && !n.IsVar() {
		v.constant = n
	}
	return v
}

// stored makes the value of a parameter.
func (s *script) stored(of spread) *value {
	v := &value{home: of.parts}
	for _, t := range of.parts {
		v.shapes = append(v.shapes, t.Shape)
	}
	return v
}

// keep opens a port that the host reads when the program has run.
func (s *script) keep(n *gorgonia.Node, p port) {
	s.ports[n] = p
	for _, v := range p.values {
		s.kept[v.memory()] = true
	}
}

// memory is the value that owns the memory of v.
func (v *value) memory() *value {
	for v.base != nil {
		v = v.base
	}
	return v
}

// move adds the launch that gives every device its part, as cut, of a value cut
// in another way. In place, the device's own part is there already.
func (s *script) move(name string, v, out *value, from, to graph.Cut, inPlace bool) {
	l := launch{name: "transfer " + name, in: []*value{v}, out: out, move: !from.Whole()}
	if !l.move {
		l.name = "part " + name
	}
	for d := range s.devices {
		l.ops = append(l.ops, Move{From: from, To: to, Part: d, Of: s.devices, InPlace: inPlace})
	}
	s.launches = append(s.launches, l)
}
