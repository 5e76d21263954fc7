package runner

import (
	"fmt"
	"time"

	"ablate/experiments"
)

// saveFirstLayer stores the first layer's filters before training, for the
// picture of them beside the trained ones (paper, figure 3). Nets that do not
// begin with a convolution have none.
func (t *trainer) saveFirstLayer(run *experiments.Run) error {
	if len(t.graph.Params) == 0 || len(t.graph.Params[0].Shape) != 4 {
		return nil
	}
	p := t.graph.Params[0]
	values, err := t.params.Weights(p.Name)
	if err != nil {
		return err
	}
	return run.SaveInitial([]experiments.Tensor{{Name: p.Name, Shape: p.Shape, Data: values}})
}

// timedSteps is how often each kernel is timed when a run has ended.
const timedSteps = 3

// saveTimes runs the training step a few more times, kernel by kernel, on the
// batch that is still in the program's inputs. The weights it changes are saved already.
func (t *trainer) saveTimes(run *experiments.Run, hardware string) error {
	names := t.train.Steps()
	times := experiments.Times{Hardware: hardware, Batch: t.recipe.Train.Batch}
	taken := make([][]float64, len(names))
	for range timedSteps {
		for i, name := range names {
			start := time.Now()
			if err := t.train.RunStep(i); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			taken[i] = append(taken[i], time.Since(start).Seconds())
		}
	}
	for i, name := range names {
		times.Kernels = append(times.Kernels, experiments.KernelTime{Name: name, Seconds: experiments.Number(median(taken[i]))})
	}
	return run.SaveTimes(times)
}
