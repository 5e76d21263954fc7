package enginetest

import (
	"errors"
	"math"
	"strings"
	"testing"

	"ablate/recipe"
	"ablate/runner/engine"
	"ablate/strictyaml"
)

// pytorch holds five weights after 20 steps of PyTorch 1.13's optimisers, see scripts/optimizers.py.
var pytorch = map[string][5]float64{
	"sgd":            {0.193575159, 0.404201956, 0.235180247, -0.356054109, -0.734741331},
	"nesterov":       {0.151869332, 0.322437558, 0.225771186, -0.276629346, -0.672119611},
	"rmsprop":        {-0.841072411, 0.115399093, 1.31915656, 0.25951367, -0.149075279},
	"adagrad":        {0.886678625, 0.578691137, -0.119732993, -0.820391973, -0.891743245},
	"adam":           {0.69692274, 0.539046401, 0.0373924541, -0.697795184, -0.935428635},
	"adamw":          {0.703393051, 0.554629485, 0.0360256554, -0.71241352, -0.955539903},
	"lars":           {0.998939783, 0.62138919, -0.226525113, -0.903392278, -0.896686081},
	"sgd, l1":        {0.090117616, 0.300744414, 0.182466881, -0.252596567, -0.631283789},
	"sgd, clipped":   {0.391915111, 0.333140275, -0.00117753887, -0.411443289, -0.528016627},
	"adamw, clipped": {0.704073803, 0.55409976, 0.0366946928, -0.713366623, -0.955911643},
}

// optimizers compares every rule with PyTorch's figures.
func optimizers(t *testing.T, dev engine.Device) {
	for name, want := range pytorch {
		kind, with, _ := strings.Cut(name, ", ")
		rule := ruleOf(t, kind)
		switch with {
		case "l1":
			rule.L1 = 0.02
		case "clipped":
			rule.Clip = 0.5
		}
		got := descend(t, dev, rule)
		for i, x := range want {
			if math.Abs(float64(got[i])-x) > 1e-5*math.Abs(x) {
				t.Errorf("%s: weight %d is %.9g after 20 steps, PyTorch's is %.9g", name, i, got[i], x)
			}
		}
	}
}

// ruleOf returns the rule of a recipe that names an optimiser and nothing else.
func ruleOf(t *testing.T, kind string) engine.Rule {
	t.Helper()
	n, err := strictyaml.Value("optimizer", kind)
	if err != nil {
		t.Fatal(err)
	}
	var o recipe.Optimizer
	if err := o.UnmarshalStrict(n); err != nil {
		t.Fatal(err)
	}
	return engine.Rule{Optimizer: o}
}

// descend runs 20 steps on five weights under a rule, with the gradients of scripts/optimizers.py.
func descend(t *testing.T, dev engine.Device, rule engine.Rule) []float32 {
	t.Helper()
	const stride = 16
	mem, err := dev.Alloc(7 * stride)
	if err != nil {
		t.Fatal(err)
	}
	tensor := func(i int) engine.Tensor { return engine.Tensor{Mem: mem, Off: stride * i, Shape: []int{5}} }
	scalar := func(i int) engine.Tensor { return engine.Tensor{Mem: mem, Off: stride * i} }
	kernel := func(in engine.Instr) engine.Kernel {
		k, err := dev.Kernel(in)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	const weights, state, gradient, second, norm, weightNorm, gradNorm = 0, 1, 2, 3, 4, 5, 6
	u := engine.Update{Param: "w", LR: 1, Decay: 1, Rule: rule}
	in := []engine.Tensor{tensor(weights), tensor(state), tensor(gradient)}
	at := u.Operands()
	var kernels []engine.Kernel
	if at.Second > 0 {
		in = append(in, tensor(second))
	}
	for _, n := range []struct{ needed, of, to int }{
		{at.Norm, gradient, norm}, {at.WeightNorm, weights, weightNorm}, {at.GradNorm, gradient, gradNorm},
	} {
		if n.needed > 0 {
			in = append(in, scalar(n.to))
			kernels = append(kernels, kernel(engine.Instr{
				Op: engine.Norm{}, In: []engine.Tensor{tensor(n.of)}, Out: scalar(n.to),
			}))
		}
	}
	kernels = append(kernels, kernel(engine.Instr{Op: u, In: in}))
	w, g := make([]float32, 5), make([]float32, 5)
	for i := range w {
		w[i] = float32(math.Cos(0.9 * float64(i)))
	}
	if err := mem.Write(stride*weights, w); err != nil {
		t.Fatal(err)
	}
	for step := range 20 {
		for i := range g {
			g[i] = float32(math.Sin(1 + 0.7*float64(step) + 1.3*float64(i)))
		}
		if err := mem.Write(stride*gradient, g); err != nil {
			t.Fatal(err)
		}
		for _, k := range kernels {
			if err := k.Run(&engine.Context{Step: uint64(step), Rate: 0.05, Momentum: 0.9, Decay: 0.1}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := mem.Read(stride*weights, w); err != nil {
		t.Fatal(err)
	}
	return w
}

// ema compares averages of weights with PyTorch's after 20 steps, see scripts/schedules.py.
func ema(t *testing.T, dev engine.Device) {
	mem, err := dev.Alloc(32)
	if err != nil {
		t.Fatal(err)
	}
	average, weights := engine.Tensor{Mem: mem, Shape: []int{5}}, engine.Tensor{Mem: mem, Off: 16, Shape: []int{5}}
	k, err := dev.Kernel(engine.Instr{Op: engine.EMA{Param: "w", Decay: 0.9}, In: []engine.Tensor{average, weights}})
	if err != nil {
		t.Fatal(err)
	}
	w := make([]float32, 5)
	for step := range 20 {
		for i := range w {
			w[i] = float32(math.Cos(0.9*float64(i) + 0.3*float64(step)))
		}
		if err := errors.Join(mem.Write(16, w), k.Run(&engine.Context{Step: uint64(step)})); err != nil {
			t.Fatal(err)
		}
	}
	if err := mem.Read(0, w); err != nil {
		t.Fatal(err)
	}
	for i, want := range []float64{0.081565182, 0.278854168, 0.265111879, 0.0507382054, -0.202033131} {
		if math.Abs(float64(w[i])-want) > 1e-5*math.Abs(want) {
			t.Errorf("average %d is %.9g, PyTorch's %.9g", i, w[i], want)
		}
	}
}
