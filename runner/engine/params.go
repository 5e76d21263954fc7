package engine

import (
	"fmt"
	"slices"

	"ablate/runner/graph"
)

// Params are the weights of a net and the state that their rule keeps for each, in the memory of one
// or several devices. The programs that train and evaluate the net share them. To the host each is one
// tensor, wherever its parts are.
type Params struct {
	where   Placement
	rule    Rule
	names   []string
	weights map[string]sharded
	state   []map[string]sharded // under the names of rule.State
	average map[string]sharded   // of the weights, nil where the rule has none
}

// NewParams allocates zeroed weights and velocities for a graph's parameters, which follow the paper's
// rule.
func NewParams(where Placement, params []graph.Param) (*Params, error) {
	return NewParamsUnder(Rule{}, where, params)
}

// NewParamsUnder allocates zeroed weights for a graph's parameters, and the state of a rule.
func NewParamsUnder(rule Rule, where Placement, params []graph.Param) (*Params, error) {
	ps := &Params{where: where, rule: rule, weights: map[string]sharded{}}
	weights, states := make([]graph.Sharding, len(params)), make([]graph.Sharding, len(params))
	for i, p := range params {
		ps.names = append(ps.names, p.Name)
		weights[i], states[i] = where.home(p)
	}
	if err := ps.allocate(ps.weights, params, weights); err != nil {
		return nil, err
	}
	for range rule.State() {
		state := map[string]sharded{}
		if err := ps.allocate(state, params, states); err != nil {
			return nil, err
		}
		ps.state = append(ps.state, state)
	}
	if rule.EMA == 0 {
		return ps, nil
	}
	ps.average = map[string]sharded{}
	return ps, ps.allocate(ps.average, params, weights)
}

// allocate allocates each parameter's part on every device, in one block of memory per device.
func (p *Params) allocate(to map[string]sharded, params []graph.Param, cuts []graph.Sharding) error {
	devices := p.where.Group.devices
	for d, dev := range devices {
		parts, total := make([]Tensor, len(params)), 0
		for i, param := range params {
			parts[i] = Tensor{Off: total, Shape: partOf(param.Shape, cuts[i], d, len(devices))}
			total += aligned(parts[i].Len())
		}
		mem, err := dev.Alloc(total)
		if err != nil {
			return fmt.Errorf("allocate parameters on %s: %w", dev.Name(), err)
		}
		for i, param := range params {
			parts[i].Mem = mem
			s := to[param.Name]
			to[param.Name] = sharded{shape: param.Shape, sharding: cuts[i], parts: append(s.parts, parts[i])}
		}
	}
	return nil
}

// partOf returns the shape of a device's part of a parameter: its channels, or a run of its values.
func partOf(shape []int, cut graph.Sharding, device, of int) []int {
	if cut.Whole() {
		return shape
	}
	_, n := cut.Block(device, of)
	if last := len(shape) - 1; last > 0 && cut.Length == shape[last] {
		return append(slices.Clone(shape[:last]), n)
	}
	return []int{cut.Outer * n * cut.Inner}
}

// Names returns the names of the parameters from the first layer to the last.
func (p *Params) Names() []string { return p.names }

// Shape returns a parameter's shape.
func (p *Params) Shape(name string) []int { return p.weights[name].shape }

// SetWeights copies a parameter's values to the device.
func (p *Params) SetWeights(name string, values []float32) error {
	return write(p.weights, name, values)
}

// SetState sets the state that the rule keeps for a parameter. state is one of the names of
// Rule.State.
func (p *Params) SetState(state, name string, values []float32) error {
	tensors, err := p.stateOf(state)
	if err != nil {
		return err
	}
	return write(tensors, name, values)
}

// Averaged returns the parameters with the weights' averages in place of the weights, for programs
// that evaluate. Where the rule has no averages it returns the weights themselves.
func (p *Params) Averaged() *Params {
	if p.average == nil {
		return p
	}
	return &Params{where: p.where, names: p.names, weights: p.average}
}

// Rule returns the rule that the parameters follow.
func (p *Params) Rule() Rule { return p.rule }

func (p *Params) stateOf(state string) (map[string]sharded, error) {
	i := slices.Index(p.rule.State(), state)
	if i < 0 {
		return nil, fmt.Errorf("optimizer %s keeps no %s", p.rule.Kind, state)
	}
	return p.state[i], nil
}

// SetWeightsAt sets some of a parameter's values, starting at index first.
func (p *Params) SetWeightsAt(name string, first int, values []float32) error {
	t, ok := p.weights[name]
	if !ok {
		return fmt.Errorf("no parameter %s", name)
	}
	if first < 0 || first+len(values) > t.len() {
		return fmt.Errorf("parameter %s of shape %v: no room for %d values from %d on", name, t.shape, len(values), first)
	}
	return t.write(first, values)
}

// Weights copies a parameter's values to the host.
func (p *Params) Weights(name string) ([]float32, error) { return read(p.weights, name) }

// State copies the state that the rule keeps for a parameter to the host. state is one of the names of
// Rule.State.
func (p *Params) State(state, name string) ([]float32, error) {
	tensors, err := p.stateOf(state)
	if err != nil {
		return nil, err
	}
	return read(tensors, name)
}

func write(tensors map[string]sharded, name string, values []float32) error {
	t, ok := tensors[name]
	if !ok {
		return fmt.Errorf("no parameter %s", name)
	}
	if len(values) != t.len() {
		return fmt.Errorf("parameter %s: %d values for shape %v", name, len(values), t.shape)
	}
	return t.write(0, values)
}

func read(tensors map[string]sharded, name string) ([]float32, error) {
	t, ok := tensors[name]
	if !ok {
		return nil, fmt.Errorf("no parameter %s", name)
	}
	values := make([]float32, t.len())
	return values, t.read(values)
}

// operands returns an update's weights, states and gradient in the order in which its instruction
// takes them.
func (p *Params) operands(s *schedule, u Update, weights, gradient *buffer) []*buffer {
	in := []*buffer{weights, s.parameter(p.state[0][u.Param]), gradient}
	for i := 1; i < len(u.Rule.State()); i++ {
		in = append(in, s.parameter(p.state[i][u.Param]))
	}
	return in
}
