package train

import (
	"math"
	"testing"

	"ablate/experiments"
	"ablate/recipe"
	"ablate/runner/data"
	"ablate/runner/graph"
)

// Learning rates of 20 steps, one step per epoch, equal those of PyTorch 1.13:
// scripts/schedules.py.
func TestSchedulesArePyTorchs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		schedule recipe.Schedule
		want     [20]float64
	}{
		{recipe.Schedule{Kind: "cosine", Floor: 0.02},
			[20]float64{0.4, 0.397660785, 0.390700738, 0.37929124, 0.363713229, 0.344350288, 0.321679198, 0.296258195,
				0.268713229, 0.239722548, 0.21, 0.180277452, 0.151286771, 0.123741805, 0.0983208021, 0.0756497116,
				0.0562867711, 0.0407087604, 0.0292992619, 0.0223392153}},
		{recipe.Schedule{Kind: "cosine", Floor: 0.02, Warmup: 5, WarmupFrom: 0.1},
			[20]float64{0.04, 0.112, 0.184, 0.256, 0.328, 0.4, 0.395848044, 0.383573637, 0.363713229, 0.337134815, 0.305,
				0.268713229, 0.229860408, 0.190139592, 0.151286771, 0.115, 0.0828651848, 0.0562867711, 0.036426363,
				0.0241519559}},
		{recipe.Schedule{Kind: "linear"},
			[20]float64{0.4, 0.38, 0.36, 0.34, 0.32, 0.3, 0.28, 0.26, 0.24, 0.22, 0.2, 0.18, 0.16, 0.14, 0.12, 0.1, 0.08,
				0.06, 0.04, 0.02}},
		{recipe.Schedule{Kind: "poly", Power: 0.5},
			[20]float64{0.4, 0.389871774, 0.379473319, 0.368781778, 0.357770876, 0.346410162, 0.334664011, 0.32249031,
				0.309838668, 0.296647939, 0.282842712, 0.268328157, 0.252982213, 0.236643191, 0.219089023, 0.2,
				0.178885438, 0.154919334, 0.126491106, 0.0894427191}},
		{recipe.Schedule{Kind: "step", At: []int{6, 12}, Factor: 0.1},
			[20]float64{0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.04, 0.04, 0.04, 0.04, 0.04, 0.04, 0.004, 0.004, 0.004, 0.004, 0.004,
				0.004, 0.004, 0.004}},
	} {
		s := newSchedule(c.schedule, 0.4, len(c.want))
		for step, want := range c.want {
			if got := s.rate(float64(step)); math.Abs(got-want) > 1e-8*want {
				t.Errorf("%+v: step %d has rate %.9g, PyTorch %.9g", c.schedule, step, got, want)
			}
		}
	}
}

// The loss with smoothed labels and its gradient equal those of PyTorch 1.13:
// scripts/schedules.py.
func TestSmoothedLossIsPyTorchs(t *testing.T) {
	t.Parallel()
	tr := &Trainer{recipe: recipe.Recipe{Train: recipe.Train{LabelSmoothing: 0.1}}, targets: make([]float32, 20)}
	tr.soften(&data.Batch{N: 4, Y: []float32{0, 3, 1, 4}}, 5)
	var loss float64
	gradient := make([]float64, 5)
	for n := range 4 {
		logits, targets := make([]float64, 5), make([]float64, 5)
		for c := range 5 {
			logits[c], targets[c] = math.Sin(1+0.7*float64(n)+1.3*float64(c)), float64(tr.targets[5*n+c])
		}
		loss += graph.SoftTargetLossOf(logits, targets) / 4
		if n == 1 {
			graph.SoftTargetGradOf(logits, targets, func(p float64) float64 { return p / 4 }, gradient)
		}
	}
	if math.Abs(loss-1.73469055) > 1e-6 {
		t.Errorf("the loss is %.9g, PyTorch's 1.73469055", loss)
	}
	for c, want := range []float64{0.0976939958, 0.0388690407, 0.0102399902, -0.20973648, 0.0629334538} {
		if math.Abs(gradient[c]-want) > 1e-6*math.Abs(want)+1e-8 {
			t.Errorf("gradient %d is %.9g, PyTorch's %.9g", c, gradient[c], want)
		}
	}
}

