package train

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"ablate/experiments"
	"ablate/recipe"
	"ablate/runner/data"
	"ablate/runner/device"
	"ablate/runner/engine"
	"ablate/runner/graph"
)

// NewEvaluator compiles a net with trained weights, for evaluation only.
func NewEvaluator(ctx context.Context, r recipe.Recipe, ds *data.Dataset, group *engine.Group,
	trained experiments.Weights) (*Trainer, error) {
	pipeline, err := newPipeline(ctx, r, ds, 0)
	if err != nil {
		return nil, err
	}
	where := device.Place(group, r.Train)
	if err := where.Check(r.Net, r.Train.Batch); err != nil {
		return nil, err
	}
	g, err := graph.Build(r.Net, where.ChunkOf(r.Train.Batch), false)
	if err != nil {
		return nil, err
	}
	params, err := engine.NewParams(where, g.Params)
	if err != nil {
		return nil, err
	}
	held := map[string]experiments.Tensor{}
	for _, t := range trained.Params {
		held[t.Name] = t
	}
	for _, p := range g.Params {
		t := held[p.Name]
		if !slices.Equal(t.Shape, p.Shape) {
			return nil, fmt.Errorf("the weights have %s as %v, the net as %v", p.Name, t.Shape, p.Shape)
		}
		if err := params.SetWeights(p.Name, t.Data); err != nil {
			return nil, err
		}
	}
	t := &Trainer{recipe: r, pipeline: pipeline, evalNet: g, model: &Model{Graph: g, Params: params}}
	if t.eval, err = engine.Evaluate(g, params); err != nil {
		return nil, suggestBatch(err, r.Train.Batch)
	}
	pipeline.Raw = t.eval.TakesImages(g.Input)
	t.logits = make([]float32, r.Train.Batch*t.classes())
	t.softmax = make([]float64, len(t.logits))
	return t, nil
}

// Evaluate evaluates the test images, in the crops that the recipe asks for.
func (t *Trainer) Evaluate(ctx context.Context) (Score, error) {
	s, _, err := t.test(ctx, true)
	return s, err
}

// A Guess is a class and its probability.
type Guess struct {
	Class       string  `json:"class"`
	Probability float64 `json:"probability"`
}

// Classify returns the likeliest classes of each test image, in order of decreasing probability.
func (t *Trainer) Classify(ctx context.Context, top int) ([][]Guess, error) {
	var all [][]Guess
	classes := t.pipeline.Classes()
	_, err := t.evaluate(t.pipeline.Test(ctx, t.recipe.Data.TestCrops), func(p experiments.Prediction) {
		row := t.row(p.Index % t.recipe.Train.Batch)
		z := graph.LogSumExp(row)
		guesses := make([]Guess, len(classes))
		for c, name := range classes {
			guesses[c] = Guess{name, math.Exp(float64(row[c]) - z)}
		}
		slices.SortStableFunc(guesses, func(a, b Guess) int { return cmp.Compare(b.Probability, a.Probability) })
		all = append(all, guesses[:min(top, len(guesses))])
	})
	return all, err
}
