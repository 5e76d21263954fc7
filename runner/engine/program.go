package engine

import (
	"errors"
	"fmt"
	"time"

	"gorgonia.org/gorgonia"

	"ablate/runner/graph"
)

// A Program is a compiled graph: kernels in order, bound to the memory of one or several devices,
// which run them together.
type Program struct {
	Context Context // set before each RunAll
	group   *Group
	steps   []step
	stages  []stage                    // all steps, joined
	alone   [1]stage                   // a single step
	running []stage                    // the stages that RunAll or TimeStep runs
	at      map[*gorgonia.Node]sharded // inputs, and the nodes that Compile was asked to keep
	arena   int
}

// A step is a kernel on every device. At a transfer the devices wait for each other.
type step struct {
	name     string
	layer    string
	kernels  []Kernel
	cost     Cost
	transfer bool
}

var _ gorgonia.VM = (*Program)(nil)

// A stage is steps [from, to) that run without a transfer between them, or one transfer. An Async
// device runs the steps as one kernel. The other devices have no kernel here.
type stage struct {
	from, to int
	joined   []Kernel // one per device
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

// RunAll runs every step once. The first error ends the run and names the step. An error of an Async
// device may not come before something is read.
func (p *Program) RunAll() error {
	p.running = p.stages
	return p.group.run(p)
}

// Reset does nothing: a program keeps no state between runs except its memory.
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

// ArenaLen returns the number of float32 values that the program's activations and gradients take, on
// all devices together.
func (p *Program) ArenaLen() int { return p.arena }

// Steps returns the names of the kernels in the order they run, for listings and benchmarks.
func (p *Program) Steps() []string {
	names := make([]string, len(p.steps))
	for i, s := range p.steps {
		names[i] = s.name
	}
	return names
}

// Layer returns the name of the layer that step i belongs to, "" if it belongs to none.
func (p *Program) Layer(i int) string { return p.steps[i].layer }

// Algorithm returns the name of the algorithm that computes step i, "" where its device has only one.
func (p *Program) Algorithm(i int) string {
	if named, ok := p.steps[i].kernels[0].(Algorithmic); ok {
		return named.Algorithm()
	}
	return ""
}

// Cost returns the least work that step i needs on all devices together.
func (p *Program) Cost(i int) Cost { return p.steps[i].cost }

// Moved returns how many bytes go from device to device when all steps run once.
func (p *Program) Moved() (bytes int64) {
	for _, s := range p.steps {
		bytes += s.cost.Moved
	}
	return bytes
}

// TimeStep runs step i alone and returns how long it takes.
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

// Wait returns when all devices have finished the kernels that they started.
func (p *Program) Wait() error { return p.group.Wait() }

// Train compiles a training step: loss, gradients and the update of every parameter, on the devices
// that hold the parameters. It keeps the loss, the logits and the nodes of keep. With chunks, the
// graph is for one chunk of the batch.
func Train(g *graph.Graph, params *Params, keep ...*gorgonia.Node) (*Program, error) {
	if g.Loss == nil {
		return nil, fmt.Errorf("compile: the graph was built for evaluation and has no loss")
	}
	return compile(g, params, append([]*gorgonia.Node{g.Loss, g.Logits}, keep...), g.Params)
}

// Evaluate compiles the path from the input to the nodes of keep, or to the logits if keep is empty.
func Evaluate(g *graph.Graph, params *Params, keep ...*gorgonia.Node) (*Program, error) {
	if len(keep) == 0 {
		keep = []*gorgonia.Node{g.Logits}
	}
	return compile(g, params, keep, nil)
}
