package engine

import (
	"fmt"

	"gorgonia.org/gorgonia"

	"ablate/recipe"
	"ablate/runner/graph"
)

// A value is a node of the graph as the compiler's passes see it, or a value that a pass added.
type value struct {
	name     string // with the layer in braces, as in the name of every step: maxpool{pool2}, value{fc6.weight}
	shape    []int
	constant bool     // the same for every image and chunk
	number   *float32 // the value of a constant
}

// activation reports whether a value holds images' values, or gradients with respect to them. Weights
// may also have four axes, but only convolutions read those.
func (v *value) activation() bool { return len(v.shape) == 4 }

// Fused is what a kernel does besides its own op. V is the type by which a stage of compilation names
// values. Fused passes from stage to stage as a whole, so that no stage drops a part.
type Fused[V any] struct {
	ReLU bool // a Conv, Dense, BatchNorm or Add also applies max(0, ·) to its output
	// Mask is set if the op is the data gradient of a pooling, LRN or Dropout layer that follows a
	// ReLU. It is the output of that ReLU: the result is also zeroed where Mask is not positive.
	Mask V
	// Pool is set if the op is the data gradient of an LRN layer, and the device is a Fuser. It is the
	// gradient of the max pooling behind that layer. The inputs are then {x, y, dy}, with LRN's x and
	// y, and the gradient dy of the pooling's output.
	Pool *graph.MaxPoolGrad
	// Update makes a DenseWeightGrad change the weights (its input 2) and velocities (its input 3)
	// instead of storing the gradient. There is then no output.
	Update *Update
}

// withMask returns f with its mask replaced by the next stage's name for it.
func withMask[A, B any](f Fused[A], mask B) Fused[B] {
	return Fused[B]{ReLU: f.ReLU, Mask: mask, Pool: f.Pool, Update: f.Update}
}

// An action is a kernel before it is divided among devices: an op on values.
type action struct {
	name  string
	layer string // the layer that the op belongs to
	op    any    // a graph.Op, Update, EMA, Norm or Cast
	in    []*value
	out   *value // nil for an update, whose inputs are weights, gradient and norms
	Fused[*value]
}

// A compiler holds the graph as actions while the passes change them. Only this
// file knows Gorgonia's nodes.
type compiler struct {
	g       *graph.Graph
	values  map[*gorgonia.Node]*value
	actions []action
	uses    map[*value]int // how many actions use a value; a kept value has one use more
	types   map[*value]Type
}

// compile takes a graph through the passes. They are files of this package, in this order: compile,
// fuse, precision, shard_columns or shard_chunks, schedule, memory, bind.
func compile(g *graph.Graph, params *Params, keep []*gorgonia.Node, update []graph.Param) (*Program, error) {
	c := &compiler{g: g, values: map[*gorgonia.Node]*value{}, uses: map[*value]int{}}
	if err := c.translate(keep, update, params.rule); err != nil {
		return nil, fmt.Errorf("compile: %w", err)
	}
	kept := c.all(keep)
	c.count(kept)
	c.fuseReLU()
	if f, ok := params.where.single().(Fuser); ok {
		c.fusePoolGrad(f)
	}
	c.fuseReLUGrad()
	if params.where.single() != nil && params.where.Precision == recipe.BF16 {
		c.lowerPrecision(kept)
	}
	shard := shardColumns
	if params.where.Chunks == 0 {
		c.fuseUpdate()
	} else {
		shard = shardChunks
	}
	s, err := shard(c, params, append(kept, c.inputs()...))
	if err != nil {
		return nil, fmt.Errorf("compile: %w", err)
	}
	s.inPlace()
	p, at, err := s.bind(params.where)
	if err != nil {
		return nil, fmt.Errorf("compile: %w", err)
	}
	p.at = map[*gorgonia.Node]sharded{}
	for n, v := range c.values {
		if held, ok := at[v]; ok {
			p.at[n] = held
		}
	}
	return p, nil
}

