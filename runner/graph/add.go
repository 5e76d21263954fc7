package graph

import (
	"fmt"

	"gorgonia.org/gorgonia"

	"ablate/arch"
)

// Add sums its inputs, from the first to the last: x₁, x₂ … → y.
type Add struct {
	meta
	Shape arch.Shape
}

// NewAdd makes the sum of several layers' outputs.
func NewAdd(layer string, batch int, s arch.Shape, inputs int) *Add {
	o := &Add{Shape: s}
	o.meta = meta{
		kind: "add", Layer: layer, Batch: batch, params: fmt.Sprintf("%+v", s),
		out: nhwc(batch, s),
		f32: func(in [][]float32, out []float32) { add(in, out) },
		f64: func(in [][]float64, out []float64) { add(in, out) },
	}
	for range inputs {
		o.in = append(o.in, nhwc(batch, s))
	}
	return o
}

// DiffWRT reports that all inputs have gradients.
func (o *Add) DiffWRT(n int) []bool { return all(n, n) }

// SymDiff returns the gradient of the sum for every input.
func (o *Add) SymDiff(in gorgonia.Nodes, _, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	var dx gorgonia.Nodes
	for range in {
		dx = append(dx, dy)
	}
	return dx, nil
}

func add[T float](in [][]T, y []T) {
	for i := range y {
		y[i] = in[0][i]
		for _, x := range in[1:] {
			y[i] += x[i]
		}
	}
}

// Shard divides by channels.
func (o *Add) Shard(s Split) (Shard, error) {
	return s.own(o, NewAdd(o.Layer, o.Batch, s.shape(o.Shape), len(o.in))), nil
}

// Op returns the op of a node: one of ours, or an Add in place of Gorgonia's own sum of two
// gradients, which occurs if several layers read a value. The Add belongs to the layer of the
// first gradient.
func (g *Graph) Op(n *gorgonia.Node) (Op, error) {
	if op, ok := n.Op().(Op); ok {
		return op, nil
	}
	_, binary := n.Op().(gorgonia.BinaryOp)
	if in := g.Expr.From(n.ID()); binary && n.Dims() == 4 && fmt.Sprint(n.Op())[0] == '+' && in.Next() {
		if first, ok := in.Node().(*gorgonia.Node); ok {
			if of, err := g.Op(first); err == nil {
				s := n.Shape()
				return NewAdd(of.LayerName(), s[0], image(s), 2), nil
			}
		}
	}
	return nil, fmt.Errorf("%v: not an op of ours", n.Op())
}

var _ = joins(func(b *builder, p arch.LayerInfo, l *arch.Residual, in []*gorgonia.Node) (*gorgonia.Node, error) {
	switch name := p.Layer.Name; {
	case l.Shortcut == arch.ShortcutConcat:
		return b.concat(name, in)
	case l.Shortcut == arch.ShortcutPad && p.In != p.Out:
		stride, _ := arch.StrideBetween(p.In, p.Out)
		shortcut, err := applied(NewPad(name, b.g.Batch, p.In, p.Out, stride), in[1])
		if err != nil {
			return nil, err
		}
		return applied(NewAdd(name, b.g.Batch, p.Out, 2), in[0], shortcut)
	default:
		return applied(NewAdd(name, b.g.Batch, p.Out, 2), in...)
	}
})

var _ = joins(func(b *builder, p arch.LayerInfo, l *arch.Branches, in []*gorgonia.Node) (*gorgonia.Node, error) {
	if l.Join == arch.JoinConcat {
		return b.concat(p.Layer.Name, in)
	}
	return applied(NewAdd(p.Layer.Name, b.g.Batch, p.Out, len(in)), in...)
})
