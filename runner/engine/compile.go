package engine

import (
	"fmt"

	"gorgonia.org/gorgonia"

	"ablate/recipe"
	"ablate/runner/graph"
)

// An action is one kernel to be, before it is divided among devices: an op on values named by their nodes.
type action struct {
	name string
	op   any
	in   []*gorgonia.Node
	out  *gorgonia.Node // nil for an update, whose inputs are weights and gradient
	relu bool
	mask *gorgonia.Node     // of a fused ReLU gradient; nil if none
	pool *graph.MaxPoolGrad // fused into an LRN gradient; nil if none
	// update is the fused change of the weights, in[2]; nil if none.
	update *Update
}

type compiler struct {
	g       *graph.Graph
	actions []action
	uses    map[*gorgonia.Node]int // by actions and by being kept
	types   map[*gorgonia.Node]Type
}

func compile(g *graph.Graph, params *Params, keep []*gorgonia.Node, update []graph.Param) (*Program, error) {
	c := &compiler{g: g, uses: map[*gorgonia.Node]int{}}
	if err := c.schedule(keep, update); err != nil {
		return nil, fmt.Errorf("compile: %w", err)
	}
	c.count(keep)
	c.fuseReLU()
	if f, ok := params.where.alone().(Fuser); ok {
		c.fusePoolGrad(f)
	}
	c.fuseReLUGrad()
	if params.where.alone() != nil && params.where.Precision == recipe.BF16 {
		c.narrow(keep)
	}
	place := placeByColumns
	if params.where.Chunks == 0 {
		c.fuseUpdate()
	} else {
		place = placeByChunks
	}
	s, err := place(c, params, keep)
	if err != nil {
		return nil, fmt.Errorf("compile: %w", err)
	}
	s.inPlace()
	p, err := s.bind(params.where)
	if err != nil {
		return nil, fmt.Errorf("compile: %w", err)
	}
	return p, nil
}

// schedule lists the actions that the kept nodes and the updates need, inputs
// before users. Gradients are asked for from the last layer back, each update
// right after the last action that reads the old weights, so that a gradient
// lives as short as can be.
func (c *compiler) schedule(keep []*gorgonia.Node, update []graph.Param) error {
	seen := map[*gorgonia.Node]bool{}
	var visit func(n *gorgonia.Node) error
	visit = func(n *gorgonia.Node) error {
		if seen[n] {
			return nil
		}
		seen[n] = true
		if n.Op() == nil || n.IsVar() {
			return nil
		}
		in, err := c.children(n)
		if err != nil {
			return err
		}
		for _, child := range in {
			if err := visit(child); err != nil {
				return err
			}
		}
		if len(in) == 0 { // a constant
			return nil
		}
		c.actions = append(c.actions, action{name: nameOf(n.Op()), op: n.Op(), in: in, out: n})
		return nil
	}
	for _, n := range keep {
		if err := visit(n); err != nil {
			return err
		}
	}
	for i := len(update) - 1; i >= 0; i-- {
		if err := visit(update[i].Grad); err != nil {
			return err
		}
	}
	// Updates go in afterwards: by now it is known who reads the old weights.
	after := map[int][]action{}
	for _, p := range update {
		last := 0
		for i, a := range c.actions {
			for _, n := range append(a.in[:len(a.in):len(a.in)], a.out) {
				if n == p.Node || n == p.Grad {
					last = i
				}
			}
		}
		u := Update{Param: p.Name, LR: p.LR, Decay: p.Decay, Average: p.Average}
		after[last] = append(after[last], action{name: "update{" + p.Name + "}", op: u, in: []*gorgonia.Node{p.Node, p.Grad}})
	}
	var merged []action
	for i, a := range c.actions {
		merged = append(append(merged, a), after[i]...)
	}
	c.actions = merged
	return nil
}

// nameOf is what a step is called: graph's ops know their short names.
func nameOf(op gorgonia.Op) string {
	if named, ok := op.(interface{ Name() string }); ok {
		return named.Name()
	}
	return fmt.Sprint(op)
}

func (c *compiler) children(n *gorgonia.Node) ([]*gorgonia.Node, error) {
	var in []*gorgonia.Node
	for it := c.g.Expr.From(n.ID()); it.Next(); {
		child, ok := it.Node().(*gorgonia.Node)
		if !ok {
			return nil, fmt.Errorf("%v: child is a %T", n, it.Node())
		}
		in = append(in, child)
	}
	return in, nil
}

