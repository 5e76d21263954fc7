package engine

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"ablate/runner/graph"
)

// A form is a value and how it is divided among the devices.
type form struct {
	cut   graph.Cut
	value *value
}

// byColumns gives each device a block of every layer's channels. Where an op
// needs channels of another device, a transfer comes before it.
type byColumns struct {
	*script
	params *Params
	types  map[*gorgonia.Node]Type
	forms  map[*gorgonia.Node][]form
}

func placeByColumns(c *compiler, params *Params, keep []*gorgonia.Node) (*script, error) {
	b := &byColumns{newScript(params.where.Group.Len()), params, c.types, map[*gorgonia.Node][]form{}}
	for _, p := range c.g.Params {
		w := params.weights[p.Name]
		b.forms[p.Node] = []form{{w.cut, b.stored(w)}}
	}
	for _, a := range c.actions {
		if err := b.place(a); err != nil {
			return nil, err
		}
	}
	for _, n := range append(keep[:len(keep):len(keep)], c.inputs()...) {
		if forms := b.forms[n]; len(forms) > 0 {
			b.keep(n, port{forms[0].cut, []*value{forms[0].value}})
		}
	}
	return b.script, nil
}

// place adds an action, after the transfers that it needs.
func (b *byColumns) place(a action) error {
	l := launch{name: a.name, relu: a.relu, pool: a.pool, update: a.update}
	if u, ok := a.op.(Update); ok {
		home := b.params.weights[u.Param].cut
		l.ops = same[any](b.devices, u)
		l.in = []*value{b.need(a.in[0], home, nil), b.stored(b.params.velocity[u.Param]), b.need(a.in[1], home, nil)}
		b.launches = append(b.launches, l)
		return nil
	}
	if _, ok := a.op.(Cast); ok {
		from := b.need(a.in[0], graph.Cut{}, nil)
		l.ops, l.in, l.out = []any{a.op}, []*value{from}, &value{shapes: from.shapes, kind: b.types[a.out]}
		b.launches = append(b.launches, l)
		b.forms[a.out] = []form{{graph.Cut{}, l.out}}
		return nil
	}
	shares, err := b.shares(a.op.(gorgonia.Op))
	if err != nil {
		return err
	}
	for _, s := range shares {
		l.ops = append(l.ops, s.Op)
	}
	if a.update == nil {
		l.out = &value{kind: b.types[a.out]}
		for _, s := range shares {
			l.out.shapes = append(l.out.shapes, s.Op.(shaped).OutputShape())
		}
	}
	for i, n := range a.in {
		var cut graph.Cut
		var shapes [][]int
		switch {
		case a.pool != nil: // on one device: whole
		case i < len(shares[0].In):
			cut = shares[0].In[i]
			for _, s := range shares {
				shapes = append(shapes, s.Op.(shaped).InputShapes()[i])
			}
		default: // the weights of a fused update
			cut = b.params.weights[a.update.Param].cut
		}
		l.in = append(l.in, b.need(n, cut, shapes))
	}
	if a.update != nil {
		l.in = append(l.in, b.stored(b.params.velocity[a.update.Param]))
	}
	if a.mask != nil {
		l.mask = b.need(a.mask, shares[0].Out, l.out.shapes)
	}
	b.launches = append(b.launches, l)
	if a.out != nil {
		b.forms[a.out] = append(b.forms[a.out], form{shares[0].Out, l.out})
	}
	return nil
}

// shaped is what every op of a graph knows of itself.
type shaped interface {
	InputShapes() []tensor.Shape
	OutputShape() tensor.Shape
}

// shares says what each device computes of an op.
func (b *byColumns) shares(op gorgonia.Op) ([]graph.Share, error) {
	if b.devices == 1 {
		return []graph.Share{{Op: op, In: make([]graph.Cut, op.Arity())}}, nil
	}
	var shares []graph.Share
	for d := range b.devices {
		s, err := graph.Column(op, d, b.devices)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", err, ErrPlacement) // see Placement.Check
		}
		shares = append(shares, s)
	}
	return shares, nil
}

// need gives a node cut as asked, which takes a transfer if no device has its part yet.
func (b *byColumns) need(n *gorgonia.Node, cut graph.Cut, shapes [][]int) *value {
	if len(b.forms[n]) == 0 {
		b.forms[n] = []form{{graph.Cut{}, b.external(n)}}
	}
	forms := b.forms[n]
	if i := slices.IndexFunc(forms, func(f form) bool { return f.cut == cut }); i >= 0 {
		return forms[i].value
	}
	from := forms[0]
	if i := slices.IndexFunc(forms, func(f form) bool { return f.cut.Whole() }); i >= 0 {
		from = forms[i] // no other device is needed then
	}
	v := &value{shapes: shapes}
	b.move(described(n), from.value, v, from.cut, cut, false)
	b.forms[n] = append(forms, form{cut, v})
	return v
}

// described says what a node holds, the layer in braces as in every step's name: maxpool{pool2}, value{fc6.weight}.
func described(n *gorgonia.Node) string {
	if n.Op() == nil || n.IsVar() {
		return "value{" + n.Name() + "}"
	}
	return nameOf(n.Op())
}
