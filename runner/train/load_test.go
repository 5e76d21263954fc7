package train

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"ablate/arch"
	"ablate/experiments"
	"ablate/recipe"
)

const loadedNet = `
net: loaded
input: {height: 6, width: 6, channels: 3}
layers:
  - conv: {name: conv1, filters: 4, kernel: 3, stride: 1, init: {kind: he}}
  - batch_norm: {name: bn1}
  - prelu: {name: prelu1}
  - dense: {name: fc1, outputs: 10, init: {kind: he}}
  - softmax_loss: {}
`

// stateDict writes a PyTorch state dict of that net. The value of every weight tells its place
// there.
func stateDict(t *testing.T, change func([]experiments.Tensor) []experiments.Tensor) string {
	t.Helper()
	numbered := func(name string, shape ...int) experiments.Tensor {
		n := 1
		for _, d := range shape {
			n *= d
		}
		x := experiments.Tensor{Name: name, Shape: shape, Data: make([]float32, n)}
		for i := range x.Data {
			x.Data[i] = float32(i)
		}
		return x
	}
	tensors := []experiments.Tensor{
		numbered("conv1.weight", 4, 3, 3, 3), numbered("conv1.bias", 4), numbered("bn1.weight", 4), numbered("bn1.bias", 4),
		numbered("bn1.running_mean", 4), numbered("bn1.running_var", 4), numbered("prelu1.weight", 4),
		numbered("fc1.weight", 10, 64), numbered("fc1.bias", 10),
	}
	path := filepath.Join(t.TempDir(), "model.safetensors")
	if err := experiments.SaveTensors(path, change(tensors), nil); err != nil {
		t.Fatal(err)
	}
	return path
}

func loadedRecipe(t *testing.T, init recipe.Init) recipe.Recipe {
	t.Helper()
	r := smallRecipe(t)
	net, err := arch.Parse("loaded", []byte(loadedNet))
	if err != nil {
		t.Fatal(err)
	}
	r.Net, r.Data.Crop, r.Train.Init = net, 6, init
	return r
}

// A PyTorch state dict is converted to our order, since PyTorch stores channels before rows and
// columns, and its names are converted to ours.
func TestStateDict(t *testing.T) {
	t.Parallel()
	same := func(x []experiments.Tensor) []experiments.Tensor { return x }
	tr := trainer(t, loadedRecipe(t, recipe.Init{From: stateDict(t, same)}), opened(t, "cpu", 1))
	weights := func(name string) []float32 {
		w, err := tr.model.Params.Weights(name)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	conv := weights("conv1.weight") // [3, 3, 3, 4]
	for y := range 3 {
		for x := range 3 {
			for in := range 3 {
				for out := range 4 {
					got, want := conv[((y*3+x)*3+in)*4+out], float32(((out*3+in)*3+y)*3+x)
					if got != want {
						t.Fatalf("row %d, column %d, from %d to %d: %v, want %v", y, x, in, out, got, want)
					}
				}
			}
		}
	}
	dense := weights("fc1.weight") // for an input of 4×4×4
	for y := range 4 {
		for x := range 4 {
			for c := range 4 {
				for out := range 10 {
					got, want := dense[((y*4+x)*4+c)*10+out], float32(out*64+(c*4+y)*4+x)
					if got != want {
						t.Fatalf("dense row %d, column %d, channel %d to %d: %v, want %v", y, x, c, out, got, want)
					}
				}
			}
		}
	}
	for _, name := range []string{"bn1.mean", "bn1.variance", "prelu1.slope", "bn1.bias", "fc1.bias"} {
		if w := weights(name); w[3] != 3 {
			t.Errorf("%s is %v", name, w)
		}
	}
}

// Missing names, superfluous names and wrong shapes are refused; the error has both shapes.
func TestStateDictsThatAreRefused(t *testing.T) {
	t.Parallel()
	for says, change := range map[string]func([]experiments.Tensor) []experiments.Tensor{
		"holds no conv1.weight, which the net has as [4 3 3 3]": func(x []experiments.Tensor) []experiments.Tensor {
			return x[1:]
		},
		"holds head.bias as [2], which the net has not": func(x []experiments.Tensor) []experiments.Tensor {
			return append(x, experiments.Tensor{Name: "head.bias", Shape: []int{2}, Data: make([]float32, 2)})
		},
		"holds fc1.weight as [64 10], the net has [10 64]": func(x []experiments.Tensor) []experiments.Tensor {
			x[7].Shape = []int{64, 10}
			return x
		},
	} {
		err := CheckInit(loadedRecipe(t, recipe.Init{From: stateDict(t, change)}))
		if !errors.Is(err, ErrInit) || !strings.Contains(err.Error(), says) {
			t.Errorf("%v; want %q", err, says)
		}
	}
	for _, from := range []string{"gone.safetensors", t.TempDir()} {
		if err := CheckInit(loadedRecipe(t, recipe.Init{From: from})); !errors.Is(err, ErrInit) {
			t.Errorf("%s: %v", from, err)
		}
	}
}
