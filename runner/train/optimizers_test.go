package train

import (
	"testing"

	"ablate/arch"
	"ablate/recipe"
	"ablate/runner/graph"
	"ablate/strictyaml"
)

// optimizer returns an optimiser as it is in a recipe that names only its kind.
func optimizer(t *testing.T, kind string) (o recipe.Optimizer) {
	t.Helper()
	n, err := strictyaml.Value("train.optimizer", kind)
	if err == nil {
		err = o.UnmarshalStrict(n)
	}
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// A run with any optimiser and with clipped gradients ends with the same bits however often it is
// stopped: a checkpoint holds the optimiser's whole state.
func TestOptimizersResumeExactly(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"nesterov", "rmsprop", "adagrad", "adam", "adamw", "lars"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			r := smallRecipe(t)
			r.Train.Optimizer, r.Train.ClipNorm, r.Train.L1 = optimizer(t, kind), 1, 1e-4
			r.Train.WeightDecay, r.Train.Epochs = 1e-3, 2
			want, root, dev := outcomeOfWhole(t, r), t.TempDir(), opened(t, "cpu", 1)
			for _, steps := range []int{1, 6, 2} {
				attempt{recipe: r, root: root, devices: dev}.stopped(t, steps)
			}
			attempt{recipe: r, root: root, devices: dev}.whole(t)
			if d := want.diff(outcomeOf(t, root)); d != "" {
				t.Error(d)
			}
		})
	}
}

// Weight decay does not affect biases and norms unless a recipe says so.
func TestDecayByKind(t *testing.T) {
	t.Parallel()
	net, err := arch.Nets.Load("alexnet-bn")
	if err != nil {
		t.Fatal(err)
	}
	g, err := graph.Build(net, 1, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ biases, norms bool }{{false, false}, {true, false}, {false, true}, {true, true}} {
		params := append([]graph.Param(nil), g.Params...)
		if err := decay(params, net, recipe.Train{DecayBiases: c.biases, DecayNorms: c.norms}); err != nil {
			t.Fatal(err)
		}
		for _, p := range params {
			want := 0.0
			switch layer, what := p.Layer[:2], p.Name[len(p.Layer):]; {
			case p.Average > 0:
			case layer == "bn" && c.norms, layer != "bn" && (what == ".weight" || c.biases):
				want = 1
			}
			if p.Decay != want {
				t.Errorf("%+v: %s decays by %v, want %v", c, p.Name, p.Decay, want)
			}
		}
	}
}

// Micro-batches accumulate gradients: the memory of one part's activations is used again for the
// next part.
func TestMicroBatchesTakeLessMemory(t *testing.T) {
	t.Parallel()
	beside := func(parts int) int { // the images are in memory throughout
		tr := started(t, func(r *recipe.Recipe) { r.Train.Batch, r.Train.MicroBatches = 32, parts })
		return tr.model.Program.ArenaLen() - 32*tr.recipe.Net.Input.Len()
	}
	if whole, parts := beside(0), beside(8); parts > whole/2 {
		t.Errorf("a batch in 8 parts takes %d values of memory, a whole one %d", parts, whole)
	}
}