func (c *compiler) count(keep []*gorgonia.Node) {
	for _, a := range c.actions {
		for _, n := range a.in {
			c.uses[n]++
		}
	}
	for _, n := range keep {
		c.uses[n]++
	}
}

// fuseReLU lets a convolution or dense layer apply the ReLU that alone reads
// its output: the sum is still in registers then, and x is never stored.
func (c *compiler) fuseReLU() {
	by := map[*gorgonia.Node]int{}
	var kept []action
	for _, a := range c.actions {
		if u, ok := a.op.(*graph.Unit); ok && u.F == graph.ReLU && c.uses[a.in[0]] == 1 {
			if i, ok := by[a.in[0]]; ok {
				kept[i].relu, kept[i].out = true, a.out
				kept[i].name += "+relu"
				continue
			}
		}
		switch a.op.(type) {
		case *graph.Conv, *graph.Dense:
			by[a.out] = len(kept)
		}
		kept = append(kept, a)
	}
	c.actions = kept
}

// fusePoolGrad lets an LRN layer's gradient gather from the pooling behind it:
// the gradient between them, AlexNet's largest tensor, is neither stored nor read.
func (c *compiler) fusePoolGrad(f Fuser) {
	by := map[*gorgonia.Node]int{}
	var kept []action
	for _, a := range c.actions {
		switch op := a.op.(type) {
		case *graph.MaxPoolGrad:
			by[a.out] = len(kept)
		case *graph.LRNGrad:
			i, ok := by[a.in[1]]
			if !ok || c.uses[a.in[1]] > 1 {
				break
			}
			pool := &kept[i]
			grad := pool.op.(*graph.MaxPoolGrad)
			if !f.FusesPool(op, grad) {
				break
			}
			*pool = action{name: pool.name + "+" + a.name, op: op, in: []*gorgonia.Node{a.in[0], pool.in[0], pool.in[2]}, out: a.out, pool: grad}
			continue
		}
		kept = append(kept, a)
	}
	c.actions = kept
}

// fuseReLUGrad lets the op that alone makes a ReLU's incoming gradient also zero
// it where the ReLU was closed: one pass over memory less. Convolutions and dense
// layers do not: their tiles are 64 channels wide, and reading the ReLU's output
// in such pieces cost AlexNet's conv4 14 ms of 145 where a pass of its own costs 4.
func (c *compiler) fuseReLUGrad() {
	by := map[*gorgonia.Node]int{}
	var kept []action
	for _, a := range c.actions {
		if u, ok := a.op.(*graph.UnitGrad); ok && u.F == graph.ReLU && c.uses[a.in[1]] == 1 {
			if i, ok := by[a.in[1]]; ok {
				kept[i].mask, kept[i].out = a.in[0], a.out
				kept[i].name += "+relu-grad"
				continue
			}
		}
		switch a.op.(type) {
		case *graph.LRNGrad, *graph.MaxPoolGrad, *graph.AvgPoolGrad, *graph.Dropout:
			by[a.out] = len(kept)
		}
		kept = append(kept, a)
	}
	c.actions = kept
}

// fuseUpdate lets a dense layer's weight gradient update the weights as it is
// made: AlexNet's fc6 has 151 MB of it, which are then neither stored nor read.
func (c *compiler) fuseUpdate() {
	by := map[*gorgonia.Node]action{}
	for _, a := range c.actions {
		if _, ok := a.op.(*graph.DenseWeightGrad); ok && c.uses[a.out] == 1 {
			by[a.out] = a
		}
	}
	var kept []action
	fused := map[*gorgonia.Node]bool{}
	for _, a := range c.actions {
		if u, ok := a.op.(Update); ok {
			if grad, ok := by[a.in[1]]; ok { // here, where nobody reads the old weights any more
				fused[grad.out] = true
				a = action{name: grad.name + "+update", op: grad.op, in: append(grad.in[:len(grad.in):len(grad.in)], a.in[0]), update: &u}
			}
		}
		kept = append(kept, a)
	}
	c.actions = kept[:0]
	for _, a := range kept {
		if a.out == nil || !fused[a.out] {
			c.actions = append(c.actions, a)
		}
	}
}

// given says that a node's value comes from outside the program: an input or a constant.
func (c *compiler) given(n *gorgonia.Node) bool {
	return n.Op() == nil || n.IsVar() || c.g.Expr.From(n.ID()).Len() == 0
}

// inputs are the nodes that the host writes.
func (c *compiler) inputs() []*gorgonia.Node {
	if c.g.Labels == nil {
		return []*gorgonia.Node{c.g.Input}
	}
	return []*gorgonia.Node{c.g.Input, c.g.Labels}
}
