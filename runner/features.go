package runner

import (
	"context"
	"fmt"

	"ablate/experiments"
	"ablate/recipe"
	"ablate/runner/data"
	"ablate/runner/engine"
	"ablate/runner/train"
)

// Features computes the activations of the net's last hidden layer for n of its test images, with small pictures of
// the images.
func (t *Trained) Features(ctx context.Context, n int, group *engine.Group) (experiments.Features, error) {
	f := experiments.Features{Classes: t.classes}
	var sets datasets
	defer sets.close()
	r := t.shown()
	ds, err := t.tests(ctx, &r, &sets)
	if err != nil {
		return f, err
	}
	pictured := ds
	if s := r.Data.ColourSpace; s != recipe.RGB && s != recipe.Grey {
		cfg := r.Data
		cfg.ColourSpace = recipe.RGB
		if pictured, err = sets.open(ctx, cfg); err != nil {
			return f, err
		}
	}
	part, places, err := ds.Sample(n)
	if err != nil {
		return f, err
	}
	r.Train.Batch = min(r.Train.Batch, len(places))
	e, err := train.NewEvaluator(ctx, r, part, group, t.weights)
	if err != nil {
		return f, err
	}
	values, predictions, err := e.Features(ctx)
	if err != nil {
		return f, err
	}
	f.Values, f.Width = values.Data, values.Shape[1]
	for i, p := range predictions {
		f.Index = append(f.Index, places[i])
		f.Label = append(f.Label, p.Label)
		f.Predicted = append(f.Predicted, p.Predicted)
	}
	return f, pictures(&f, pictured)
}

// pictures adds a thumbnail of each image.
func pictures(f *experiments.Features, ds *data.Dataset) error {
	thumbnails := make([]experiments.Thumbnail, len(f.Index))
	for i, place := range f.Index {
		rgb, width, height, err := ds.Thumbnail(place, experiments.ThumbnailSide)
		if err != nil {
			return fmt.Errorf("test image %d: %w", place, err)
		}
		thumbnails[i] = experiments.Thumbnail{RGB: rgb, Width: width, Height: height}
	}
	return f.Picture(thumbnails)
}
