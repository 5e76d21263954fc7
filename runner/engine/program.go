package engine

import (
	"errors"
	"fmt"
	"time"

	"gorgonia.org/gorgonia"

	"ablate/runner/graph"
)

// A Program is a compiled graph: kernels in order, bound to the memory of one or
// several devices, which run them together.
type Program struct {
	Context Context // set before each RunAll
	group   *Group
	steps   []step
	stages  []stage                    // all steps, joined
	alone   [1]stage                   // a single step
	running []stage                    // what is to run now
	at      map[*gorgonia.Node]sharded // inputs and what Compile was asked to keep
	arena   int
}

// A step is a kernel on every device. At a transfer they wait for each other.
type step struct {
	name     string
	layer    string
	kernels  []Kernel
	cost     Cost
	transfer bool
}

var _ gorgonia.VM = (*Program)(nil)

// A stage is steps [from, to) that run without a transfer between them, or one
// transfer. An Async device runs them as one kernel, the others have none here.
type stage struct {
	from, to int
	joined   []Kernel // one a device
	transfer bool
}

// join makes the stages.
func (p *Program) join() {
	for i, s := range p.steps {
		last := len(p.stages) - 1
		if s.transfer || last < 0 || p.stages[last].transfer {
			p.stages = append(p.stages, stage{from: i, transfer: s.transfer})
			last++
		}
		p.stages[last].to = i + 1
	}
	for i := range p.stages {
		st := &p.stages[i]
		st.joined = make([]Kernel, p.group.Len())
		for d, q := range p.group.async {
			if q == nil || st.transfer {
				continue
			}
			var kernels []Kernel
			for _, s := range p.steps[st.from:st.to] {
				kernels = append(kernels, s.kernels[d])
			}
			st.joined[d] = q.CaptureGraph(kernels)
		}
	}
}

// RunAll runs every step once. The first error ends it and names the step; that
// of an Async device may come only when something is read.
func (p *Program) RunAll() error {
	p.running = p.stages
	return p.group.run(p)
}

// Reset does nothing: a program keeps no state between runs but its memory.
func (p *Program) Reset() {}

// Close does nothing: memory belongs to the device.
func (p *Program) Close() error { return nil }

// Write writes an input of the graph.
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

// WriteAt writes some of an input's values, from index first on.
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

func (p *Program) tensor(n *gorgonia.Node) (sharded, error) {
	t, ok := p.at[n]
	if !ok {
		return sharded{}, fmt.Errorf("%v was not kept when the program was compiled", n)
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

// Layer is the layer that step i belongs to, "" for what belongs to none.
func (p *Program) Layer(i int) string { return p.steps[i].layer }

// Algorithm is the way in which step i is computed, "" where its device has only one.
func (p *Program) Algorithm(i int) string {
	if named, ok := p.steps[i].kernels[0].(Algorithmic); ok {
		return named.Algorithm()
	}
	return ""
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

// TimeStep runs step i alone and says how long it takes.
func (p *Program) TimeStep(i int) (time.Duration, error) {
	s := p.steps[i]
	if q := p.group.async[0]; q != nil && p.group.Len() == 1 {
		took, err := q.Time(s.kernels[0], &p.Context)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", s.name, err)
		}
		return took, nil
	}
	p.alone[0] = stage{from: i, to: i + 1, transfer: s.transfer}
	p.running = p.alone[:]
	start := time.Now()
	err := errors.Join(p.group.run(p), p.group.Wait())
	return time.Since(start), err
}

// Wait returns when all devices have done what they began.
func (p *Program) Wait() error { return p.group.Wait() }

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
