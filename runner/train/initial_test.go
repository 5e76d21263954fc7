package train

import (
	"context"
	"errors"
	"math"
	"testing"

	"ablate/arch"
	"ablate/runner/graph"
	"ablate/runner/random"
)

// Initial weights have the distribution that the layer asks for, and do not depend on the layers
// around it.
func TestDraw(t *testing.T) {
	for kind, sd := range map[string]float64{arch.Gaussian: 0.01, arch.He: math.Sqrt(2.0 / 50),
		arch.Uniform: 1 / math.Sqrt(50*3)} {
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
	if err := draw(b, 0, graph.Param{FanIn: 50, Bias: true, Init: arch.Init{Kind: arch.Gaussian, Std: 1, Bias: 1}},
		random.New(1, "b")); err != nil || b[0] != 1 || b[2] != 1 {
		t.Errorf("biases %v, %v", b, err)
	}
}

// Ctrl-C stops the drawing of a large net's weights: it used to have no effect for minutes.
func TestInitialiseIsInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	params := []graph.Param{{Name: "fc1.weight", Shape: []int{1 << 12, 1 << 12}, Init: arch.Init{Kind: arch.He},
		FanIn: 1 << 12}}
	if err := initialise(ctx, nil, params, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
