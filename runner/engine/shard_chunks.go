package engine

import (
	"ablate/runner/graph"
)

// byChunks trains some of a batch's chunks on each device, one after the other, with
// all weights. What the chunks' gradients come to is added in pairs. Then each
// device adds up one part of every gradient over the devices, updates that part
// of the weights and sends it to the others.
type byChunks struct {
	*schedule
	c      *compiler
	params *Params
	chunks int // of one device

	weights map[*value]*buffer
	shared  map[*value]*buffer   // constants
	values  []map[*value]*buffer // of each chunk
	sums    map[*value]bool      // nodes that are added over the chunks
	reduced map[*value]binding   // their means, where they are made
}

func shardChunks(c *compiler, params *Params, host []*value) (*schedule, error) {
	devices := params.where.Group.Len()
	b := &byChunks{
		schedule: newSchedule(devices), c: c, params: params, chunks: params.where.Chunks / devices,
		weights: map[*value]*buffer{}, shared: map[*value]*buffer{}, sums: map[*value]bool{}, reduced: map[*value]binding{},
	}
	for _, p := range c.g.Params {
		b.weights[c.value(p.Node)] = b.parameter(params.weights[p.Name])
		if p.Grad != nil {
			b.sums[c.value(p.Grad)] = true
		}
	}
	if c.g.Loss != nil {
		b.sums[c.value(c.g.Loss)] = true
	}
	for chunk := range b.chunks {
		b.values = append(b.values, map[*value]*buffer{})
		for _, a := range c.actions {
			if u, ok := a.op.(Update); !ok {
				b.place(a, chunk)
			} else if chunk == b.chunks-1 {
				b.update(u, a)
			}
		}
	}
	for _, v := range host {
		b.open(v)
	}
	return b.schedule, nil
}

// of returns a value's buffer in a chunk.
func (b *byChunks) of(n *value, chunk int) *buffer {
	if v, ok := b.weights[n]; ok {
		return v
	}
	in := b.values[chunk]
	if n.constant {
		in = b.shared
	}
	v, ok := in[n]
	if !ok {
		v = b.outside(n)
		in[n] = v
	}
	return v
}

// place adds an action on one chunk of every device.
func (b *byChunks) place(a action, chunk int) {
	var mask *buffer
	if a.Mask != nil {
		mask = b.of(a.Mask, chunk)
	}
	l := instruction{
		name: a.name, layer: a.layer, out: &buffer{shapes: same(b.devices, a.out.shape)}, Fused: withMask(a.Fused, mask),
	}
	for d := range b.devices {
		first := (d*b.chunks + chunk) * b.c.g.Batch
		l.ops = append(l.ops, graph.FromImage(a.op.(graph.Op), first))
	}
	for _, n := range a.in {
		l.in = append(l.in, b.of(n, chunk))
	}
	b.instructions = append(b.instructions, l)
	b.values[chunk][a.out] = l.out
	if b.sums[a.out] {
		b.addUp(a.out, chunk)
	}
}

// addUp adds the chunks so far in pairs, and pairs of pairs, where both are
// there. Earlier chunks are done with: their values take the sums.
func (b *byChunks) addUp(n *value, chunk int) {
	for step := 1; step < b.chunks && (chunk+1)%(2*step) == 0; step *= 2 {
		left, right := b.values[chunk+1-2*step][n], b.values[chunk+1-step][n]
		last := 2*step == b.chunks && b.devices == 1
		b.reduce(n.name, []*buffer{left, right}, last)
	}
	if chunk == b.chunks-1 && b.devices == 1 {
		b.reduced[n] = binding{buffers: []*buffer{b.values[0][n]}}
	}
}

// reduce adds pieces into the first. The last sum makes it a mean.
func (b *byChunks) reduce(name string, pieces []*buffer, last bool) {
	op := Reduce{Scale: 1}
	if last {
		op.Scale = 1 / float32(b.params.where.Chunks)
	}
	b.instructions = append(b.instructions, instruction{
		name: "sum " + name, ops: same[any](b.devices, op), in: pieces, out: pieces[0],
	})
}

// across takes one device's sum of a node from every device and adds them: each
// device gets its part of the mean, or all of a scalar.
func (b *byChunks) across(n *value) binding {
	if p, ok := b.reduced[n]; ok {
		return p
	}
	length := Tensor{Shape: n.shape}.Len()
	p := binding{sharding: flat(n.shape)}
	stacked, parts := graph.Sharding{Outer: 1, Length: b.devices, Inner: length}, graph.Sharding{Outer: b.devices,
		Length: length, Inner: 1}
	if p.sharding.Whole() {
		parts = graph.Sharding{}
	}
	rows := &buffer{}
	pieces := make([]*buffer, b.devices)
	for i := range pieces {
		pieces[i] = &buffer{base: rows}
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
	b.gather(n.name, b.values[0][n], rows, stacked, parts, false)
	b.reduce(n.name, pieces, true)
	p.buffers = pieces[:1]
	b.reduced[n] = p
	return p
}

// update changes the weights by the mean gradient: all of them, or each device
// its part, which the others then copy.
func (b *byChunks) update(u Update, a action) {
	weights, gradient := b.weights[a.in[0]], b.across(a.in[1])
	velocity := b.params.velocity[u.Param]
	part := weights
	if !velocity.sharding.Whole() {
		part = &buffer{base: weights}
		for d, t := range velocity.parts {
			first, _ := velocity.sharding.Block(d, b.devices)
			part.shapes, part.offs = append(part.shapes, t.Shape), append(part.offs, first)
		}
	}
	b.instructions = append(b.instructions, instruction{
		name: a.name, layer: a.layer, ops: same[any](b.devices, u),
		in: []*buffer{part, b.parameter(velocity), gradient.buffers[0]},
	})
	if part != weights {
		b.gather(a.in[0].name, part, weights, velocity.sharding, graph.Sharding{}, true)
	}
}

// open makes the binding of a node: the mean of what is summed, all chunks of anything else.
func (b *byChunks) open(n *value) {
	if b.sums[n] {
		b.bindHost(n, b.across(n))
		return
	}
	p := binding{sharding: graph.Sharding{Outer: 1, Length: b.params.where.Chunks, Inner: Tensor{Shape: n.shape}.Len()}}
	for chunk := range b.chunks {
		v, ok := b.values[chunk][n]
		if !ok {
			return // an input that nothing reads
		}
		p.buffers = append(p.buffers, v)
	}
	b.bindHost(n, p)
}
