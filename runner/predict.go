package runner

import (
	"context"
	"fmt"
	"math"
	"time"

	"ablate/configs"
	"ablate/recipe"
	"ablate/runner/data"
	"ablate/runner/train"
)

// A Prediction says what a run of a variant will do.
type Prediction struct {
	Run      time.Duration // for one seed
	Input    string        // how a training image becomes an input, in words
	Batches  int           // per epoch
	LeftOver int           // training images that every epoch leaves out, since they do not fill a batch
}

// Predict measures a few training steps of each variant of a study. It records nothing.
func Predict(ctx context.Context, s *configs.Study, devices Devices) ([]Prediction, error) {
	var sets datasets
	defer sets.close()
	for _, v := range s.Variants { // all of them, before any is trained
		if err := devices.check(v); err != nil {
			return nil, err
		}
		if err := fitsInit(v); err != nil {
			return nil, err
		}
	}
	var out []Prediction
	measured := map[string]measurement{}
	for _, v := range s.Variants {
		ds, err := sets.open(ctx, v.Recipe.Data)
		if err != nil {
			return nil, err
		}
		key, err := stepKey(v)
		if err != nil {
			return nil, err
		}
		m, again := measured[key] // a sweep over rates measures one variant only
		if !again {
			if m, err = measure(ctx, v, ds, s.Seeds[0], devices); err != nil {
				return nil, fmt.Errorf("variant %s: %w", v.Name, err)
			}
			measured[key] = m
		}
		out = append(out, m.predict(v.Recipe, ds))
	}
	return out, nil
}

// A measurement holds the times of a variant's first steps.
type measurement struct {
	step, evaluation  time.Duration // of one batch
	input             string
	batches, leftOver int
}

func measure(ctx context.Context, v configs.Variant, ds *data.Dataset, seed uint64,
	devices Devices) (measurement, error) {
	group, err := devices.open(v)
	if err != nil {
		return measurement{}, err
	}
	t, err := train.New(ctx, v.Recipe, ds, group, seed)
	if err != nil {
		return measurement{}, err
	}
	p := t.Pipeline()
	m := measurement{input: p.Words(), batches: p.Batches(), leftOver: p.LeftOver()}
	m.step, m.evaluation, err = t.Measure(ctx)
	return m, err
}

// predict returns what a run of a recipe with these step times will do.
func (m measurement) predict(r recipe.Recipe, ds *data.Dataset) Prediction {
	evaluate := func(images int) float64 {
		return math.Ceil(float64(images)/float64(r.Train.Batch)) * m.evaluation.Seconds()
	}
	epoch := float64(m.batches)*m.step.Seconds() + evaluate(ds.Test.Len()) + evaluate(ds.Validation.Len())
	run := float64(r.Train.Epochs) * epoch
	if r.Data.TestCrops == recipe.TenCrop { // after the last epoch
		run += 9 * evaluate(ds.Test.Len())
	}
	return Prediction{Run: seconds(run), Input: m.input, Batches: m.batches, LeftOver: m.leftOver}
}

// seconds returns a duration; if it is too long, it returns the longest there is: 292 years.
func seconds(s float64) time.Duration {
	if ns := s * float64(time.Second); ns < math.MaxInt64 {
		return time.Duration(ns)
	}
	return math.MaxInt64
}

// Times returns n times a duration, at most the longest there is.
func Times(n int, d time.Duration) time.Duration { return seconds(float64(n) * d.Seconds()) }

// estimate predicts how long the unfinished jobs take. It measures only the first of them and
// scales its time by the work of the others.
func estimate(ctx context.Context, jobs []Job, sets *datasets, o Options) (time.Duration, error) {
	var first Job
	var firstWork, work float64
	for _, j := range jobs {
		if !o.Fresh {
			r, err := o.Store.Record(o.Study.Name, j.Variant.Name, j.Seed)
			if err == nil && r.Status.Final() { // the run reports unreadable records when it begins
				continue
			}
		}
		ds, err := sets.open(ctx, j.Variant.Recipe.Data)
		if err != nil {
			return 0, err
		}
		w := j.Work(ds.Train.Len())
		if work == 0 {
			first, firstWork = j, w
		}
		work += w
	}
	if work == 0 {
		return 0, nil
	}
	ds, err := sets.open(ctx, first.Variant.Recipe.Data)
	if err != nil {
		return 0, err
	}
	m, err := measure(ctx, first.Variant, ds, first.Seed, o.Devices)
	if err != nil {
		return 0, fmt.Errorf("variant %s: %w", first.Variant.Name, err)
	}
	one := m.predict(first.Variant.Recipe, ds).Run
	return seconds(one.Seconds() * work / firstWork), nil
}

// stepKey identifies what the time of a variant's step depends on: the net, the data, how a batch
// is divided and computed, and the devices.
func stepKey(v configs.Variant) (string, error) {
	r := v.Recipe
	r.Train = recipe.Train{Batch: r.Train.Batch, MicroBatches: r.Train.MicroBatches, Precision: r.Train.Precision}
	id, err := r.Identity()
	return id + " " + v.Device, err
}
