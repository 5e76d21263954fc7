package runner

import (
	"ablate/experiments"
)

// saveFilters stores the first layer's filters before and after training, for
// their pictures (paper, figure 3). The first ones are drawn again: they depend
// on the seed alone. Nets that do not begin with a convolution have none.
func (t *trainer) saveFilters(run *experiments.Recorder) error {
	if len(t.graph.Params) == 0 || len(t.graph.Params[0].Shape) != 4 {
		return nil
	}
	p := t.graph.Params[0]
	trained, err := t.params.Weights(p.Name)
	if err != nil {
		return err
	}
	initial := make([]float32, len(trained))
	if err := draw(initial, 0, p, initStream(t.seed, p.Name)); err != nil {
		return err
	}
	return run.SaveFilters(
		experiments.Tensor{Name: p.Name + ".initial", Shape: p.Shape, Data: initial},
		experiments.Tensor{Name: p.Name + ".trained", Shape: p.Shape, Data: trained})
}

// timedSteps is how often each kernel is timed when a run has ended.
const timedSteps = 3

// saveTimes runs the training step a few more times, kernel by kernel, on the
// batch that is still in the program's inputs. The weights it changes are saved already.
func (t *trainer) saveTimes(run *experiments.Recorder, hardware string) error {
	names := t.train.Steps()
	times := experiments.Times{Hardware: hardware, Batch: t.recipe.Train.Batch}
	if t.steps > warmUp {
		times.Waiting = experiments.Number(t.waited.Seconds() / float64(t.steps-warmUp))
	}
	taken := make([][]float64, len(names))
	for range timedSteps {
		for i := range names {
			took, err := t.train.TimeStep(i)
			if err != nil {
				return err
			}
			taken[i] = append(taken[i], took.Seconds())
		}
	}
	for i, name := range names {
		times.Kernels = append(times.Kernels, experiments.KernelTime{Name: name, Seconds: experiments.Number(median(taken[i]))})
	}
	return run.SaveTimes(times)
}
