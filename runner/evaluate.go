package runner

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

// test evaluates the test split in order and hands every prediction to each.
func (t *trainer) test(ctx context.Context, views recipe.TestCrops, each func(experiments.Prediction)) (score, error) {
	return t.evaluate(t.pipeline.Test(ctx, views), each)
}

// validate evaluates the training images that are held out.
func (t *trainer) validate(ctx context.Context) (score, error) {
	return t.evaluate(t.pipeline.Validation(ctx), nil)
}

// evaluate reads batches to their end. Where a batch comes in several views, the
// prediction is their mean (paper, section 4.1).
func (t *trainer) evaluate(reader *data.Reader, each func(experiments.Prediction)) (score, error) {
	defer reader.Close()
	var s score
	n := t.classes()
	for {
		batch, err := reader.Next()
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
			p := predict(batch.First+i, int(batch.Y[i]), t.logits[i*n:(i+1)*n])
			s.add(p)
			if each != nil {
				each(p)
			}
		}
	}
}

// infer computes a batch's logits.
func (t *trainer) infer(b *data.Batch) error {
	if err := write(t.eval, t.evalNet, b); err != nil {
		return err
	}
	if err := t.eval.RunAll(); err != nil {
		return err
	}
	return t.eval.Read(t.evalNet.Logits, t.logits)
}

// average adds a view's softmax outputs. After the last view it gives true, and
// the logits are the logarithms of the mean outputs.
func (t *trainer) average(b *data.Batch) bool {
	n := t.classes()
	if b.View == 0 {
		clear(t.mean)
	}
	for i := range b.N {
		row := t.logits[i*n : (i+1)*n]
		z := graph.LogSumExp(row)
		for c, v := range row {
			t.mean[i*n+c] += math.Exp(float64(v) - z)
		}
	}
	if b.View < b.Views-1 {
		return false
	}
	for i, sum := range t.mean[:b.N*n] {
		t.logits[i] = float32(math.Log(sum / float64(b.Views)))
	}
	return true
}
