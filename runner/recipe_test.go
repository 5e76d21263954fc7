package runner

import (
	"math"
	"slices"
	"testing"

	"ablate/arch"
	"ablate/experiments"
	"ablate/recipe"
	"ablate/runner/data"
	"ablate/runner/graph"
)

// started is a trainer of the small net under a changed recipe.
func started(t *testing.T, change func(r *recipe.Recipe)) *trainer {
	t.Helper()
	r := smallRun(t).Variant.Recipe
	change(&r)
	if err := r.Validate(); err != nil {
		t.Fatal(err)
	}
	dev, err := OpenDevices("cpu", 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dev.Close() })
	ds, err := datasets{}.open(t.Context(), r.Data)
	if err != nil {
		t.Fatal(err)
	}
	tr, err := newTrainer(r, ds, dev, 1)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// trainEpoch trains the trainer's next epoch.
func trainEpoch(t *testing.T, tr *trainer) {
	t.Helper()
	if _, err := tr.epoch(t.Context(), func(int) error { return nil }); err != nil {
		t.Fatal(err)
	}
	tr.next()
}

// snapshot copies all weights and velocities.
func snapshot(t *testing.T, tr *trainer) map[string][]float32 {
	t.Helper()
	s, err := tr.checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string][]float32{}
	for _, x := range s.Tensors {
		values[x.Name] = slices.Clone(x.Data)
	}
	return values
}

// Policies that change at every step, by hand.
func TestContinuousSchedules(t *testing.T) {
	for name, c := range map[string]struct {
		s    recipe.Schedule
		want map[float64]float64 // epochs of 10 that are done → rate, from 2
	}{
		"linear":    {recipe.Schedule{Kind: "linear"}, map[float64]float64{0: 2, 2.5: 1.5, 5: 1, 9.5: 0.1}},
		"square":    {recipe.Schedule{Kind: "poly", Power: 2}, map[float64]float64{0: 2, 2.5: 1.125, 5: 0.5, 9.5: 0.005}},
		"sqrt":      {recipe.Schedule{Kind: "poly", Power: 0.5}, map[float64]float64{0: 2, 7.5: 1, 9.1: 0.6}},
		"exp":       {recipe.Schedule{Kind: "exp", Target: 10000}, map[float64]float64{0: 2, 2.5: 0.2, 5: 0.02, 7.5: 0.002}},
		"step":      {recipe.Schedule{Kind: "step", At: []int{3}, Factor: 0.5}, map[float64]float64{0: 2, 2.9: 2, 3: 1, 3.5: 1}},
		"constant":  {recipe.Schedule{Kind: "constant"}, map[float64]float64{0: 2, 9.9: 2}},
		"dexp":      {recipe.Schedule{Kind: "discrete_exp", Target: 8, Steps: 4}, map[float64]float64{0: 2, 2.9: 2, 3: 1, 5: 0.5, 7.9: 0.5, 8: 0.25, 9.9: 0.25}},
		"dexp of 2": {recipe.Schedule{Kind: "discrete_exp", Target: 10, Steps: 2}, map[float64]float64{0: 2, 4.9: 2, 5: 0.2}},
	} {
		sched := newSchedule(c.s, 2, 10)
		for done, want := range c.want {
			if got := sched.rate(done); math.Abs(got-want) > 1e-12 {
				t.Errorf("%s: rate %v after %v epochs, want %v", name, got, done, want)
			}
		}
	}
}

