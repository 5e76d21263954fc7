package engine

import (
	"ablate/runner/graph"
)

// byChunks trains some of a batch's chunks on each device, one after the other, with all weights. The
// gradients of the chunks are added in pairs. Then each device adds up one part of every gradient over
// the devices, updates that part of the weights and sends it to the others.
type byChunks struct {
	*schedule
	c      *compiler
	params *Params
	chunks int // of one device

	weights map[*value]*buffer
	shared  map[*value]*buffer   // constants
	values  []map[*value]*buffer // of each chunk
	sums    map[*value]bool      // nodes that are added over the chunks
	reduced map[*value]binding   // the means of those sums, where they are computed
	norms   map[*value]*buffer
}

func shardChunks(c *compiler, params *Params, host []*value) (*schedule, error) {
	devices := params.where.Group.Len()
	b := &byChunks{
		schedule: newSchedule(devices), c: c, params: params, chunks: params.where.Chunks / devices,
		weights: map[*value]*buffer{}, shared: map[*value]*buffer{}, sums: map[*value]bool{}, reduced: map[*value]binding{},
		norms: map[*value]*buffer{},
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
			switch op := a.op.(type) {
			case Update, EMA, Norm:
				if chunk == b.chunks-1 {
					b.whole(op, a)
				}
			default:
				b.place(a, chunk)
			}
		}
	}
	for _, v := range host {
		b.open(v)
	}
	return b.schedule, nil
}

// of returns a node's buffer in a chunk.
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

// addUp adds the results of the chunks so far in pairs, and pairs of pairs, where both are complete.
// The values of earlier chunks are no longer needed, and their memory takes the sums.
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

// reduce adds pieces into the first of them. The last sum is turned into a mean.
func (b *byChunks) reduce(name string, pieces []*buffer, last bool) {
	op := Reduce{Scale: 1}
	if last {
		op.Scale = 1 / float32(b.params.where.Chunks)
	}
	b.instructions = append(b.instructions, instruction{
		name: "sum " + name, ops: same[any](b.devices, op), in: pieces, out: pieces[0],
	})
}

// across takes every device's sum of a node and adds these sums. Each device gets its part of the
// mean, or the whole mean if it is a scalar.
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

// whole adds an action on the whole batch, after its last chunk.
func (b *byChunks) whole(op any, a action) {
	switch op := op.(type) {
	case Update:
		b.update(op, a)
	case EMA:
		b.instructions = append(b.instructions, instruction{name: a.name, layer: a.layer, ops: same[any](b.devices, op),
			in: []*buffer{b.parameter(b.params.average[op.Param]), b.weights[a.in[0]]}})
	default:
		b.norm(a)
	}
}

// update changes the weights by the mean gradient. A device updates all of them, or only its part,
// which the others then copy.
func (b *byChunks) update(u Update, a action) {
	weights, gradient := b.weights[a.in[0]], b.across(a.in[1])
	state := b.params.state[0][u.Param]
	part := weights
	if !state.sharding.Whole() {
		part = &buffer{base: weights}
		for d, t := range state.parts {
			first, _ := state.sharding.Block(d, b.devices)
			part.shapes, part.offs = append(part.shapes, t.Shape), append(part.offs, first)
		}
	}
	in := instruction{name: a.name, layer: a.layer, ops: same[any](b.devices, u)}
	in.in = b.params.operands(b.schedule, u, part, gradient.buffers[0])
	for _, v := range a.in[2:] {
		in.in = append(in.in, b.norms[v])
	}
	b.instructions = append(b.instructions, in)
	if part != weights {
		b.gather(a.in[0].name, part, weights, state.sharding, graph.Sharding{}, true)
	}
}

// norm adds a norm of weights or of whole mean gradients, which every device computes. The order of
// the sum is the same wherever the values lie.
func (b *byChunks) norm(a action) {
	in := instruction{name: a.name, layer: a.layer, ops: same[any](b.devices, Norm{})}
	for _, v := range a.in {
		if weights, ok := b.weights[v]; ok {
			in.in = append(in.in, weights)
			continue
		}
		mean := b.across(v)
		all := mean.buffers[0]
		if !mean.sharding.Whole() {
			all = &buffer{shapes: same(b.devices, v.shape)}
			b.gather(v.name, mean.buffers[0], all, mean.sharding, graph.Sharding{}, false)
		}
		in.in = append(in.in, all)
	}
	in.out = &buffer{shapes: same(b.devices, a.out.shape)}
	b.instructions = append(b.instructions, in)
	b.norms[a.out] = in.out
}

// open makes the binding of a node: the mean of a value that is summed, all chunks of any other value.
func (b *byChunks) open(n *value) {
	if b.sums[n] {
		b.bindHost(n, b.across(n))
		return
	}
	p := binding{sharding: graph.Sharding{Outer: 1, Length: b.params.where.Chunks, Inner: Tensor{Shape: n.shape}.Len()}}
	for chunk := range b.chunks {
		v, ok := b.values[chunk][n]
		if !ok {
			return // an input that no action reads
		}
		p.buffers = append(p.buffers, v)
	}
	b.bindHost(n, p)
}
