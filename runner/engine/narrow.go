package engine

import (
	"slices"

	"gorgonia.org/gorgonia"

	"ablate/runner/graph"
)

// Cast stores values as another type, rounded to it.
type Cast struct{ To Type }

// narrow stores activations and their gradients in bfloat16, which halves what
// most layers' time goes into, reading and writing them. What the host writes and
// reads, parameters and their gradients, statistics, logits and the loss stay
// float32. Convolutions and dense layers take any types; before other ops that
// meet a value of the wrong one a Cast comes.
func (c *compiler) narrow(keep []*gorgonia.Node) {
	n := narrowing{c: c, kept: map[*gorgonia.Node]bool{}, casts: map[*gorgonia.Node]*gorgonia.Node{}}
	c.types = map[*gorgonia.Node]Type{}
	for _, k := range keep {
		n.kept[k] = true
	}
	for _, a := range c.actions {
		n.place(a)
	}
	c.actions = n.actions
}

// A narrowing is the list of actions as it grows.
type narrowing struct {
	c       *compiler
	kept    map[*gorgonia.Node]bool
	casts   map[*gorgonia.Node]*gorgonia.Node // of a node, to the other type
	actions []action
}

func (n *narrowing) place(a action) {
	var as Type
	switch a.op.(type) {
	case *graph.Conv, *graph.ConvDataGrad, *graph.Dense, *graph.DenseDataGrad:
		if !n.kept[a.out] {
			n.c.types[a.out] = BFloat16
		}
		n.actions = append(n.actions, a)
		return
	case *graph.ConvWeightGrad, *graph.DenseWeightGrad:
		n.actions = append(n.actions, a)
		return
	case *graph.SoftmaxLoss, *graph.SoftmaxLossGrad, *graph.Local, *graph.LocalDataGrad, *graph.LocalWeightGrad, Update:
		as = Float32
	default:
		as = BFloat16
		if !activation(a.out) && !slices.ContainsFunc(a.in, func(in *gorgonia.Node) bool { return n.c.types[in] == BFloat16 }) {
			as = Float32 // a sum of values that are float32, as a last layer's bias gradient
		}
	}
	in := make([]*gorgonia.Node, len(a.in))
	for i, node := range a.in {
		in[i] = n.cast(node, as)
	}
	a.in = in
	if a.mask != nil {
		a.mask = n.cast(a.mask, as)
	}
	out := a.out
	if out == nil || as == Float32 || !activation(out) {
		n.actions = append(n.actions, a)
		return
	}
	if n.kept[out] {
		a.out = new(gorgonia.Node)
	}
	n.c.types[a.out] = BFloat16
	n.actions = append(n.actions, a)
	if n.kept[out] {
		n.casts[out] = a.out // for those who read it on
		n.actions = append(n.actions, action{name: "cast " + a.name, op: Cast{Float32}, in: []*gorgonia.Node{a.out}, out: out})
	}
}

// cast gives a node as another type, which takes an action the first time.
func (n *narrowing) cast(node *gorgonia.Node, to Type) *gorgonia.Node {
	if !activation(node) || n.c.types[node] == to {
		return node
	}
	as, ok := n.casts[node]
	if !ok {
		as = new(gorgonia.Node)
		n.casts[node] = as
		n.c.types[as] = to
		n.actions = append(n.actions, action{name: "cast " + described(node), op: Cast{to}, in: []*gorgonia.Node{node}, out: as})
	}
	return as
}

// activation tells images' values, and gradients to them, from what belongs to a
// channel. Weights, which may have four axes too, are read by convolutions alone.
func activation(n *gorgonia.Node) bool { return n.Shape().Dims() == 4 }