// A run with a warm-up, smoothed labels, mixed and distorted images, averaged weights and early
// stopping on held-out images ends with the same bits however often it is stopped, on one device
// and on two.
func TestRecipesOfTodayResumeExactly(t *testing.T) {
	t.Parallel()
	r := smallRecipe(t)
	r.Train.Schedule = recipe.Defaults().Train.Schedule
	r.Train.Schedule.Kind, r.Train.Schedule.Floor, r.Train.Schedule.Warmup = "cosine", 1e-4, 1.5
	r.Train.LabelSmoothing, r.Train.EMA, r.Train.EarlyStopping, r.Train.Epochs = 0.1, 0.9, 1, 9
	r.Data.Validation, r.Train.Batch, r.Train.MicroBatches = 10, 16, 4
	if err := r.Validate(); err != nil {
		t.Fatal(err)
	}
	r.Data.Mixup, r.Data.CutMix, r.Data.Cutout, r.Data.Rotate = 0.4, 1, 6, 20
	r.Data.ResizedCrop, r.Data.Erase = recipe.ResizedCrop{MinArea: 0.3}, recipe.Erase{Probability: 0.5}
	r.Data.ColourJitter = recipe.ColourJitter{Brightness: 0.3, Contrast: 0.3, Saturation: 0.3}
	want := outcomeOfWhole(t, r)
	if e := want.Result.Epochs; e == 9 || e < 2 {
		t.Errorf("training went on for %d epochs", e)
	}
	for _, devices := range []string{"cpu", "cpu:0,cpu:1"} {
		root, dev := t.TempDir(), opened(t, devices, 2)
		for _, steps := range []int{1, 3} {
			attempt{recipe: r, root: root, devices: dev}.stopped(t, steps)
		}
		attempt{recipe: r, root: root, devices: dev}.whole(t)
		if d := want.diff(outcomeOf(t, root)); d != "" {
			t.Errorf("%s: %s", devices, d)
		}
	}
	plain := r
	plain.Train.EMA = 0
	if outcomeOfWhole(t, plain).Weights == want.Weights {
		t.Error("averaged weights are those of the last step")
	}
}

// Measurements within an epoch come at the given interval of steps, and change nothing else.
func TestLogEvery(t *testing.T) {
	t.Parallel()
	r := smallRecipe(t)
	r.Train.Epochs = 2
	series := func(every int) (names map[string]int) {
		tr := trainer(t, r, opened(t, "cpu", 1))
		store := &experiments.Store{Root: t.TempDir()}
		rec, err := store.Start(experiments.Record{Study: "s", Variant: "small", Seed: 1, Identity: "i"},
			experiments.StartOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer rec.Close()
		if _, err := tr.Run(t.Context(), rec, Options{LogEvery: every}); err != nil {
			t.Fatal(err)
		}
		log, err := experiments.ReadMetrics(experiments.MetricsPath(rec.Dir()))
		if err != nil {
			t.Fatal(err)
		}
		names = map[string]int{}
		for _, m := range experiments.Series(log) {
			names[m.Name]++
			if m.Name == "step_loss" && (m.Step%4 != 0 || m.Value <= 0) {
				t.Errorf("step %d has loss %v", m.Step, m.Value)
			}
		}
		return names
	}
	never, every := series(0), series(4) // for two epochs of six steps
	if every["step_loss"] != 3 || every["step_top1_error"] != 3 || never["step_loss"] != 0 {
		t.Errorf("%v without measurements, %v with", never, every)
	}
	if never["train_loss"] != every["train_loss"] {
		t.Error("epochs are logged otherwise")
	}
}
