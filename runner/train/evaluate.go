package train

import (
	"context"
	"errors"
	"io"
	"math"

	"ablate/experiments"
	"ablate/recipe"
	"ablate/runner/data"
	"ablate/runner/graph"
)

// test evaluates the test split in order. After the last epoch it shows the crops that the recipe
// asks for and returns the predictions; before that, it shows only the centre.
func (t *Trainer) test(ctx context.Context, last bool) (Score, []experiments.Prediction, error) {
	if !last {
		s, err := t.evaluate(t.pipeline.Test(ctx, recipe.CentreCrop), nil)
		return s, nil, err
	}
	var predictions []experiments.Prediction
	s, err := t.evaluate(t.pipeline.Test(ctx, t.recipe.Data.TestCrops), func(p experiments.Prediction) {
		predictions = append(predictions, p)
	})
	return s, predictions, err
}

// validate evaluates the held-out training images, if there are any.
func (t *Trainer) validate(ctx context.Context) (Score, error) {
	if t.recipe.Data.Validation == 0 {
		return Score{}, nil
	}
	return t.evaluate(t.pipeline.Validation(ctx), nil)
}

// evaluate reads batches to their end and passes every prediction to each, if each is not nil. If
// a batch comes in several views, the prediction is their mean (paper, section 4.1).
func (t *Trainer) evaluate(batches *data.Reader, each func(experiments.Prediction)) (Score, error) {
	defer batches.Close()
	var s Score
	for {
		batch, err := batches.Next()
		if errors.Is(err, io.EOF) {
			return s, nil
		}
		if err != nil {
			return s, err
		}
		if err := t.infer(batch); err != nil {
			return s, err
		}
		if batch.Views > 1 && !t.average(batch) {
			continue
		}
		for i := range batch.N {
			p := predict(batch.First+i, int(batch.Y[i]), t.row(i))
			s.Add(p)
			if each != nil {
				each(p)
			}
		}
	}
}

// infer computes a batch's logits.
func (t *Trainer) infer(b *data.Batch) error {
	if err := write(t.eval, t.evalNet, b); err != nil {
		return err
	}
	if err := t.eval.RunAll(); err != nil {
		return err
	}
	return t.eval.Read(t.evalNet.Logits, t.logits)
}

// average adds a view's softmax outputs. After the last view it returns true, and the logits are
// then the logarithms of the mean outputs.
func (t *Trainer) average(b *data.Batch) bool {
	n := t.classes()
	if b.View == 0 {
		clear(t.softmax)
	}
	for i := range b.N {
		row := t.row(i)
		z := graph.LogSumExp(row)
		for c, v := range row {
			t.softmax[i*n+c] += math.Exp(float64(v) - z)
		}
	}
	if b.View < b.Views-1 {
		return false
	}
	for i, sum := range t.softmax[:b.N*n] {
		t.logits[i] = float32(math.Log(sum / float64(b.Views)))
	}
	return true
}
