package experiments

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
)

// Weights are a weights file: a net's parameters and what else a program needs to use them.
type Weights struct {
	Params []Tensor
	Input  []Tensor          // what an image becomes an input with: mean_image, colour_axes
	About  map[string]string // format, version, net, classes, input
}

// parameters is the metadata that says how many of a file's tensors are parameters, the first ones.
const parameters = "parameters"

// SaveWeights writes the trained weights and returns the Digest of the parameters,
// which does not depend on what else is in the file.
func (r *Recorder) SaveWeights(w Weights) (digest string, err error) {
	if err := r.held(); err != nil {
		return "", err
	}
	about := maps.Clone(w.About)
	if about != nil {
		about[parameters] = strconv.Itoa(len(w.Params))
	}
	if _, err := writeWeights(filepath.Join(r.dir, weightsFile), slices.Concat(w.Params, w.Input), about); err != nil {
		return "", err
	}
	return Digest(w.Params)
}

// WeightsFormat is what About["format"] says of our own files.
const WeightsFormat = "ablate-weights"

// ReadWeights reads the weights in a run's folder. Those of earlier formats are parameters alone.
func ReadWeights(dir string) (Weights, error) { return ReadWeightsFile(WeightsPath(dir)) }

// ReadWeightsFile reads a file of weights, of another program's too.
func ReadWeightsFile(path string) (Weights, error) {
	tensors, about, err := ReadTensors(path)
	if err != nil {
		return Weights{}, err
	}
	n := len(tensors)
	if text, ok := about[parameters]; ok {
		if n, err = strconv.Atoi(text); err != nil || n < 0 || n > len(tensors) {
			return Weights{}, fmt.Errorf("%s: %s parameters among %d tensors: %w", path, strconv.Quote(text), len(tensors),
				ErrWeights)
		}
		delete(about, parameters)
	}
	return Weights{Params: tensors[:n], Input: tensors[n:], About: about}, nil
}
