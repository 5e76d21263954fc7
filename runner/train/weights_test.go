package train

import (
	"encoding/json"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"ablate/arch"
	"ablate/experiments"
	"ablate/recipe"
	"ablate/runner/data"
)

// The weights file has everything that is needed to use the net: a net rebuilt from the file alone
// gives the same answers. The mean image must be that of the images that were trained on: with the
// mean of all images, the net looks right and is wrong.
func TestWeightsFileRebuildsTheNet(t *testing.T) {
	t.Parallel()
	r := smallRecipe(t)
	r.Data.Train, r.Data.Validation = 70, 10
	r.Data.PCAColour = recipe.PCAColour{Std: 0.1}
	root := t.TempDir()
	devices := opened(t, "cpu", 1)
	attempt{recipe: r, root: root, devices: devices}.whole(t)
	dir := filepath.Join(root, "s", "small", "seed-1")
	weights, err := experiments.ReadWeights(dir)
	if err != nil {
		t.Fatal(err)
	}
	about := weights.About
	var net arch.Net
	var classes []string
	var in data.Input
	for key, to := range map[string]any{"net": &net, "classes": &classes, "input": &in} {
		if err := json.Unmarshal([]byte(about[key]), to); err != nil {
			t.Fatalf("%s: %v", key, err)
		}
	}
	if about["format"] != "ablate-weights" || len(classes) != 10 || classes[3] != "ring" || in.MeanImages != 60 {
		t.Errorf("%v", about)
	}

	other := smallRecipe(t) // a trainer with other weights, whose evaluation program is used
	other.Net = &net
	tr := trainer(t, other, devices)
	for _, x := range weights.Params {
		if err := tr.model.Params.SetWeights(x.Name, x.Data); err != nil {
			t.Fatal(err)
		}
	}
	shapes := map[string][]int{MeanTensor: {in.Image.Height, in.Image.Width, in.Image.Channels}, axesTensor: {3, 3}}
	if len(weights.Input) != 2 {
		t.Fatalf("%d tensors beside the parameters", len(weights.Input))
	}
	for _, x := range weights.Input {
		if !slices.Equal(x.Shape, shapes[x.Name]) || x.Data[0] == 0 {
			t.Errorf("%s: %v, %v", x.Name, x.Shape, x.Data[:3])
		}
	}
	mean := weights.Input[0].Data
	predictions, err := experiments.ReadPredictions(experiments.PredictionsPath(dir))
	if err != nil {
		t.Fatal(err)
	}
	ds, err := data.Open(t.Context(), r.Data)
	if err != nil {
		t.Fatal(err)
	}
	top, left := (in.Image.Height-in.Net.Height)/2, (in.Image.Width-in.Net.Width)/2
	for i, want := range predictions {
		image := ds.Test.Images[i*in.Image.Len():]
		b := &data.Batch{X: make([]float32, other.Train.Batch*in.Net.Len()), N: 1}
		for y := range in.Net.Height {
			for x := range in.Net.Width * in.Image.Channels {
				from := ((top+y)*in.Image.Width+left)*in.Image.Channels + x
				b.X[y*in.Net.Width*in.Net.Channels+x] = (float32(image[from]) - mean[from]) * float32(in.Scale)
			}
		}
		if err := tr.infer(b); err != nil {
			t.Fatal(err)
		}
		if got := predict(i, want.Label, tr.row(0)); math.Abs(got.LogProb-want.LogProb) > 1e-9 || got != want {
			t.Fatalf("image %d: %+v, the run says %+v", i, got, want)
		}
	}
}
