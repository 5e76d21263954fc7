package engine

import (
	"fmt"

	"gorgonia.org/gorgonia"

	"ablate/runner/graph"
)

// A Program is a compiled graph: kernels in order, bound to the memory of one or
// several devices, which run them together.
type Program struct {
	Context  Context // set before each RunAll
	group    *Group
	steps    []step
	from, to int                       // steps that are to run now
	at       map[*gorgonia.Node]spread // inputs and what Compile was asked to keep
	arena    int
}

// A step is a kernel on every device. At a transfer they wait for each other.
type step struct {
	name     string
	kernels  []Kernel
	cost     Cost
	transfer bool
}

var _ gorgonia.VM = (*Program)(nil)

// RunAll runs every step once. The first error ends it and names the step.
func (p *Program) RunAll() error {
	p.from, p.to = 0, len(p.steps)
	return p.group.run(p)
}

// Reset does nothing: a program keeps no state between runs but its memory. Part of gorgonia.VM.
func (p *Program) Reset() {}

// Close does nothing: memory belongs to the device. Part of gorgonia.VM.
func (p *Program) Close() error { return nil }

// Write gives a value to an input of the graph.
func (p *Program) Write(n *gorgonia.Node, values []float32) error {
	t, err := p.tensor(n)
	if err != nil {
		return err
	}
	if len(values) != t.len() {
		return fmt.Errorf("%s: %d values for %d places", n.Name(), len(values), t.len())
	}
	return t.write(0, values)
}

// WriteAt gives some of an input's values, from index first on.
func (p *Program) WriteAt(n *gorgonia.Node, first int, values []float32) error {
	t, err := p.tensor(n)
	if err != nil {
		return err
	}
	if first < 0 || first+len(values) > t.len() {
		return fmt.Errorf("%s of %d values: no room for %d from %d on", n.Name(), t.len(), len(values), first)
	}
	return t.write(first, values)
}

// Read copies a kept node's value to the host.
func (p *Program) Read(n *gorgonia.Node, to []float32) error {
	t, err := p.tensor(n)
	if err != nil {
		return err
	}
	if len(to) != t.len() {
		return fmt.Errorf("%s: room for %d of %d values", n.Name(), len(to), t.len())
	}
	return t.read(to)
}

func (p *Program) tensor(n *gorgonia.Node) (spread, error) {
	t, ok := p.at[n]
	if !ok {
		return spread{}, fmt.Errorf("%v was not kept when the program was compiled", n)
	}
	return t, nil
}

// ArenaLen is the number of float32 values the program's activations and gradients take, on all devices together.
func (p *Program) ArenaLen() int { return p.arena }

// Steps names the kernels in the order they run, for listings and benchmarks.
func (p *Program) Steps() []string {
	names := make([]string, len(p.steps))
	for i, s := range p.steps {
		names[i] = s.name
	}
	return names
}

// Cost is what step i needs at least, of all devices together.
func (p *Program) Cost(i int) Cost { return p.steps[i].cost }

// Moved is how many bytes go from device to device when all steps run once.
func (p *Program) Moved() (bytes int64) {
	for _, s := range p.steps {
		bytes += s.cost.Moved
	}
	return bytes
}

// RunStep runs step i alone, so that it can be timed.
func (p *Program) RunStep(i int) error {
	p.from, p.to = i, i+1
	return p.group.run(p)
}

// Train compiles a training step: loss, gradients and the update of every
// parameter, where the parameters are. The loss and the logits are kept, and
// whatever else is named. With chunks, the graph is of one chunk of the batch.
func Train(g *graph.Graph, params *Params, keep ...*gorgonia.Node) (*Program, error) {
	if g.Loss == nil {
		return nil, fmt.Errorf("compile: the graph was built for evaluation and has no loss")
	}
	return compile(g, params, append([]*gorgonia.Node{g.Loss, g.Logits}, keep...), g.Params)
}

// Evaluate compiles the way from the input to the nodes named, the logits if none is.
func Evaluate(g *graph.Graph, params *Params, keep ...*gorgonia.Node) (*Program, error) {
	if len(keep) == 0 {
		keep = []*gorgonia.Node{g.Logits}
	}
	return compile(g, params, keep, nil)
}