// translate lists the actions that the kept nodes and the updates need, inputs before users. Gradients
// are computed from the last layer back. Each update comes right after the last action that reads the
// old weights, so that a gradient lives as short as possible. Where an update depends on the norm of
// all gradients, all updates come at the end.
func (c *compiler) translate(keep []*gorgonia.Node, update []graph.Param, rule Rule) error {
	for _, n := range keep {
		if err := c.visit(n); err != nil {
			return err
		}
	}
	for i := len(update) - 1; i >= 0; i-- {
		if err := c.visit(update[i].Grad); err != nil {
			return err
		}
	}
	// Updates are inserted afterwards, when it is known which actions read the old weights.
	after := map[int][]action{}
	var norm []*value
	if rule.Clip > 0 && len(update) > 0 {
		all := action{name: "norm{gradients}", op: Norm{}, out: &value{name: "norm{gradients}"}}
		for _, p := range update {
			if p.Average == 0 {
				all.in = append(all.in, c.value(p.Grad))
			}
		}
		norm = []*value{all.out}
		c.actions = append(c.actions, all)
	}
	for _, p := range update {
		weights, grad := c.value(p.Node), c.value(p.Grad)
		last := 0
		for i, a := range c.actions {
			for _, v := range append(a.in[:len(a.in):len(a.in)], a.out) {
				if v == weights || v == grad {
					last = i
				}
			}
		}
		after[last] = append(after[last], c.updates(p, rule.of(p.Bias), weights, grad, norm)...)
		if rule.EMA > 0 {
			after[last] = append(after[last], action{name: "ema{" + p.Name + "}", layer: p.Layer,
				op: EMA{Param: p.Name, Decay: rule.EMA}, in: []*value{weights}})
		}
	}
	var merged []action
	for i, a := range c.actions {
		merged = append(append(merged, a), after[i]...)
	}
	c.actions = merged
	return nil
}

// updates returns the actions that change a parameter by its gradient.
func (c *compiler) updates(p graph.Param, rule Rule, weights, grad *value, norm []*value) []action {
	u := action{name: "update{" + p.Name + "}", layer: p.Layer, in: []*value{weights, grad}}
	if p.Average > 0 {
		u.op = Update{Param: p.Name, LR: p.LR, Decay: p.Decay, Average: p.Average}
		return []action{u}
	}
	u.op = Update{Param: p.Name, LR: p.LR, Decay: p.Decay, Rule: rule}
	u.in = append(u.in, norm...)
	if !rule.layerwise() {
		return []action{u}
	}
	var all []action
	for _, v := range []*value{weights, grad} {
		one := action{name: "norm{" + v.name + "}", layer: p.Layer, op: Norm{}, in: []*value{v}}
		one.out = &value{name: one.name}
		u.in = append(u.in, one.out)
		all = append(all, one)
	}
	return append(all, u)
}

// visit adds the actions that compute a node, unless they were added before.
func (c *compiler) visit(n *gorgonia.Node) error {
	if _, seen := c.values[n]; seen || fromOutside(n) {
		return nil
	}
	children, err := c.children(n)
	if err != nil {
		return err
	}
	for _, child := range children {
		if err := c.visit(child); err != nil {
			return err
		}
	}
	out := c.value(n)
	if len(children) == 0 {
		return out.setNumber(n.Value())
	}
	op, err := c.g.Op(n)
	if err != nil {
		return fmt.Errorf("%w: %w", err, ErrNoKernel)
	}
	c.actions = append(c.actions, action{name: op.Name(), layer: op.LayerName(), op: op, in: c.all(children), out: out})
	return nil
}

// fromOutside reports whether a node's value is written by the host or trained.
func fromOutside(n *gorgonia.Node) bool { return n.Op() == nil || n.IsVar() }

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

// value returns the value that stands for a node. It is the same on each call.
func (c *compiler) value(n *gorgonia.Node) *value {
	v, ok := c.values[n]
	if ok {
		return v
	}
	v = &value{name: "value{" + n.Name() + "}", shape: n.Shape()}
	if !fromOutside(n) {
		v.name = fmt.Sprint(n.Op())
		if op, err := c.g.Op(n); err == nil {
			v.name = op.Name()
		}
		v.constant = c.g.Expr.From(n.ID()).Len() == 0
	}
	c.values[n] = v
	return v
}

func (c *compiler) all(nodes []*gorgonia.Node) []*value {
	values := make([]*value, len(nodes))
	for i, n := range nodes {
		values[i] = c.value(n)
	}
	return values
}

// setNumber stores the value of a constant, such as the gradient of the loss itself, 1.
func (v *value) setNumber(of gorgonia.Value) error {
	if of == nil {
		return nil
	}
	number, ok := of.Data().(float32)
	if !ok || len(v.shape) > 0 {
		return fmt.Errorf("constant %s of type %T: only float32 scalars are known", v.name, of.Data())
	}
	v.number = &number
	return nil
}

func (c *compiler) count(kept []*value) {
	for _, a := range c.actions {
		for _, v := range a.in {
			c.uses[v]++
		}
	}
	for _, v := range kept {
		c.uses[v]++
	}
}

// inputs returns the values that the host writes.
func (c *compiler) inputs() []*value {
	if c.g.Labels == nil {
		return []*value{c.value(c.g.Input)}
	}
	return []*value{c.value(c.g.Input), c.value(c.g.Labels)}
}
