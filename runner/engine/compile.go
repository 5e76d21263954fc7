package engine

import (
	"fmt"

	"gorgonia.org/gorgonia"

	"ablate/runner/graph"
)

// An action is one kernel to be, before memory is planned: an op on values named by their nodes.
type action struct {
	name string
	op   any
	in   []*gorgonia.Node
	out  *gorgonia.Node // nil for an update, which writes its first two inputs
	relu bool
	mask *gorgonia.Node // of a fused ReLU gradient; nil if none
	// update is the fused change of the weights, in[2]; nil if none.
	update *Update
	// alias is the input whose memory the output takes over, nil if it gets its own.
	alias *gorgonia.Node
}

type compiler struct {
	g       *graph.Graph
	actions []action
	uses    map[*gorgonia.Node]int // by actions and by being kept
}

func compile(g *graph.Graph, dev Device, params *Params, keep []*gorgonia.Node, update []graph.Param) (*Program, error) {
	c := &compiler{g: g, uses: map[*gorgonia.Node]int{}}
	if err := c.schedule(keep, update); err != nil {
		return nil, fmt.Errorf("compile: %w", err)
	}
	c.count(keep)
	c.fuseReLU()
	c.fuseReLUGrad()
	c.fuseUpdate()
	c.inPlace()
	p, err := c.bind(dev, params, keep)
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
		after[last] = append(after[last], action{name: "update{" + p.Name + "}", op: u, in: []*gorgonia.Node{p.Node, p.Node, p.Grad}})
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
			if grad, ok := by[a.in[2]]; ok { // here, where nobody reads the old weights any more
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

// reads are all nodes an action reads.
func (a *action) reads() []*gorgonia.Node {
	if a.mask == nil {
		return a.in
	}
	return append(a.in[:len(a.in):len(a.in)], a.mask)
}

// inPlace lets an elementwise op overwrite an input that nobody reads after it.
func (c *compiler) inPlace() {
	last := map[*gorgonia.Node]int{}
	for i, a := range c.actions {
		for _, n := range a.reads() {
			last[n] = i
		}
	}
	for i := range c.actions {
		a := &c.actions[i]
		from := -1
		switch a.op.(type) {
		case *graph.Unit, *graph.Dropout:
			from = 0
		case *graph.UnitGrad, *graph.LRNGrad:
			from = 1 // dy
		}
		if from < 0 {
			continue
		}
		n := a.in[from]
		external := n.Op() == nil || n.IsVar()
		if last[n] == i && c.uses[n] == c.readers(n) && !external {
			a.alias = n
		}
	}
}

// readers counts the actions that read n; more uses than readers means it is kept.
func (c *compiler) readers(n *gorgonia.Node) int {
	count := 0
	for _, a := range c.actions {
		for _, in := range a.reads() {
			if in == n {
				count++
			}
		}
	}
	return count
}

// A plan says where every value lies.
type plan struct {
	spans []*span                  // in the order values first appear
	at    map[*gorgonia.Node]*span // by the node that owns the memory
	owner map[*gorgonia.Node]*gorgonia.Node
}

// layout gives every value that is not a parameter a life: from the action that
// makes it to the last that reads it. Inputs, constants and kept values live throughout.
func (c *compiler) layout(params map[*gorgonia.Node]Tensor, keep []*gorgonia.Node) *plan {
	p := &plan{at: map[*gorgonia.Node]*span{}, owner: map[*gorgonia.Node]*gorgonia.Node{}}
	end := len(c.actions)
	touch := func(n *gorgonia.Node, i int) {
		if _, ok := params[n]; ok {
			return
		}
		owner := n
		if o, ok := p.owner[n]; ok {
			owner = o
		}
		p.owner[n] = owner
		s, ok := p.at[owner]
		if !ok {
			s = &span{n: Tensor{Shape: n.Shape()}.Len(), first: i}
			p.at[owner] = s
			p.spans = append(p.spans, s)
		}
		s.last = max(s.last, i)
		if c.given(n) {
			s.first, s.last = 0, end
		}
	}
	for i, a := range c.actions {
		for _, n := range a.reads() {
			touch(n, i)
		}
		if a.out == nil {
			continue
		}
		if a.alias != nil {
			p.owner[a.out] = p.owner[a.alias]
		}
		touch(a.out, i)
	}
	for _, n := range keep {
		touch(n, end)
	}
	return p
}

// given says that a node's value comes from outside the program: an input or a constant.
func (c *compiler) given(n *gorgonia.Node) bool {
	return n.Op() == nil || n.IsVar() || c.g.Expr.From(n.ID()).Len() == 0
}

// bind plans memory and asks the device for a kernel for every action.
func (c *compiler) bind(dev Device, params *Params, keep []*gorgonia.Node) (*Program, error) {
	weights := map[*gorgonia.Node]Tensor{}
	for _, p := range c.g.Params {
		weights[p.Node] = params.weights[p.Name]
	}
	layout := c.layout(weights, keep)
	prog := &Program{at: map[*gorgonia.Node]Tensor{}, arena: pack(layout.spans)}
	mem, err := dev.Alloc(prog.arena)
	if err != nil {
		return nil, fmt.Errorf("allocate %d MiB for activations: %w", prog.arena>>18, err)
	}
	tensor := func(n *gorgonia.Node) Tensor {
		if t, ok := weights[n]; ok {
			return t
		}
		return Tensor{Mem: mem, Off: layout.at[layout.owner[n]].off, Shape: n.Shape()}
	}
	for _, a := range c.actions {
		in := Instr{Op: a.op, ReLU: a.relu, Update: a.update}
		for _, n := range a.in {
			in.In = append(in.In, tensor(n))
			if err := writeConstant(n, tensor(n)); err != nil {
				return nil, err
			}
		}
		if a.mask != nil {
			in.Mask = tensor(a.mask)
		}
		if u, ok := a.op.(Update); ok {
			in.In[1] = params.velocity[u.Param]
		}
		if a.update != nil {
			in.In = append(in.In, params.velocity[a.update.Param])
		}
		if a.out != nil {
			in.Out = tensor(a.out)
		}
		k, err := dev.Kernel(in)
		if err != nil {
			return nil, fmt.Errorf("%s on %s: %w", a.name, dev.Name(), err)
		}
		prog.steps = append(prog.steps, step{name: a.name, kernel: k, cost: costOf(in)})
	}
	for _, n := range append(keep[:len(keep):len(keep)], c.g.Input, c.g.Labels) {
		if _, ok := layout.owner[n]; ok {
			prog.at[n] = tensor(n)
		}
	}
	return prog, nil
}

// writeConstant stores the value of a constant, such as the loss's own gradient, 1.
func writeConstant(n *gorgonia.Node, t Tensor) error {
	if n.Op() == nil || n.IsVar() || n.Value() == nil {
		return nil
	}
	if v, ok := n.Value().Data().(float32); ok && t.Len() == 1 {
		return t.Mem.Write(t.Off, []float32{v})
	}
	return fmt.Errorf("constant %v of type %T: only float32 scalars are known", n, n.Value().Data())
}
