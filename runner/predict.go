package runner

import (
	"context"
	"time"

	"ablate/configs"
	"ablate/recipe"
	"ablate/runner/data"
)

// Predict measures a few training steps of each variant and gives the time all
// its seeds will take. Nothing is recorded.
func Predict(ctx context.Context, s *configs.Study, m *Machine) ([]time.Duration, error) {
	const steps = 3
	sets := datasets{}
	defer sets.close()
	var out []time.Duration
	for _, v := range s.Variants { // all of them, before any is trained
		if err := m.check(v); err != nil {
			return nil, err
		}
	}
	for _, v := range s.Variants {
		ds, err := sets.open(ctx, v.Recipe.Data)
		if err != nil {
			return nil, err
		}
		dev, err := m.Devices(v)
		if err != nil {
			return nil, err
		}
		t, err := newTrainer(v.Recipe, ds, dev, s.Seeds[0])
		if err != nil {
			return nil, err
		}
		batch, err := firstBatch(ctx, t.pipeline)
		if err != nil {
			return nil, err
		}
		best := time.Duration(0)
		for range steps {
			started := time.Now()
			if err := t.learn(batch, 0); err != nil {
				return nil, err
			}
			if took := time.Since(started); best == 0 || took < best {
				best = took
			}
		}
		started := time.Now()
		if err := t.eval.RunAll(); err != nil {
			return nil, err
		}
		evaluation := time.Since(started)
		r := v.Recipe.Train
		batches := func(images int) time.Duration { return time.Duration((images + r.Batch - 1) / r.Batch) }
		epoch := time.Duration(t.pipeline.Batches())*best + batches(ds.Test.Len()+ds.Validation.Len())*evaluation
		run := time.Duration(r.Epochs) * epoch
		if v.Recipe.Data.TestCrops == recipe.TenCrop {
			run += 9 * batches(ds.Test.Len()) * evaluation // after the last epoch
		}
		out = append(out, time.Duration(len(s.Seeds))*run)
	}
	return out, nil
}

func firstBatch(ctx context.Context, p *data.Pipeline) (*data.Batch, error) {
	r := p.Train(ctx, 0, 0)
	defer r.Close()
	return r.Next()
}
