package engine

import (
	"fmt"

	"ablate/runner/graph"
)

// Params are a net's weights and velocities in a device's memory, shared by its
// programs: the one that trains and the one that evaluates.
type Params struct {
	names    []string
	weights  map[string]Tensor
	velocity map[string]Tensor
}

// NewParams allocates zeroed weights and velocities for a graph's parameters.
func NewParams(dev Device, params []graph.Param) (*Params, error) {
	total := 0
	for _, p := range params {
		total += aligned(Tensor{Shape: p.Shape}.Len())
	}
	ps := &Params{weights: map[string]Tensor{}, velocity: map[string]Tensor{}}
	for _, part := range []map[string]Tensor{ps.weights, ps.velocity} {
		mem, err := dev.Alloc(total)
		if err != nil {
			return nil, fmt.Errorf("allocate parameters: %w", err)
		}
		off := 0
		for _, p := range params {
			t := Tensor{Mem: mem, Off: off, Shape: p.Shape}
			part[p.Name] = t
			off += aligned(t.Len())
		}
	}
	for _, p := range params {
		ps.names = append(ps.names, p.Name)
	}
	return ps, nil
}

// Names lists the parameters from the first layer to the last.
func (p *Params) Names() []string { return p.names }

// Shape is a parameter's shape.
func (p *Params) Shape(name string) []int { return p.weights[name].Shape }

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
	if first < 0 || first+len(values) > t.Len() {
		return fmt.Errorf("parameter %s of shape %v: no room for %d values from %d on", name, t.Shape, len(values), first)
	}
	return t.Mem.Write(t.Off+first, values)
}

// Weights copies a parameter's values to the host.
func (p *Params) Weights(name string) ([]float32, error) { return read(p.weights, name) }

// Velocity copies a parameter's momentum to the host.
func (p *Params) Velocity(name string) ([]float32, error) { return read(p.velocity, name) }

func write(tensors map[string]Tensor, name string, values []float32) error {
	t, ok := tensors[name]
	if !ok {
		return fmt.Errorf("no parameter %s", name)
	}
	if len(values) != t.Len() {
		return fmt.Errorf("parameter %s: %d values for shape %v", name, len(values), t.Shape)
	}
	return t.Mem.Write(t.Off, values)
}

func read(tensors map[string]Tensor, name string) ([]float32, error) {
	t, ok := tensors[name]
	if !ok {
		return nil, fmt.Errorf("no parameter %s", name)
	}
	values := make([]float32, t.Len())
	return values, t.Mem.Read(t.Off, values)
}
