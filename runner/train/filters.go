package train

import (
	"ablate/experiments"
)

// saveFilters stores the first layer's filters before and after training, for their pictures
// (paper, figure 3). It draws the initial filters again, since they depend only on the seed, or
// reads them again from the recipe's initial weights. It stores nothing for a net that does not
// begin with a convolution.
func (t *Trainer) saveFilters(rec *experiments.Recorder) error {
	params := t.model.Graph.Params
	if len(params) == 0 || len(params[0].Shape) != 4 {
		return nil
	}
	p := params[0]
	trained, err := t.model.Params.Averaged().Weights(p.Name)
	if err != nil {
		return err
	}
	initial := make([]float32, len(trained))
	if err := draw(initial, 0, p, initStream(t.seed, p.Name)); err != nil {
		return err
	}
	if t.recipe.Train.Init.From != "" {
		values, err := initialWeights(t.recipe, t.model.Graph.Params)
		if err != nil {
			return err
		}
		if first, ok := values[p.Name]; ok {
			initial = first
		}
	}
	return rec.SaveFilters(
		experiments.Tensor{Name: p.Name + ".initial", Shape: p.Shape, Data: initial},
		experiments.Tensor{Name: p.Name + ".trained", Shape: p.Shape, Data: trained})
}
