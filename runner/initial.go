package runner

import (
	"fmt"
	"math"

	"ablate/runner/engine"
	"ablate/runner/graph"
	"ablate/runner/random"
)

// initialise sets a net's weights for a seed. Each parameter draws from a stream
// of its own name, so that a variant without some layer starts all others alike.
func initialise(params *engine.Params, of []graph.Param, seed uint64) error {
	for _, p := range of {
		values := make([]float32, engine.Tensor{Shape: p.Shape}.Len())
		if err := draw(values, p, random.New(seed, "init/"+p.Name)); err != nil {
			return fmt.Errorf("initialise %s: %w", p.Name, err)
		}
		if err := params.SetWeights(p.Name, values); err != nil {
			return err
		}
	}
	return nil
}

func draw(values []float32, p graph.Param, stream random.Stream) error {
	bound := 1 / math.Sqrt(float64(p.FanIn))
	switch {
	case p.Init.Kind == "uniform":
		stream.Uniform(values, 0, -bound, bound)
	case p.Bias:
		for i := range values {
			values[i] = float32(p.Init.Bias)
		}
	case p.Init.Kind == "he":
		stream.Normal(values, 0, 0, math.Sqrt2*bound)
	case p.Init.Kind == "gaussian":
		stream.Normal(values, 0, 0, p.Init.Std)
	default:
		return fmt.Errorf("unknown init kind %q", p.Init.Kind)
	}
	return nil
}
