package engine

import (
	"fmt"
	"slices"

	"ablate/runner/graph"
)

// A layout is a buffer and how it is divided among the devices.
type layout struct {
	sharding graph.Sharding
	buffer   *buffer
}

// byColumns places a block of every layer's channels on each device. Where an op needs channels of
// another device, a gather precedes it.
type byColumns struct {
	*schedule
	params  *Params
	types   map[*value]Type
	layouts map[*value][]layout
}

func shardColumns(c *compiler, params *Params, host []*value) (*schedule, error) {
	b := &byColumns{schedule: newSchedule(params.where.Group.Len()), params: params, types: c.types,
		layouts: map[*value][]layout{}}
	for _, p := range c.g.Params {
		w := params.weights[p.Name]
		b.layouts[c.value(p.Node)] = []layout{{w.sharding, b.parameter(w)}}
	}
	for _, a := range c.actions {
		if err := b.place(a); err != nil {
			return nil, err
		}
	}
	for _, v := range host {
		if l := b.layouts[v]; len(l) > 0 {
			b.bindHost(v, binding{l[0].sharding, []*buffer{l[0].buffer}})
		}
	}
	return b.schedule, nil
}

// place adds an action, after the gathers that it needs.
func (b *byColumns) place(a action) error {
	switch op := a.op.(type) {
	case Update:
		b.update(a, op)
		return nil
	case EMA:
		b.instructions = append(b.instructions, instruction{name: a.name, layer: a.layer, ops: same[any](b.devices, op),
			in: []*buffer{b.parameter(b.params.average[op.Param]), b.layouts[a.in[0]][0].buffer}})
		return nil
	case Norm:
		b.norm(a, op)
		return nil
	case Cast:
		b.cast(a, op)
		return nil
	}
	shards, err := b.shards(a.op.(graph.Op))
	if err != nil {
		return err
	}
	in := instruction{name: a.name, layer: a.layer}
	for _, s := range shards {
		in.ops = append(in.ops, s.Op)
	}
	var mask *buffer
	if a.Update == nil {
		in.out = &buffer{kind: b.types[a.out]}
		for _, s := range shards {
			in.out.shapes = append(in.out.shapes, s.Op.OutputShape())
		}
		if a.Mask != nil {
			mask = b.need(a.Mask, shards[0].Out, in.out.shapes)
		}
	}
	in.Fused = withMask(a.Fused, mask)
	for i, v := range a.in {
		in.in = append(in.in, b.operand(a, shards, i, v))
	}
	if a.Update != nil {
		in.in = append(in.in, b.parameter(b.params.state[0][a.Update.Param]))
	}
	b.instructions = append(b.instructions, in)
	if a.out != nil {
		b.layouts[a.out] = append(b.layouts[a.out], layout{shards[0].Out, in.out})
	}
	return nil
}

// operand returns input i of an action, cut as its shards need it.
func (b *byColumns) operand(a action, shards []graph.Shard, i int, v *value) *buffer {
	switch {
	case a.Pool != nil: // on one device: whole
		return b.need(v, graph.Sharding{}, nil)
	case i >= len(shards[0].In): // the weights of a fused update
		return b.need(v, b.params.weights[a.Update.Param].sharding, nil)
	}
	var shapes [][]int
	for _, s := range shards {
		shapes = append(shapes, s.Op.InputShapes()[i])
	}
	return b.need(v, shards[0].In[i], shapes)
}

// update changes each device's part of the weights.
func (b *byColumns) update(a action, u Update) {
	where := b.params.weights[u.Param].sharding
	in := instruction{name: a.name, layer: a.layer, ops: same[any](b.devices, u)}
	in.in = b.params.operands(b.schedule, u, b.need(a.in[0], where, nil), b.need(a.in[1], where, nil))
	for _, v := range a.in[2:] {
		in.in = append(in.in, b.layouts[v][0].buffer)
	}
	b.instructions = append(b.instructions, in)
}

// norm adds a norm that every device computes, including over values of the other devices. The order
// of the sum is the same wherever the values lie.
func (b *byColumns) norm(a action, op Norm) {
	in := instruction{name: a.name, layer: a.layer, ops: same[any](b.devices, op)}
	for _, v := range a.in {
		in.in = append(in.in, b.need(v, graph.Sharding{}, same(b.devices, v.shape)))
	}
	in.out = &buffer{shapes: same(b.devices, a.out.shape)}
	b.instructions = append(b.instructions, in)
	b.layouts[a.out] = []layout{{graph.Sharding{}, in.out}}
}

// cast stores a value as another type. Only a single device does so.
func (b *byColumns) cast(a action, c Cast) {
	from := b.need(a.in[0], graph.Sharding{}, nil)
	out := &buffer{shapes: from.shapes, kind: b.types[a.out]}
	b.instructions = append(b.instructions, instruction{
		name: a.name, layer: a.layer, ops: []any{c}, in: []*buffer{from}, out: out,
	})
	b.layouts[a.out] = []layout{{graph.Sharding{}, out}}
}

// shards returns what each device computes of an op.
func (b *byColumns) shards(op graph.Op) ([]graph.Shard, error) {
	if b.devices == 1 {
		return []graph.Shard{{Op: op, In: make([]graph.Sharding, op.Arity())}}, nil
	}
	var shards []graph.Shard
	for d := range b.devices {
		s, err := op.Shard(graph.Split{I: d, Of: b.devices})
		if err != nil {
			return nil, fmt.Errorf("%w: %w", err, ErrPlacement) // see Placement.Check
		}
		shards = append(shards, s)
	}
	return shards, nil
}

// need returns a value sharded as asked. This takes a gather if no device has its part yet.
func (b *byColumns) need(v *value, as graph.Sharding, shapes [][]int) *buffer {
	if len(b.layouts[v]) == 0 {
		b.layouts[v] = []layout{{graph.Sharding{}, b.outside(v)}}
	}
	layouts := b.layouts[v]
	if i := slices.IndexFunc(layouts, func(l layout) bool { return l.sharding == as }); i >= 0 {
		return layouts[i].buffer
	}
	from := layouts[0]
	if i := slices.IndexFunc(layouts, func(l layout) bool { return l.sharding.Whole() }); i >= 0 {
		from = layouts[i] // then no other device is needed
	}
	part := &buffer{shapes: shapes}
	b.gather(v.name, from.buffer, part, from.sharding, as, false)
	b.layouts[v] = append(layouts, layout{as, part})
	return part
}
