package train

import (
	"math"
	"slices"
	"strings"
	"testing"

	"ablate/arch"
	"ablate/experiments"
	"ablate/recipe"
	"ablate/runner/engine"
)

// A frozen layer keeps its weights, biases and momentum to the last bit, whether it is a
// convolution or a dense layer (whose update is fused). The other layers continue to learn.
func TestFreeze(t *testing.T) {
	t.Parallel()
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

// A bias rate of half the weights' rate is the same as a factor of a half on every layer.
func TestBiasRate(t *testing.T) {
	t.Parallel()
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
	for _, tr := range []*Trainer{rate, layers, plain} {
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

// Once dropout has ended, training is that of the net whose dropout only scales: no mask is drawn.
// (An end of 0 would mean never.)
func TestDropoutOff(t *testing.T) {
	t.Parallel()
	off := started(t, func(r *recipe.Recipe) { r.Train.DropoutUntil = 1 })
	on := started(t, func(*recipe.Recipe) {})
	trainEpoch(t, off)
	trainEpoch(t, on)
	if a, b := snapshot(t, off), snapshot(t, on); !slices.Equal(a["fc1.weight"], b["fc1.weight"]) {
		t.Error("dropout is off before its epoch")
	}
	// The logits of a step equal those of the evaluation graph with the same weights.
	batch, err := off.firstBatch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := off.infer(batch); err != nil {
		t.Fatal(err)
	}
	want := slices.Clone(off.logits)
	if err := off.trainOn(batch); err != nil {
		t.Fatal(err)
	}
	for i, x := range off.logits {
		if math.Abs(float64(x-want[i])) > 1e-5 {
			t.Fatalf("logit %d is %v in training and %v in evaluation", i, x, want[i])
		}
	}
	if err := on.trainOn(batch); err != nil {
		t.Fatal(err)
	}
	if slices.Equal(on.logits, off.logits) {
		t.Error("dropout that is on changes nothing")
	}
}

// The plateau uses the held-out images if there are some.
func TestPlateauLooksAtValidation(t *testing.T) {
	t.Parallel()
	tr := started(t, func(r *recipe.Recipe) { r.Data.Validation, r.Data.Train = 10, 70 })
	store := &experiments.Store{Root: t.TempDir()}
	rec, err := store.Start(experiments.Record{Study: "s", Variant: "small", Seed: 1, Identity: "i"},
		experiments.StartOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Close()
	var best float64
	_, err = tr.Run(t.Context(), rec, Options{OnEpoch: func(e Epoch) {
		if best = tr.rates.weights.best; e.Validation.Images != 10 || e.Number == 1 && best != e.Validation.Top1Error() {
			t.Errorf("the schedule saw %v; %d held-out images have %v", best, e.Validation.Images, e.Validation.Top1Error())
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if tenths := 10 * best; math.Abs(tenths-math.Round(tenths)) > 1e-9 {
		t.Errorf("the schedule saw %v, which is no error on ten images", best)
	}
}

// Every shipped net for small images can memorise a batch: the loss falls below half of its
// initial value. (The 224×224 nets use the same layers.)
func TestEveryNetLearns(t *testing.T) {
	t.Parallel()
	dev := opened(t, "cpu", 2)
	for _, name := range netNames(t) {
		r := recipe.Defaults()
		var err error
		if r.Net, err = arch.Nets.Load(name); err != nil {
			t.Fatal(err)
		}
		if r.Net.Input.Height > 32 || r.Net.Input.Channels != 3 { // the images drawn below have three channels
			continue
		}
		if name == "nin-cifar" { // its std is meant for its full width, at which 300 steps take minutes
			continue
		}
		if deep(r.Net) {
			r.Net = shrunk(t, r.Net)
		}
		t.Run(name, func(t *testing.T) { learns(t, r, dev) })
	}
}

func learns(t *testing.T, r recipe.Recipe, dev *engine.Group) {
	r.Data = recipe.Data{Name: "shapes", Train: 20, Test: 20, Mean: "image", Scale: 0.02}
	if r.Net.Input.Height < 32 {
		r.Data.Crop = r.Net.Input.Height
	}
	if strings.HasPrefix(r.Net.Name, "cuda-convnet") || strings.HasPrefix(r.Net.Name, "caffe-cifar10") {
		r.Data.Scale = 1 // the first layer's std of 1e-4 in these nets is meant for raw pixels
	}
	r.Train.Batch, r.Train.Epochs, r.Train.LR = 20, 1, 0.005
	tr := trainer(t, r, dev)
	batch, err := tr.firstBatch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var first float32
	for step := range 300 {
		tr.step = uint64(step)
		if err := tr.trainOn(batch); err != nil {
			t.Fatal(err)
		}
		if step == 0 {
			first = tr.loss[0]
		}
		if tr.loss[0] < first/2 {
			return
		}
	}
	t.Errorf("the loss went from %v to %v", first, tr.loss[0])
}
