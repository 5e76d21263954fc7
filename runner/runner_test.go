package runner

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ablate/arch"
	"ablate/experiments"
	"ablate/recipe"
	"ablate/runner/graph"
	"ablate/runner/random"
)

// series are a schedule's learning rates over epochs of given test errors.
func series(s recipe.Schedule, epochs int, errors ...float64) []float64 {
	sched := newSchedule(s, 1, epochs)
	var out []float64
	for e := range epochs {
		out = append(out, math.Round(1e6*sched.rate(float64(e)))/1e6)
		if e < len(errors) {
			sched.observe(errors[e])
		}
	}
	return out
}

func TestSchedules(t *testing.T) {
	for name, c := range map[string]struct {
		s      recipe.Schedule
		epochs int
		errors []float64
		want   []float64
	}{
		"constant": {recipe.Schedule{Kind: "constant"}, 3, nil, []float64{1, 1, 1}},
		"step":     {recipe.Schedule{Kind: "step", At: []int{1, 3}, Factor: 0.1}, 5, nil, []float64{1, 0.1, 0.1, 0.01, 0.01}},
		"plateau": {recipe.Schedule{Kind: "plateau", Factor: 0.5, Patience: 2, Drops: 1}, 8,
			[]float64{0.9, 0.8, 0.8, 0.85, 0.7, 0.7, 0.7}, []float64{1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5}},
		// cuda-convnet2's dexp over 8 epochs in 4 steps, ending at 1/1000: each step divides by 10.
		"discrete_exp": {recipe.Schedule{Kind: "discrete_exp", Target: 1000, Steps: 4}, 8, nil,
			[]float64{1, 1, 0.1, 0.1, 0.01, 0.01, 0.001, 0.001}},
	} {
		if d := cmp.Diff(c.want, series(c.s, c.epochs, c.errors...)); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

func TestPredict(t *testing.T) {
	nan := float32(math.NaN())
	for _, c := range []struct {
		label     int
		logits    []float32
		predicted int
		rank      int
	}{
		{2, []float32{0, 1, 3, 2}, 2, 1},
		{3, []float32{0, 1, 3, 2}, 2, 2},
		{0, []float32{0, 1, 3, 2}, 2, 4},
		{1, []float32{5, 5, 5}, 0, 2}, // ties: the lower class number ranks first
		{0, []float32{1, nan}, 0, 2},
	} {
		p := predict(7, c.label, c.logits)
		if p.Predicted != c.predicted || p.Rank != c.rank || p.Index != 7 {
			t.Errorf("%+v gives %+v", c, p)
		}
	}
	// −log softmax of (0, ln 3) at class 0 is ln 4.
	if p := predict(0, 0, []float32{0, float32(math.Log(3))}); math.Abs(p.LogProb+math.Log(4)) > 1e-6 {
		t.Errorf("log probability %v, want %v", p.LogProb, -math.Log(4))
	}
}

func TestScore(t *testing.T) {
	var s score
	for _, rank := range []int{1, 1, 2, 5, 6, 10, 1, 3} {
		s.add(experiments.Prediction{Rank: rank, LogProb: -0.5})
	}
	if s.top1Error() != 5.0/8 || s.top5Error() != 2.0/8 || s.meanLoss() != 0.5 {
		t.Errorf("%+v", s)
	}
}

// Weights start from the distribution the layer asks for, and a layer's weights
// do not depend on the layers around it.
func TestDraw(t *testing.T) {
	for kind, sd := range map[string]float64{arch.Gaussian: 0.01, arch.He: math.Sqrt(2.0 / 50), arch.Uniform: 1 / math.Sqrt(50*3)} {
		v := make([]float32, 50_000)
		p := graph.Param{FanIn: 50, Init: arch.Init{Kind: kind, Std: 0.01}}
		if err := draw(v, 0, p, random.New(1, "init/conv1.weight")); err != nil {
			t.Fatal(err)
		}
		var sum float64
		for _, x := range v {
			sum += float64(x) * float64(x)
		}
		if got := math.Sqrt(sum / float64(len(v))); math.Abs(got-sd) > 0.02*sd {
			t.Errorf("%s: standard deviation %v, want %v", kind, got, sd)
		}
	}
	b := make([]float32, 3)
	if err := draw(b, 0, graph.Param{FanIn: 50, Bias: true, Init: arch.Init{Kind: arch.Gaussian, Std: 1, Bias: 1}}, random.New(1, "b")); err != nil || b[0] != 1 || b[2] != 1 {
		t.Errorf("biases %v, %v", b, err)
	}
}

// Every shipped net that takes small images learns a batch by heart: the loss
// falls below half of its start. (The 224×224 nets use the same layers.)
func TestEveryNetLearns(t *testing.T) {
	dev, err := OpenDevices("cpu", 2)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	for _, name := range arch.Nets.Names() {
		r := recipe.Defaults()
		if r.Net, err = arch.Nets.Load(name); err != nil {
			t.Fatal(err)
		}
		if r.Net.Input.Height > 32 {
			continue
		}
		r.Data = recipe.Data{Name: "shapes", Train: 20, Test: 20, Mean: "image", Scale: 0.02}
		if r.Net.Input.Height < 32 {
			r.Data.Crop = r.Net.Input.Height
		}
		if strings.HasPrefix(name, "cuda-convnet") || strings.HasPrefix(name, "caffe-cifar10") {
			r.Data.Scale = 1 // their first layer's std of 1e-4 is meant for raw pixels
		}
		r.Train.Batch, r.Train.Epochs, r.Train.LR = 20, 1, 0.005
		ds, err := datasets{}.open(t.Context(), r.Data)
		if err != nil {
			t.Fatal(err)
		}
		tr, err := newTrainer(r, ds, dev, 1)
		if err != nil {
			t.Fatal(err)
		}
		batch, err := firstBatch(t.Context(), tr.pipeline)
		if err != nil {
			t.Fatal(err)
		}
		var first float32
		for step := range 300 {
			tr.step = uint64(step)
			if err := tr.learn(batch, 0); err != nil {
				t.Fatal(err)
			}
			if step == 0 {
				first = tr.loss[0]
			}
			if tr.loss[0] < first/2 {
				break
			}
		}
		if !(tr.loss[0] < first/2) {
			t.Errorf("%s: the loss went from %v to %v", name, first, tr.loss[0])
		}
	}
}
