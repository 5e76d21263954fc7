package train

import (
	"encoding/json"
	"fmt"
	"strconv"

	"ablate/experiments"
	"ablate/runner/engine"
)

// Names, in a weights file, of what turns an image into an input.
const (
	MeanTensor = "mean_image"
	axesTensor = "colour_axes"
)

// weights returns the parameters of the net.
func (t *Trainer) weights() ([]experiments.Tensor, error) { return tensorsOf(t.model.Params) }

func tensorsOf(params *engine.Params) ([]experiments.Tensor, error) {
	var tensors []experiments.Tensor
	for _, name := range params.Names() {
		values, err := params.Weights(name)
		if err != nil {
			return nil, err
		}
		tensors = append(tensors, experiments.Tensor{Name: name, Shape: params.Shape(name), Data: values})
	}
	return tensors, nil
}

// digest returns the SHA-256 of the current weights.
func (t *Trainer) digest() (string, error) {
	weights, err := t.weights()
	if err != nil {
		return "", err
	}
	return experiments.Digest(weights)
}

// Weights returns the parameters, or their averages if the recipe asks for these. It adds
// everything else that a program needs to use the net: its layers, the classes, and how an image
// becomes an input, including the mean image.
func (t *Trainer) Weights() (w experiments.Weights, err error) {
	if w.Params, err = tensorsOf(t.model.Params.Averaged()); err != nil {
		return w, err
	}
	in := t.pipeline.Input()
	if in.Mean != "none" {
		image := in.Image
		w.Input = append(w.Input, experiments.Tensor{
			Name: MeanTensor, Shape: []int{image.Height, image.Width, image.Channels}, Data: t.pipeline.Mean(),
		})
	}
	if axes := t.pipeline.ColourAxes(); axes != nil {
		w.Input = append(w.Input, experiments.Tensor{Name: axesTensor, Shape: []int{3, 3}, Data: axes})
	}
	w.About = map[string]string{"format": experiments.WeightsFormat, "version": strconv.Itoa(experiments.FormatVersion)}
	for key, value := range map[string]any{"net": t.recipe.Net, "classes": t.pipeline.Classes(), "input": in} {
		text, err := json.Marshal(value)
		if err != nil {
			return w, fmt.Errorf("weights: %s: %w", key, err)
		}
		w.About[key] = string(text)
	}
	return w, nil
}
