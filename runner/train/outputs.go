package train

import (
	"context"
	"slices"

	"ablate/experiments"
	"ablate/recipe"
	"ablate/runner/graph"
)

// Outputs computes the outputs of the net, with the given weights, for the first batch of test
// images. It returns the inputs [n, height, width, channels], and the logarithm of each class's
// probability. It overwrites the trainer's own weights.
func (t *Trainer) Outputs(ctx context.Context, weights []experiments.Tensor) (inputs, logProbs []float32, n int,
	err error) {
	for _, w := range weights {
		if err := t.model.Params.SetWeights(w.Name, w.Data); err != nil {
			return nil, nil, 0, err
		}
	}
	t.pipeline.Raw = false // Outputs returns inputs, not images from which the device makes inputs
	batches := t.pipeline.Test(ctx, recipe.CentreCrop)
	defer batches.Close()
	batch, err := batches.Next()
	if err != nil {
		return nil, nil, 0, err
	}
	if err := t.infer(batch); err != nil {
		return nil, nil, 0, err
	}
	for i := range batch.N {
		row := t.row(i)
		z := graph.LogSumExp(row)
		for _, v := range row {
			logProbs = append(logProbs, float32(float64(v)-z))
		}
	}
	return slices.Clone(batch.X[:batch.N*t.pipeline.Shape().Len()]), logProbs, batch.N, nil
}
