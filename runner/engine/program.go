package engine

import (
	"fmt"

	"gorgonia.org/gorgonia"

	"ablate/runner/graph"
)

// A Program is a compiled graph: kernels in order, bound to one device's memory.
type Program struct {
	Context Context // set before each RunAll
	steps   []step
	at      map[*gorgonia.Node]Tensor // inputs and what Compile was asked to keep
	arena   int
}

type step struct {
	name   string
	kernel Kernel
	cost   Cost
}

var _ gorgonia.VM = (*Program)(nil)

// RunAll runs every step once. The first error ends it and names the step.
func (p *Program) RunAll() error {
	for i := range p.steps {
		if err := p.steps[i].kernel.Run(&p.Context); err != nil {
			return fmt.Errorf("%s: %w", p.steps[i].name, err)
		}
	}
	return nil
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
	if len(values) != t.Len() {
		return fmt.Errorf("%s: %d values for shape %v", n.Name(), len(values), t.Shape)
	}
	return t.Mem.Write(t.Off, values)
}

// WriteAt gives some of an input's values, from index first on.
func (p *Program) WriteAt(n *gorgonia.Node, first int, values []float32) error {
	t, err := p.tensor(n)
	if err != nil {
		return err
	}
	if first < 0 || first+len(values) > t.Len() {
		return fmt.Errorf("%s of shape %v: no room for %d values from %d on", n.Name(), t.Shape, len(values), first)
	}
	return t.Mem.Write(t.Off+first, values)
}

// Read copies a kept node's value to the host.
func (p *Program) Read(n *gorgonia.Node, to []float32) error {
	t, err := p.tensor(n)
	if err != nil {
		return err
	}
	if len(to) != t.Len() {
		return fmt.Errorf("%s: room for %d values of shape %v", n.Name(), len(to), t.Shape)
	}
	return t.Mem.Read(t.Off, to)
}

func (p *Program) tensor(n *gorgonia.Node) (Tensor, error) {
	t, ok := p.at[n]
	if !ok {
		return Tensor{}, fmt.Errorf("%v was not kept when the program was compiled", n)
	}
	return t, nil
}

// ArenaLen is the number of float32 values the program's activations and gradients take.
func (p *Program) ArenaLen() int { return p.arena }

// Steps names the kernels in the order they run, for listings and benchmarks.
func (p *Program) Steps() []string {
	names := make([]string, len(p.steps))
	for i, s := range p.steps {
		names[i] = s.name
	}
	return names
}

// Cost is what step i needs at least.
func (p *Program) Cost(i int) Cost { return p.steps[i].cost }

// RunStep runs step i alone, so that it can be timed.
func (p *Program) RunStep(i int) error { return p.steps[i].kernel.Run(&p.Context) }

// Train compiles a training step: loss, gradients and the update of every
// parameter. The loss and the logits are kept, and whatever else is named.
func Train(g *graph.Graph, dev Device, params *Params, keep ...*gorgonia.Node) (*Program, error) {
	if g.Loss == nil {
		return nil, fmt.Errorf("compile: the graph was built for evaluation and has no loss")
	}
	return compile(g, dev, params, append([]*gorgonia.Node{g.Loss, g.Logits}, keep...), g.Params)
}

// Evaluate compiles the way from the input to the nodes named, the logits if none is.
func Evaluate(g *graph.Graph, dev Device, params *Params, keep ...*gorgonia.Node) (*Program, error) {
	if len(keep) == 0 {
		keep = []*gorgonia.Node{g.Logits}
	}
	return compile(g, dev, params, keep, nil)
}
