package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"ablate/experiments"
	"ablate/recipe"
	"ablate/runner/data"
	"ablate/runner/engine"
	"ablate/runner/train"
	"ablate/strictyaml"
)

// A Trained holds a run's recipe and weights, ready to classify images.
type Trained struct {
	recipe  recipe.Recipe
	weights experiments.Weights
	input   data.Input
	classes []string
	mean    []float32
}

// ErrUntrained reports a run whose weights cannot be used.
var ErrUntrained = errors.New("it has no weights to use")

// OpenTrained reads the net of a finished run.
func OpenTrained(dir string) (*Trained, error) {
	rec, err := experiments.ReadRecord(dir)
	if err != nil {
		return nil, err
	}
	if err := usable(rec, dir); err != nil {
		return nil, err
	}
	t := &Trained{}
	if t.recipe, err = recipe.Decode(rec.Recipe); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", dir, ErrUntrained, err)
	}
	if t.weights, err = experiments.ReadWeights(dir); err != nil {
		return nil, err
	}
	if t.weights.About["input"] == "" {
		return nil, fmt.Errorf("%s is of an earlier format, which does not say how images become inputs: %w", dir,
			ErrUntrained)
	}
	err = errors.Join(json.Unmarshal([]byte(t.weights.About["input"]), &t.input),
		json.Unmarshal([]byte(t.weights.About["classes"]), &t.classes))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", experiments.WeightsPath(dir), err)
	}
	for _, x := range t.weights.Input {
		if x.Name == train.MeanTensor {
			t.mean = x.Data
		}
	}
	if t.input.Mean != "none" && len(t.mean) != t.input.Image.Len() {
		return nil, fmt.Errorf("%s: its mean image has %d values, an image %d: %w", dir, len(t.mean), t.input.Image.Len(),
			ErrUntrained)
	}
	return t, nil
}

// usable refuses a run that is not finished.
func usable(rec experiments.Record, dir string) error {
	if rec.Status != experiments.Done {
		return fmt.Errorf("%s is %s: %w", dir, rec.Status, ErrUntrained)
	}
	return nil
}

// Predict classifies image files. It returns the likeliest classes of each, in order of decreasing
// probability.
func (t *Trained) Predict(ctx context.Context, files []string, top int, group *engine.Group) ([][]train.Guess, error) {
	ds, err := data.Photographs(files, t.input, t.classes, t.mean)
	if err != nil {
		return nil, err
	}
	r := t.shown()
	r.Train.Batch = min(r.Train.Batch, len(files))
	e, err := train.NewEvaluator(ctx, r, ds, group, t.weights)
	if err != nil {
		return nil, err
	}
	return e.Classify(ctx, top)
}

// Evaluate evaluates the net on the test images of its own data set. With changes of the recipe's
// data ("root=/photos"), it uses another data set. The net still subtracts the mean that it was
// trained with.
func (t *Trained) Evaluate(ctx context.Context, changes []string, group *engine.Group) (train.Score, error) {
	r := t.shown()
	for _, change := range changes {
		key, value, ok := strings.Cut(change, "=")
		if !ok {
			return train.Score{}, fmt.Errorf("--data %s: write KEY=VALUE, as in --data root=photos", change)
		}
		node, err := strictyaml.Value("--data "+key, value)
		if err != nil {
			return train.Score{}, err
		}
		if err := strictyaml.SetField(&r, "data."+key, node); err != nil {
			return train.Score{}, err
		}
	}
	if err := r.Validate(); err != nil {
		return train.Score{}, err
	}
	var sets datasets
	defer sets.close()
	ds, err := t.tests(ctx, &r, &sets)
	if err != nil {
		return train.Score{}, err
	}
	e, err := train.NewEvaluator(ctx, r, ds, group, t.weights)
	if err != nil {
		return train.Score{}, err
	}
	return e.Evaluate(ctx)
}

// tests opens the data that a recipe names, with the net's own classes and mean.
func (t *Trained) tests(ctx context.Context, r *recipe.Recipe, sets *datasets) (*data.Dataset, error) {
	ds, err := sets.open(ctx, r.Data)
	if err != nil {
		return nil, err
	}
	if !slices.Equal(ds.Classes, t.classes) && len(r.Data.Classes) == 0 {
		r.Data.Classes = t.classes // by name, in the order of the net's outputs
		if ds, err = sets.open(ctx, r.Data); err != nil {
			return nil, err
		}
	}
	if !slices.Equal(ds.Classes, t.classes) {
		return nil, fmt.Errorf("data %s has the classes %s, the net knows %s", ds.Name,
			strings.Join(ds.Classes, ", "), strings.Join(t.classes, ", "))
	}
	if t.mean != nil {
		if len(t.mean) != ds.Shape.Len() {
			return nil, fmt.Errorf("data %s has images of %v, the net was trained on %v", ds.Name, ds.Shape,
				t.input.Image)
		}
		ds.Mean = t.mean
	}
	return ds, nil
}

// shown returns the recipe without what applies to training images only.
func (t *Trained) shown() recipe.Recipe {
	r := t.recipe.Clone()
	r.Data.LabelNoise, r.Data.PCAColour, r.Data.ColourJitter = 0, recipe.PCAColour{}, recipe.ColourJitter{}
	r.Train.Init, r.Train.MicroBatches = recipe.Init{}, 0
	if r.Train.Epochs == 0 {
		r.Train.Epochs = 1
	}
	return r
}
