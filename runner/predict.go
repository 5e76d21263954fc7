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
	measured := map[string][2]time.Duration{}
	for _, v := range s.Variants {
		ds, err := sets.open(ctx, v.Recipe.Data)
		if err != nil {
			return nil, err
		}
		run, err := predictRun(ctx, v, ds, s.Seeds[0], devices, measured)
		if err != nil {
			return nil, err
		}
		out = append(out, time.Duration(len(s.Seeds))*run)
	}
	return out, nil
}

// predictRun is the time of one run of a variant. measured holds the times of
// steps by what they depend on, so that a sweep over rates measures one variant.
func predictRun(ctx context.Context, v configs.Variant, ds *data.Dataset, seed uint64, devices Devices,
	measured map[string][2]time.Duration) (time.Duration, error) {
	key, err := stepKey(v)
	if err != nil {
		return 0, err
	}
	times, again := measured[key]
	if !again {
		group, err := devices.open(v)
		if err != nil {
			return 0, err
		}
		t, err := train.New(v.Recipe, ds, group, seed)
		if err != nil {
			return 0, err
		}
		if times[0], times[1], err = t.Measure(ctx); err != nil {
			return 0, err
		}
		measured[key] = times
	}
	step, evaluation := times[0], times[1]
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

// stepKey says what the time of a variant's step depends on: the net, the data,
// how a batch is cut and computed, and where.
func stepKey(v configs.Variant) (string, error) {
	r := v.Recipe
	r.Train = recipe.Train{Batch: r.Train.Batch, MicroBatches: r.Train.MicroBatches, Precision: r.Train.Precision}
	id, err := r.Identity()
	return id + " " + v.Device, err
}
