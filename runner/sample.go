package runner

import (
	"context"
	"fmt"

	"ablate/experiments"
	"ablate/experiments/export/peer"
	"ablate/recipe"
	"ablate/runner/engine"
	"ablate/runner/train"
)

// Sample returns the first batch of a recorded run's test images, and the outputs of its trained
// net for their centres.
func Sample(ctx context.Context, rec experiments.Record, dir string, devices *engine.Group) (peer.Sample, error) {
	r, err := recipe.Decode(rec.Recipe)
	if err != nil {
		return peer.Sample{}, err
	}
	weights, err := experiments.ReadWeights(dir)
	if err != nil {
		return peer.Sample{}, err
	}
	var sets datasets
	defer sets.close()
	ds, err := sets.open(ctx, r.Data)
	if err != nil {
		return peer.Sample{}, err
	}
	t, err := train.New(ctx, r, ds, devices, rec.Seed)
	if err != nil {
		return peer.Sample{}, err
	}
	s := peer.Sample{Shape: ds.Shape, Net: r.Net.Input}
	if s.Inputs, s.LogProbs, s.N, err = t.Outputs(ctx, weights.Params); err != nil {
		return s, err
	}
	buf := make([]byte, s.Shape.Len())
	for i := range s.N {
		image, err := ds.Test.Image(i, len(buf), buf)
		if err != nil {
			return s, fmt.Errorf("test image %d: %w", i, err)
		}
		s.Images = append(s.Images, image...)
	}
	return s, nil
}