// Every parameter's rate by hand: biases at a rate and schedule of their own, a
// layer that slows down and then freezes.
func TestRates(t *testing.T) {
	params := []graph.Param{{Name: "conv1.weight"}, {Name: "conv1.bias", Bias: true}, {Name: "fc2.weight"}, {Name: "fc2.bias", Bias: true}}
	train := recipe.Train{LR: 0.01, Epochs: 10, Schedule: recipe.Schedule{Kind: "step", At: []int{4}, Factor: 0.1},
		LayerRates: []recipe.LayerRate{{Layer: "conv1", From: 2, Factor: 0.5}, {Layer: "conv1", From: 6, Factor: 0}}}
	own := recipe.Bias{LR: 0.02, Schedule: recipe.Schedule{Kind: "constant"}}
	for name, c := range map[string]struct {
		bias recipe.Bias
		want map[float64][4]float64 // epochs done → rates of the four parameters
	}{
		"bias follows": {recipe.Bias{}, map[float64][4]float64{
			0: {0.01, 0.01, 0.01, 0.01}, 2: {0.005, 0.005, 0.01, 0.01}, 5: {0.0005, 0.0005, 0.001, 0.001}, 6.5: {0, 0, 0.001, 0.001}}},
		"bias twice as fast": {recipe.Bias{LR: 0.02}, map[float64][4]float64{
			0: {0.01, 0.02, 0.01, 0.02}, 5: {0.0005, 0.001, 0.001, 0.002}}},
		"bias by itself": {own, map[float64][4]float64{
			0: {0.01, 0.02, 0.01, 0.02}, 3: {0.005, 0.01, 0.01, 0.02}, 5: {0.0005, 0.01, 0.001, 0.02}, 9: {0, 0, 0.001, 0.02}}},
	} {
		train.Bias = c.bias
		r, err := newRates(train, params)
		if err != nil {
			t.Fatal(err)
		}
		for done, want := range c.want {
			rate, factors := r.at(done)
			for i, p := range params {
				if got := rate * factors[p.Name]; math.Abs(got-want[i]) > 1e-15 {
					t.Errorf("%s: %s learns at %v after %v epochs, want %v", name, p.Name, got, done, want[i])
				}
			}
		}
		if n := testing.AllocsPerRun(10, func() { r.at(5) }); n != 0 {
			t.Errorf("%s: %v allocations a step", name, n)
		}
	}
	plain, err := newRates(recipe.Train{LR: 0.01, Epochs: 1, Schedule: recipe.Schedule{Kind: "constant"}}, params)
	if err != nil {
		t.Fatal(err)
	}
	if _, factors := plain.at(0); factors != nil {
		t.Errorf("a plain recipe has factors %v", factors)
	}
}

// A frozen layer keeps weights, biases and momentum to the last bit, a convolution
// as well as a dense layer (whose update is fused); the others go on.
func TestFreeze(t *testing.T) {
	for _, frozen := range []string{"conv1", "fc1"} {
		tr := started(t, func(r *recipe.Recipe) {
			r.Train.LayerRates = []recipe.LayerRate{{Layer: frozen, From: 1, Factor: 0}}
		})
		first := snapshot(t, tr)
		trainEpoch(t, tr)
		before := snapshot(t, tr)
		if slices.Equal(first[frozen+".weight"], before[frozen+".weight"]) {
			t.Errorf("%s does not learn before it freezes", frozen)
		}
		trainEpoch(t, tr)
		trainEpoch(t, tr)
		for name, after := range snapshot(t, tr) {
			still := slices.Equal(before[name], after)
			if is := name[:len(frozen)+1] == frozen+"."; still != is {
				t.Errorf("%s frozen from epoch 1: %s stays the same: %v", frozen, name, still)
			}
		}
	}
}

// A bias rate of half the weights' is the same as that factor on every layer.
func TestBiasRate(t *testing.T) {
	rate := started(t, func(r *recipe.Recipe) { r.Train.Bias.LR = r.Train.LR / 2 })
	layers := started(t, func(r *recipe.Recipe) {
		r.Net = r.Net.Clone()
		for _, l := range r.Net.Layers {
			switch p := l.Spec.(type) {
			case *arch.Conv:
				p.LR.Bias /= 2
			case *arch.Dense:
				p.LR.Bias /= 2
			}
		}
	})
	plain := started(t, func(*recipe.Recipe) {})
	for _, tr := range []*trainer{rate, layers, plain} {
		trainEpoch(t, tr)
	}
	want, got, other := snapshot(t, layers), snapshot(t, rate), snapshot(t, plain)
	for name := range want {
		if !slices.Equal(want[name], got[name]) {
			t.Errorf("%s differs", name)
		}
	}
	if slices.Equal(got["conv1.bias"], other["conv1.bias"]) {
		t.Error("half the rate moves biases as far as the whole")
	}
}

