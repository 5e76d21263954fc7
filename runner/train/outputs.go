package train

import (
	"context"
	"slices"

	"ablate/experiments"
	"ablate/recipe"
	"ablate/runner/graph"
)

// Outputs are what a net with these weights makes of the first batch of test images:
// the inputs [n, height, width, channels], and the logarithm of each class's
// probability. The trainer's own weights are gone afterwards.
func (t *Trainer) Outputs(ctx context.Context, weights []experiments.Tensor) (inputs, logProbs []float32, n int,
	err error) {
	for _, w := range weights {
		if err := t.model.Params.SetWeights(w.Name, w.Data); err != nil {
			return nil, nil, 0, err
		}
	}
	t.pipeline.Raw = false // inputs are wanted, not images that the device makes inputs of
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
