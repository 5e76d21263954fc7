package engine

import (
	"slices"

	"ablate/runner/graph"
)

// Cast stores values as another type, rounded to it.
type Cast struct{ To Type }

// lowerPrecision stores activations and their gradients in bfloat16. This halves the time that most
// layers spend on reading and writing them. Float32 stay: the values that the host writes and reads,
// parameters and their gradients, statistics, logits and the loss. Convolutions and dense layers take
// any types. A Cast precedes any other op that reads a value of the wrong type.
func (c *compiler) lowerPrecision(keep []*value) {
	n := lowering{c: c, kept: map[*value]bool{}, casts: map[*value]*value{}}
	c.types = map[*value]Type{}
	for _, k := range keep {
		n.kept[k] = true
	}
	for _, a := range c.actions {
		n.place(a)
	}
	c.actions = n.actions
}

// A lowering holds the list of actions while it grows.
type lowering struct {
	c       *compiler
	kept    map[*value]bool
	casts   map[*value]*value // a node's value in the other type
	actions []action
}

func (n *lowering) place(a action) {
	var as Type
	switch classOf(a.op) {
	case graph.Product:
		if !n.kept[a.out] {
			n.c.types[a.out] = BFloat16
		}
		n.actions = append(n.actions, a)
		return
	case graph.WeightProduct:
		n.actions = append(n.actions, a)
		return
	case graph.Float32Only:
		as = Float32
	default:
		as = BFloat16
		if !a.out.activation() && !slices.ContainsFunc(a.in, func(in *value) bool { return n.c.types[in] == BFloat16 }) {
			as = Float32 // a sum of values that are float32, such as the bias gradient of a last layer
		}
	}
	in := make([]*value, len(a.in))
	for i, node := range a.in {
		in[i] = n.cast(node, as)
	}
	a.in = in
	if a.Mask != nil {
		a.Mask = n.cast(a.Mask, as)
	}
	out := a.out
	if out == nil || as == Float32 || !out.activation() {
		n.actions = append(n.actions, a)
		return
	}
	if n.kept[out] {
		a.out = &value{name: out.name, shape: out.shape}
	}
	n.c.types[a.out] = BFloat16
	n.actions = append(n.actions, a)
	if n.kept[out] {
		n.casts[out] = a.out // for later readers
		n.actions = append(n.actions, action{name: "cast " + a.name, layer: a.layer, op: Cast{Float32}, in: []*value{a.out},
			out: out})
	}
}

// cast returns a value as another type. The first call for a value adds an action.
func (n *lowering) cast(node *value, to Type) *value {
	if !node.activation() || n.c.types[node] == to {
		return node
	}
	as, ok := n.casts[node]
	if !ok {
		as = &value{name: node.name, shape: node.shape}
		n.casts[node] = as
		n.c.types[as] = to
		n.actions = append(n.actions, action{name: "cast " + node.name, op: Cast{to}, in: []*value{node}, out: as})
	}
	return as
}

// classOf returns the class of an action's op. An update changes float32 weights.
func classOf(op any) graph.Class {
	if o, ok := op.(graph.Op); ok {
		return o.Class()
	}
	return graph.Float32Only
}