// Without dropout from the first epoch on, training is that of the net whose
// dropout only scales: the mask is never drawn. (0 would mean never.)
func TestDropoutOff(t *testing.T) {
	off := started(t, func(r *recipe.Recipe) { r.Train.DropoutUntil = 1 })
	on := started(t, func(*recipe.Recipe) {})
	trainEpoch(t, off)
	trainEpoch(t, on)
	if a, b := snapshot(t, off), snapshot(t, on); !slices.Equal(a["fc1.weight"], b["fc1.weight"]) {
		t.Error("dropout is off before its epoch")
	}
	// The logits of a step are those of the evaluation graph with the same weights.
	batch, err := firstBatch(t.Context(), off.pipeline)
	if err != nil {
		t.Fatal(err)
	}
	if err := off.infer(batch); err != nil {
		t.Fatal(err)
	}
	want := slices.Clone(off.logits)
	if err := off.learn(batch, off.done()); err != nil {
		t.Fatal(err)
	}
	for i, x := range off.logits {
		if math.Abs(float64(x-want[i])) > 1e-5 {
			t.Fatalf("logit %d is %v in training and %v in evaluation", i, x, want[i])
		}
	}
	if err := on.learn(batch, on.done()); err != nil {
		t.Fatal(err)
	}
	if slices.Equal(on.logits, off.logits) {
		t.Error("dropout that is on changes nothing")
	}
}

// Ten views are the mean of ten evaluations, each of one explicit view.
func TestTenViewsAreTheMeanOfTen(t *testing.T) {
	const side, crop = 32, 28
	tr := started(t, func(r *recipe.Recipe) { r.Data.TestCrops, r.Data.Test = recipe.TenCrop, 23 })
	trainEpoch(t, tr)
	var got []experiments.Prediction
	s, err := tr.test(t.Context(), recipe.TenCrop, func(p experiments.Prediction) { got = append(got, p) })
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 23 || s.n != 23 {
		t.Fatalf("%d predictions, score over %d", len(got), s.n)
	}
	ds, err := data.Open(t.Context(), tr.recipe.Data)
	if err != nil {
		t.Fatal(err)
	}
	if ds.Shape.Height != side {
		t.Fatalf("shapes are %d high", ds.Shape.Height)
	}
	mean := meanOf(ds.Train.Images, ds.Shape.Len())
	classes := tr.classes()
	for i, p := range got {
		probabilities := make([]float64, classes)
		image := ds.Test.Images[i*ds.Shape.Len():][:ds.Shape.Len()]
		for _, at := range [][2]int{{0, 0}, {0, 4}, {4, 0}, {4, 4}, {2, 2}} {
			for _, flip := range []bool{false, true} {
				b := &data.Batch{X: make([]float32, tr.recipe.Train.Batch*crop*crop*3), N: 1}
				for y := range crop {
					for x := range crop {
						from := at[1] + x
						if flip {
							from = at[1] + crop - 1 - x
						}
						for c := range 3 {
							v := ((at[0]+y)*side+from)*3 + c
							b.X[(y*crop+x)*3+c] = (float32(image[v]) - mean[v]) * float32(tr.recipe.Data.Scale)
						}
					}
				}
				if err := tr.infer(b); err != nil {
					t.Fatal(err)
				}
				z := graph.LogSumExp(tr.logits[:classes])
				for c, v := range tr.logits[:classes] {
					probabilities[c] += math.Exp(float64(v)-z) / 10
				}
			}
		}
		if want := math.Log(probabilities[p.Label]); math.Abs(p.LogProb-want) > 1e-4 {
			t.Errorf("image %d: log probability %v, the mean of ten views has %v", i, p.LogProb, want)
		}
		if best := slices.Index(probabilities, slices.Max(probabilities)); best != p.Predicted {
			t.Errorf("image %d: class %d predicted, want %d", i, p.Predicted, best)
		}
	}
}

