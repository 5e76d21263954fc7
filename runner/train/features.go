package train

import (
	"context"
	"errors"
	"fmt"
	"io"

	"ablate/experiments"
	"ablate/recipe"
	"ablate/runner/engine"
)

// Features returns the activations of the last hidden layer for each test image, cut to its centre: the values that
// the last layer with weights reads. It also returns the predictions for the images.
func (t *Trainer) Features(ctx context.Context) (features experiments.Tensor, ps []experiments.Prediction, err error) {
	hidden := t.evalNet.Hidden
	if hidden == nil {
		return features, nil, errors.New("the net has no layer with weights")
	}
	if t.eval, err = engine.Evaluate(t.evalNet, t.model.Params, hidden, t.evalNet.Logits); err != nil {
		return features, nil, suggestBatch(err, t.recipe.Train.Batch)
	}
	t.pipeline.Raw = t.eval.TakesImages(t.evalNet.Input)
	chunk := make([]float32, hidden.Shape().TotalSize())
	width := len(chunk) / hidden.Shape()[0]
	batches := t.pipeline.Test(ctx, recipe.CentreCrop)
	defer batches.Close()
	for {
		batch, err := batches.Next()
		if errors.Is(err, io.EOF) {
			features.Shape = []int{len(ps), width}
			return features, ps, nil
		}
		if err != nil {
			return features, nil, err
		}
		if err := t.infer(batch); err != nil {
			return features, nil, err
		}
		if err := t.eval.Read(hidden, chunk); err != nil {
			return features, nil, fmt.Errorf("features: %w", err)
		}
		features.Data = append(features.Data, chunk[:batch.N*width]...)
		for i := range batch.N {
			ps = append(ps, predict(batch.First+i, int(batch.Y[i]), t.row(i)))
		}
	}
}
