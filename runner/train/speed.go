package train

import (
	"context"
	"slices"
	"time"

	"ablate/experiments"
	"ablate/runner/data"
)

// warmUp is the number of an attempt's first steps that do not count for its speed.
const warmUp = 5

// speed measures the steps of an attempt after its warm-up.
type speed struct {
	steps    int           // including the warm-up
	measured time.Duration // without the warm-up
	waited   time.Duration // for images; part of measured
	images   int
}

func (s *speed) add(images int, took, waited time.Duration) {
	if s.steps++; s.steps > warmUp {
		s.measured += took
		s.waited += waited
		s.images += images
	}
}

// imagesPerSecond returns the speed, or 0 if no step came after the warm-up.
func (s *speed) imagesPerSecond() float64 {
	if s.images == 0 {
		return 0
	}
	return float64(s.images) / s.measured.Seconds()
}

// waitingSeconds returns the mean time that a step waited for its images.
func (s *speed) waitingSeconds() float64 {
	if s.steps <= warmUp {
		return 0
	}
	return s.waited.Seconds() / float64(s.steps-warmUp)
}

// Measure trains a few steps on the first batch, evaluates it once, and returns how long one step
// and the evaluation of one batch take. The Trainer must not be used for anything else.
func (t *Trainer) Measure(ctx context.Context) (step, evaluation time.Duration, err error) {
	const steps = 3
	batch, err := t.firstBatch(ctx)
	if err != nil {
		return 0, 0, err
	}
	for range steps {
		if err := ctx.Err(); err != nil {
			return 0, 0, err
		}
		started := time.Now()
		if err := t.trainOn(batch); err != nil {
			return 0, 0, err
		}
		if took := time.Since(started); step == 0 || took < step {
			step = took
		}
	}
	started := time.Now()
	err = t.infer(batch)
	return step, time.Since(started), err
}

func (t *Trainer) firstBatch(ctx context.Context) (*data.Batch, error) {
	batches := t.pipeline.Train(ctx, 0, 0)
	defer batches.Close()
	return batches.Next()
}

// trainOn trains one step on a batch and counts nothing.
func (t *Trainer) trainOn(b *data.Batch) error {
	if err := t.feed(b); err != nil {
		return err
	}
	if err := t.launch(); err != nil {
		return err
	}
	return t.sync()
}

// timedSteps is how often each kernel is timed after a run; it is odd, for the median.
const timedSteps = 3

// saveTimes runs the training step a few more times, kernel by kernel, on the batch that is still
// in the program's inputs. The weights that it changes have already been saved.
func (t *Trainer) saveTimes(rec *experiments.Recorder) error {
	program := t.model.Program
	names := program.Steps()
	taken := make([][]time.Duration, len(names))
	for range timedSteps {
		for i := range names {
			took, err := program.TimeStep(i)
			if err != nil {
				return err
			}
			taken[i] = append(taken[i], took)
		}
	}
	times := experiments.Times{Hardware: t.hardware, Batch: t.recipe.Train.Batch,
		Waiting: experiments.Number(t.speed.waitingSeconds())}
	for i, name := range names {
		slices.Sort(taken[i])
		median := taken[i][timedSteps/2]
		times.Kernels = append(times.Kernels, experiments.KernelTime{
			Name: name, Layer: program.Layer(i), Seconds: experiments.Number(median.Seconds()),
		})
	}
	return rec.SaveTimes(times)
}