func meanOf(images []byte, size int) []float32 {
	sums := make([]float64, size)
	for i, v := range images {
		sums[i%size] += float64(v)
	}
	mean := make([]float32, size)
	for i, v := range sums {
		mean[i] = float32(v / float64(len(images)/size))
	}
	return mean
}

// noisy is the small run with everything a recipe can do to images and rates.
func noisy(t *testing.T) Run {
	r := smallRun(t)
	c := &r.Variant.Recipe
	c.Data.Validation, c.Data.LabelNoise, c.Data.Mean, c.Data.CropChunk, c.Data.TestCrops = 10, 0.2, "image_centre", 4, recipe.TenCrop
	c.Data.Train = 70 // six batches are left, as smallRun has
	c.Data.PCAColour = recipe.PCAColour{Std: 0.1, Shrink: true}
	c.Data.AugmentUntil = recipe.AugmentUntil{Crop: 2, Flip: 1, PCAColour: 2}
	c.Train.Bias = recipe.Bias{LR: 0.02, Schedule: recipe.Schedule{Kind: "linear", Factor: 0.1, Patience: 1, Steps: 4}}
	c.Train.LayerRates = []recipe.LayerRate{{Layer: "conv1", From: 1, Factor: 0.1}, {Layer: "conv1", From: 2, Factor: 0}}
	c.Train.DropoutUntil = 2
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	return r
}

// A run with all of it resumes exactly, logs the held-out images' error, and is
// tested on ten views at its end.
func TestNoisyRunResumes(t *testing.T) {
	whole := t.TempDir()
	if out := attempt(t, noisy(t), whole, 0, 1); out.Done != 1 {
		t.Fatalf("%+v", out)
	}
	want := outcomeOf(t, whole)
	for _, stop := range []int{1, 5, 6, 8, 13, 17} {
		root := t.TempDir()
		if out := attempt(t, noisy(t), root, stop, 3); !out.Interrupted {
			t.Fatalf("%d: %+v", stop, out)
		}
		if out := attempt(t, noisy(t), root, 0, 2); out.Done != 1 {
			t.Fatalf("%d: %+v", stop, out)
		}
		if d := want.diff(outcomeOf(t, root)); d != "" {
			t.Errorf("after a stop at step %d (-whole +resumed):\n%s", stop, d)
		}
	}
	validated := 0
	for _, m := range want.Series {
		if m.Name == "validation_top1_error" {
			validated++
			if m.Value < 0 || m.Value > 1 || math.Abs(float64(10*m.Value)-math.Round(float64(10*m.Value))) > 1e-9 {
				t.Errorf("error %v on ten images", m.Value)
			}
		}
	}
	if validated != 3 {
		t.Errorf("%d epochs have a validation error", validated)
	}
}

// The plateau looks at the held-out images where there are some.
func TestPlateauLooksAtValidation(t *testing.T) {
	tr := started(t, func(r *recipe.Recipe) { r.Data.Validation, r.Data.Train = 10, 70 })
	store := &experiments.Store{Root: t.TempDir()}
	run, err := store.Start(experiments.Record{Study: "s", Variant: "small", Seed: 1, Identity: "i"}, experiments.StartOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer run.Close()
	held, err := tr.validate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := tr.observe(t.Context(), run, score{n: 30, wrong1: 3}, 0); err != nil {
		t.Fatal(err)
	}
	if got := tr.rates.weights.best; held.n != 10 || got != held.top1Error() || got == 0.1 {
		t.Errorf("the schedule saw %v; %d held-out images have %v", got, held.n, held.top1Error())
	}
}
