package train

import (
	"context"
	"fmt"
	"math"

	"ablate/runner/engine"
	"ablate/runner/graph"
	"ablate/runner/random"
)

// initChunk is the number of weights that are drawn at a time: all of AlexNet's fc6 would need 151
// MB beside the device's copy.
const initChunk = 1 << 16

// initialise sets a net's initial weights for a seed. Each parameter draws from a stream of its
// own name, so that a variant without some layer has the same initial weights in all others.
func initialise(ctx context.Context, values *engine.Params, params []graph.Param, seed uint64) error {
	buffer := make([]float32, initChunk)
	for _, p := range params {
		stream := initStream(seed, p.Name)
		n := engine.Tensor{Shape: p.Shape}.Len()
		for first := 0; first < n; first += initChunk {
			if err := ctx.Err(); err != nil { // a billion weights take minutes
				return err
			}
			chunk := buffer[:min(initChunk, n-first)]
			if err := draw(chunk, first, p, stream); err != nil {
				return fmt.Errorf("initialise %s: %w", p.Name, err)
			}
			if err := values.SetWeightsAt(p.Name, first, chunk); err != nil {
				return err
			}
		}
	}
	return nil
}

func initStream(seed uint64, param string) random.Stream { return random.New(seed, "init/"+param) }

// draw draws a parameter's values from index first on.
func draw(values []float32, first int, p graph.Param, stream random.Stream) error {
	bound := 1 / math.Sqrt(float64(p.FanIn))
	switch {
	case p.Init.Kind == "uniform":
		stream.UniformFrom(values, 0, uint64(first), -bound, bound)
	case p.Bias:
		for i := range values {
			values[i] = float32(p.Init.Bias)
		}
	case p.Init.Kind == "he":
		stream.NormalFrom(values, 0, uint64(first), 0, math.Sqrt2*bound)
	case p.Init.Kind == "gaussian":
		stream.NormalFrom(values, 0, uint64(first), 0, p.Init.Std)
	default:
		return fmt.Errorf("unknown init kind %q", p.Init.Kind)
	}
	return nil
}
