package engine

import (
	"errors"
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"

	"ablate/arch"
	"ablate/runner/graph"
)

// ErrPlacement is a net or a batch that cannot be divided among the devices.
var ErrPlacement = errors.New("cannot be divided")

// A Placement says what runs where. Devices divide a net's columns (each holds
// its column's weights, and transfers are needed where columns cross), or, with
// Chunks, a batch's images (each holds all weights, and gradients are summed).
type Placement struct {
	Group *Group
	// Chunks is how many equal parts a batch is cut into, 0 where it is not; a
	// power of 2. Graphs are of one chunk's images. The parts' gradients are added in pairs, pairs of
	// pairs and so on, so the result depends on the number of chunks alone, not on that of the devices.
	// What is a function of the batch, as batch norm's statistics, is one of a chunk.
	Chunks int
}

// On is the placement of everything on one device.
func On(dev Device) Placement { return Placement{Group: NewGroup(dev)} }

// Check says whether a net with batches of so many images can be placed.
func (p Placement) Check(net *arch.Net, batch int) error {
	devices := p.Group.Len()
	switch {
	case p.Chunks == 0 && devices > 1:
		return p.checkColumns(net)
	case p.Chunks == 0:
		return nil
	case p.Chunks < 2 || p.Chunks&(p.Chunks-1) != 0:
		return fmt.Errorf("a batch in %d chunks: %w; their number must be a power of 2", p.Chunks, ErrPlacement)
	case batch%p.Chunks != 0:
		return fmt.Errorf("a batch of %d images in %d equal chunks: %w", batch, p.Chunks, ErrPlacement)
	case p.Chunks%devices != 0:
		return fmt.Errorf("%d chunks of a batch among %d devices (%s): %w; set train.chunks to a power of 2 that is a multiple of the devices",
			p.Chunks, devices, p.Group.Name(), ErrPlacement)
	}
	return nil
}

// checkColumns asks of every op of the net whether devices can share it.
func (p Placement) checkColumns(net *arch.Net) error {
	devices, columns := p.Group.Len(), max(net.Columns, 1)
	refused := func(why string) error {
		return fmt.Errorf("net %s among %d devices (%s): %s: %w; name fewer devices, or train with parallel: data",
			net.Name, devices, p.Group.Name(), why, ErrPlacement)
	}
	switch {
	case columns == 1:
		return refused("it has no columns")
	case columns%devices != 0:
		return refused(fmt.Sprintf("it has %d columns", columns))
	}
	g, err := graph.Build(net, 1, true)
	if err != nil {
		return err
	}
	for _, n := range g.Expr.AllNodes() {
		if g.Expr.From(n.ID()).Len() == 0 { // an input or a constant
			continue
		}
		if _, err := graph.Column(n.Op(), 0, devices); err != nil {
			return refused(err.Error())
		}
	}
	return nil
}

// ChunkOf is how many of a batch's images a graph is made for.
func (p Placement) ChunkOf(batch int) int { return batch / max(p.Chunks, 1) }

// home is how a parameter's weights and its velocity are divided. Of a net that
// every device has all weights of, each device updates an equal part.
func (p Placement) home(param graph.Param) (weights, velocity graph.Cut) {
	switch {
	case p.Group.Len() == 1:
		return graph.Cut{}, graph.Cut{}
	case p.Chunks == 0:
		return param.ByChannels(), param.ByChannels()
	default:
		return graph.Cut{}, flat(param.Shape)
	}
}

// flat cuts a tensor's values without regard to its shape.
func flat(shape []int) graph.Cut {
	return graph.Cut{Outer: 1, Length: Tensor{Shape: shape}.Len(), Inner: 1}
}

// A value is a node's value in one of the forms in which the devices hold it. A
// node has several where columns cross, or where each chunk of a batch has its own.
type value struct {
	shapes [][]int // one a device
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
	update *Update
	alias  *value // see action
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
