package runner

import (
	"context"
	"time"

	"ablate/configs"
	"ablate/recipe"
	"ablate/runner/data"
	"ablate/runner/train"
)

// Predict measures a few training steps of each variant and returns the time
// that all its seeds will take. Nothing is recorded.
func Predict(ctx context.Context, s *configs.Study, devices Devices) ([]time.Duration, error) {
	sets := datasets{}
	defer sets.close()
	for _, v := range s.Variants { // all of them, before any is trained
		if err := devices.check(v); err != nil {
			return nil, err
		}
	}
	var out []time.Duration
	for _, v := range s.Variants {
		ds, err := sets.open(ctx, v.Recipe.Data)
		if err != nil {
			return nil, err
		}
		run, err := predictRun(ctx, v, ds, s.Seeds[0], devices)
		if err != nil {
			return nil, err
		}
		out = append(out, time.Duration(len(s.Seeds))*run)
	}
	return out, nil
}

// predictRun is the time of one run of a variant.
func predictRun(ctx context.Context, v configs.Variant, ds *data.Dataset, seed uint64, devices Devices) (time.Duration, error) {
	group, err := devices.open(v)
	if err != nil {
		return 0, err
	}
	t, err := train.New(v.Recipe, ds, group, seed)
	if err != nil {
		return 0, err
	}
	step, evaluation, err := t.Measure(ctx)
	if err != nil {
		return 0, err
	}
	r := v.Recipe.Train
	evaluate := func(images int) time.Duration {
		return time.Duration((images+r.Batch-1)/r.Batch) * evaluation
	}
	epoch := time.Duration(ds.Train.Len()/r.Batch)*step + evaluate(ds.Test.Len()) + evaluate(ds.Validation.Len())
	run := time.Duration(r.Epochs) * epoch
	if v.Recipe.Data.TestCrops == recipe.TenCrop { // after the last epoch
		run += 9 * evaluate(ds.Test.Len())
	}
	return run, nil
}
