package train

import (
	"fmt"
	"slices"

	"ablate/recipe"
	"ablate/runner/graph"
)

// rates holds the learning rate of the weights and the factors by which it is multiplied for
// single parameters: biases may have a rate of their own, and layers may slow down or freeze.
type rates struct {
	weights *schedule
	biases  *schedule // nil if they follow the weights' schedule
	ratio   float64   // the biases' rate over the weights', if they follow
	layers  []recipe.LayerRate
	params  []graph.Param
	factors map[string]float64 // nil if all are 1
}

func newRates(t recipe.Train, params []graph.Param) (*rates, error) {
	r := &rates{weights: newSchedule(t.Schedule, t.LR, t.Epochs), ratio: 1, layers: t.LayerRates, params: params}
	base := t.LR
	if t.Bias.LR > 0 {
		base = t.Bias.LR
		r.ratio = base / t.LR
	}
	if t.Bias.Schedule.Kind != "" {
		r.biases = newSchedule(t.Bias.Schedule, base, t.Epochs)
	}
	if r.ratio != 1 || r.biases != nil || len(r.layers) > 0 {
		r.factors = map[string]float64{}
	}
	for _, l := range r.layers {
		if !slices.ContainsFunc(params, func(p graph.Param) bool { return p.Layer == l.Layer }) {
			return nil, fmt.Errorf("train.layer_rates names %s, a layer without weights", l.Layer)
		}
	}
	return r, nil
}

// at returns the weights' rate and every parameter's factor after done epochs. It returns the same
// map each time, so that a step allocates nothing.
func (r *rates) at(done float64) (weights float64, factors map[string]float64) {
	weights = r.weights.rate(done)
	if r.factors == nil {
		return weights, nil
	}
	bias := r.ratio
	if r.biases != nil {
		bias = r.biases.rate(done) / weights
	}
	for _, p := range r.params {
		factor := 1.0
		if p.Bias {
			factor = bias
		}
		for _, l := range r.layers { // in the order of their epochs
			if l.Layer == p.Layer && int(done) >= l.From {
				factor = l.Factor
				if p.Bias {
					factor *= bias
				}
			}
		}
		r.factors[p.Name] = factor
	}
	return weights, r.factors
}
