package engine

import (
	"fmt"
	"slices"

	"ablate/runner/graph"
)

// Params are a net's weights and velocities in the memory of one or several
// devices, shared by its programs: the one that trains and the one that
// evaluates. To the host each is one tensor, wherever its parts are.
type Params struct {
	where    Placement
	names    []string
	weights  map[string]sharded
	velocity map[string]sharded
}

// NewParams allocates zeroed weights and velocities for a graph's parameters.
func NewParams(where Placement, params []graph.Param) (*Params, error) {
	ps := &Params{where: where, weights: map[string]sharded{}, velocity: map[string]sharded{}}
	weights, velocities := make([]graph.Sharding, len(params)), make([]graph.Sharding, len(params))
	for i, p := range params {
		ps.names = append(ps.names, p.Name)
		weights[i], velocities[i] = where.home(p)
	}
	if err := ps.allocate(ps.weights, params, weights); err != nil {
		return nil, err
	}
	return ps, ps.allocate(ps.velocity, params, velocities)
}

// allocate makes each parameter's part on every device, in one block of memory a device.
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

// partOf is the shape of a device's part of a parameter: its channels, or a run of its values.
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

// Names lists the parameters from the first layer to the last.
func (p *Params) Names() []string { return p.names }

// Shape is a parameter's shape.
func (p *Params) Shape(name string) []int { return p.weights[name].shape }

// SetWeights and SetVelocity copy a parameter's values to the device.
func (p *Params) SetWeights(name string, values []float32) error {
	return write(p.weights, name, values)
}

// SetVelocity sets a parameter's momentum.
func (p *Params) SetVelocity(name string, values []float32) error {
	return write(p.velocity, name, values)
}

// SetWeightsAt sets some of a parameter's values, from index first on.
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

// Velocity copies a parameter's momentum to the host.
func (p *Params) Velocity(name string) ([]float32, error) { return read(p.velocity, name) }

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
