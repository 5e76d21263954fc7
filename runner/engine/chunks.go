package engine

import (
	"gorgonia.org/gorgonia"

	"ablate/runner/graph"
)

// byChunks gives each device some of a batch's chunks, one after the other, and
// all weights. What the chunks' gradients come to is added in pairs. Then each
// device adds up one part of every gradient over the devices, updates that part
// of the weights and gives it to the others.
type byChunks struct {
	*script
	c      *compiler
	params *Params
	chunks int // of one device

	weights map[*gorgonia.Node]*value
	shared  map[*gorgonia.Node]*value   // constants
	values  []map[*gorgonia.Node]*value // of each chunk
	sums    map[*gorgonia.Node]bool     // nodes that are added over the chunks
	reduced map[*gorgonia.Node]port     // their means, where they are made
}

func placeByChunks(c *compiler, params *Params, keep []*gorgonia.Node) (*script, error) {
	devices := params.where.Group.Len()
	b := &byChunks{newScript(devices), c, params, params.where.Chunks / devices,
		map[*gorgonia.Node]*value{}, map[*gorgonia.Node]*value{}, nil, map[*gorgonia.Node]bool{}, map[*gorgonia.Node]port{}}
	for _, p := range c.g.Params {
		b.weights[p.Node] = b.stored(params.weights[p.Name])
		if p.Grad != nil {
			b.sums[p.Grad] = true
		}
	}
	if c.g.Loss != nil {
		b.sums[c.g.Loss] = true
	}
	for chunk := range b.chunks {
		b.values = append(b.values, map[*gorgonia.Node]*value{})
		for _, a := range c.actions {
			if u, ok := a.op.(Update); !ok {
				b.place(a, chunk)
			} else if chunk == b.chunks-1 {
				b.update(u, a)
			}
		}
	}
	for _, n := range append(keep[:len(keep):len(keep)], c.inputs()...) {
		b.open(n)
	}
	return b.script, nil
}

// of gives a node's value in a chunk.
func (b *byChunks) of(n *gorgonia.Node, chunk int) *value {
	if v, ok := b.weights[n]; ok {
		return v
	}
	in := b.values[chunk]
	if n.Op() != nil && !n.IsVar() && b.c.given(n) {
		in = b.shared
	}
	v, ok := in[n]
	if !ok {
		v = b.external(n)
		in[n] = v
	}
	return v
}

// place adds an action on one chunk of every device.
func (b *byChunks) place(a action, chunk int) {
	l := launch{name: a.name, relu: a.relu, out: &value{shapes: same(b.devices, []int(a.out.Shape()))}}
	for d := range b.devices {
		first := (d*b.chunks + chunk) * b.c.g.Batch
		l.ops = append(l.ops, graph.FromImage(a.op.(gorgonia.Op), first))
	}
	for _, n := range a.in {
		l.in = append(l.in, b.of(n, chunk))
	}
	if a.mask != nil {
		l.mask = b.of(a.mask, chunk)
	}
	b.launches = append(b.launches, l)
	b.values[chunk][a.out] = l.out
	if b.sums[a.out] {
		b.addUp(a.out, chunk)
	}
}

// addUp adds the chunks so far in pairs, and pairs of pairs, where both are
// there. Earlier chunks are done with: their values take the sums.
func (b *byChunks) addUp(n *gorgonia.Node, chunk int) {
	for step := 1; step < b.chunks && (chunk+1)%(2*step) == 0; step *= 2 {
		left, right := b.values[chunk+1-2*step][n], b.values[chunk+1-step][n]
		last := 2*step == b.chunks && b.devices == 1
		b.sum(described(n), []*value{left, right}, last)
	}
	if chunk == b.chunks-1 && b.devices == 1 {
		b.reduced[n] = port{values: []*value{b.values[0][n]}}
	}
}

// sum adds pieces into the first. The last sum makes it a mean.
func (b *byChunks) sum(name string, pieces []*value, last bool) {
	op := Sum{Scale: 1}
	if last {
		op.Scale = 1 / float32(b.params.where.Chunks)
	}
	b.launches = append(b.launches, launch{name: "sum " + name, ops: same[any](b.devices, op), in: pieces, out: pieces[0]})
}

// across takes one device's sum of a node from every device and adds them: each
// device gets its part of the mean, or all of a scalar.
func (b *byChunks) across(n *gorgonia.Node) port {
	if p, ok := b.reduced[n]; ok {
		return p
	}
	length := Tensor{Shape: n.Shape()}.Len()
	p := port{cut: flat(n.Shape())}
	stacked, parts := graph.Cut{Outer: 1, Length: b.devices, Inner: length}, graph.Cut{Outer: b.devices, Length: length, Inner: 1}
	if p.cut.Whole() {
		parts = graph.Cut{}
	}
	rows := &value{}
	pieces := make([]*value, b.devices)
	for i := range pieces {
		pieces[i] = &value{base: rows}
	}
	for d := range b.devices {
		take := length
		if !parts.Whole() {
			_, take = parts.Block(d, b.devices)
		}
		rows.shapes = append(rows.shapes, []int{b.devices, take})
		for i, piece := range pieces {
			piece.shapes, piece.offs = append(piece.shapes, []int{take}), append(piece.offs, i*take)
		}
	}
	b.move(described(n), b.values[0][n], rows, stacked, parts, false)
	b.sum(described(n), pieces, true)
	p.values = pieces[:1]
	b.reduced[n] = p
	return p
}

// update changes the weights by the mean gradient: all of them, or each device
// its part, which the others then copy.
func (b *byChunks) update(u Update, a action) {
	weights, gradient := b.weights[a.in[0]], b.across(a.in[1])
	velocity := b.params.velocity[u.Param]
	part := weights
	if !velocity.cut.Whole() {
		part = &value{base: weights}
		for d, t := range velocity.parts {
			first, _ := velocity.cut.Block(d, b.devices)
			part.shapes, part.offs = append(part.shapes, t.Shape), append(part.offs, first)
		}
	}
	b.launches = append(b.launches, launch{name: a.name, ops: same[any](b.devices, u),
		in: []*value{part, b.stored(velocity), gradient.values[0]}})
	if part != weights {
		b.move(described(a.in[0]), part, weights, velocity.cut, graph.Cut{}, true)
	}
}

// open makes the port of a node: the mean of what is summed, all chunks of anything else.
func (b *byChunks) open(n *gorgonia.Node) {
	if b.sums[n] {
		b.keep(n, b.across(n))
		return
	}
	p := port{cut: graph.Cut{Outer: 1, Length: b.params.where.Chunks, Inner: Tensor{Shape: n.Shape()}.Len()}}
	for chunk := range b.chunks {
		v, ok := b.values[chunk][n]
		if !ok {
			return // an input that nothing reads
		}
		p.values = append(p.values, v)
	}
	b.keep(n, p)
}
