package train

import (
	"slices"
	"testing"

	"ablate/arch"
	"ablate/recipe"
	"ablate/runner/data"
	"ablate/runner/device"
	"ablate/runner/engine"
)

// smallNet has everything that a checkpoint could forget: momentum, dropout and LRN.
const smallNet = `
net: small
input: {height: 28, width: 28, channels: 3}
columns: 2
layers:
  - conv: {filters: 8, kernel: 5, stride: 3, init: {kind: he}}
  - relu: {}
  - lrn: {size: 3, alpha: 0.1, alpha_over_size: false, beta: 0.75, k: 1}
  - maxpool: {kernel: 2, stride: 2}
  - dense: {outputs: 12, init: {kind: he}}
  - relu: {}
  - dropout: {rate: 0.5}
  - dense: {outputs: 10, init: {kind: he}}
  - softmax_loss: {}
`

// smallRecipe trains smallNet for three epochs of six steps.
func smallRecipe(t testing.TB) recipe.Recipe {
	t.Helper()
	net, err := arch.Parse("small", []byte(smallNet))
	if err != nil {
		t.Fatal(err)
	}
	r := recipe.Defaults()
	r.Net = net
	r.Data = recipe.Data{Name: "shapes", Train: 60, Test: 30, Mean: "image", Scale: 0.02, Crop: 28, Flip: true}
	r.Train.Batch, r.Train.Epochs, r.Train.LR = 10, 3, 0.01
	r.Train.Schedule = recipe.Schedule{Kind: "plateau", Factor: 0.5, Patience: 1, Drops: 3, Steps: 4}
	if err := r.Validate(); err != nil {
		t.Fatal(err)
	}
	return r
}

// opened opens the devices of a list and closes them when the test ends.
func opened(t testing.TB, list string, threads int) *engine.Group {
	t.Helper()
	g, err := device.Open(list, threads)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	return g
}

// trainer returns a trainer of a recipe under seed 1.
func trainer(t testing.TB, r recipe.Recipe, g *engine.Group) *Trainer {
	t.Helper()
	ds, err := data.Open(t.Context(), r.Data)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ds.Close() })
	tr, err := New(t.Context(), r, ds, g, 1)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// started returns a trainer of the small net with a changed recipe.
func started(t *testing.T, change func(r *recipe.Recipe)) *Trainer {
	t.Helper()
	r := smallRecipe(t)
	change(&r)
	if err := r.Validate(); err != nil {
		t.Fatal(err)
	}
	return trainer(t, r, opened(t, "cpu", 2))
}

// trainEpoch trains the next epoch.
func trainEpoch(t *testing.T, tr *Trainer) {
	t.Helper()
	for err := range tr.steps(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
	}
	tr.nextEpoch()
}

// snapshot copies all weights and velocities.
func snapshot(t *testing.T, tr *Trainer) map[string][]float32 {
	t.Helper()
	c, err := tr.checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string][]float32{}
	for _, x := range c.Tensors {
		values[x.Name] = slices.Clone(x.Data)
	}
	return values
}
