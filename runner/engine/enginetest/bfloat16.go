package enginetest

import (
	"maps"
	"math"
	"slices"
	"testing"

	"ablate/recipe"
	"ablate/runner/engine"
	"ablate/runner/graph"
)

// inBFloat16 compares the kernels of a device that forms products in bfloat16 with the definitions
// again, with activations of that type. Results that are stored as float32 must be as close as before.
// Results that are stored as bfloat16 must be within the error of rounding to it.
func inBFloat16(t *testing.T, dev engine.Device) {
	precise, ok := dev.(engine.MixedPrecision)
	if !ok || precise.SupportsPrecision(recipe.BF16) != nil {
		t.Skip("the device stores float32 alone")
	}
	all := cases(t)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		o := all[name]
		types, within := typesOf(o)
		if types == nil {
			continue
		}
		passed := t.Run(name, func(t *testing.T) {
			in := inputs(o, name)
			for i := range in {
				if types[i] == engine.BFloat16 {
					round(in[i])
				}
			}
			want, err := plain(o, in)
			if err != nil {
				t.Fatal(err)
			}
			got := run(t, dev, engine.Instr{Op: o, Precision: recipe.BF16}, o, in, types, engine.Context{Seed: 3, Step: 11})
			if i, diff := worst(got, want); diff > within {
				t.Errorf("value %d is %v, the definition has %v (off by %.2g of the largest)", i, got[i], want[i], diff)
			}
		})
		if !passed && lost(dev) {
			t.Fatalf("the device is lost: what comes behind %q is not tested", name)
		}
	}
}

// typesOf returns the types that store an op's operands and, last, its output, and the largest error
// against its definition. It returns no types for ops that stay float32.
func typesOf(o op) (types []engine.Type, within float64) {
	const exact, stored, twice = 2e-5, 1.0 / 256, 1.0 / 64
	weights, within := -1, stored
	switch o.(type) {
	case *graph.SoftmaxLoss, *graph.SoftmaxLossGrad, *graph.SoftTargetLoss, *graph.SoftTargetLossGrad, *graph.Local,
		*graph.LocalDataGrad, *graph.LocalWeightGrad:
		return nil, 0
	case *graph.Conv, *graph.Dense:
		weights, within = 1, twice // weights are rounded as well as the sum
	case *graph.ConvDataGrad, *graph.DenseDataGrad:
		weights, within = 0, twice
	case *graph.ConvWeightGrad:
		weights = 2 // a library may store the gradient as the type of its operands
	case *graph.LRNGrad, *graph.PyramidPoolGrad:
		within = twice // a sum may be stored before it is complete
	}
	for i, s := range append(o.InputShapes(), o.OutputShape()) {
		if s.Dims() == 4 && i != weights {
			types = append(types, engine.BFloat16)
		} else {
			types = append(types, engine.Float32)
		}
	}
	if types[len(types)-1] == engine.Float32 && weights < 0 {
		within = exact
	}
	return types, within
}

// round rounds values to bfloat16, ties to even.
func round(v []float32) {
	for i, x := range v {
		bits := math.Float32bits(x)
		v[i] = math.Float32frombits((bits + 0x7fff + bits>>16&1) &^ 0xffff)
	}
}

// pack stores values as a type in memory for float32 values. unpack reads them.
func pack(to, v []float32, as engine.Type) {
	if as == engine.Float32 {
		copy(to, v)
		return
	}
	for i, x := range v {
		word, half := math.Float32bits(to[i/2]), math.Float32bits(x)>>16
		if i%2 == 0 {
			word = word&^0xffff | half
		} else {
			word = word&0xffff | half<<16
		}
		to[i/2] = math.Float32frombits(word)
	}
}

func unpack(from []float32, n int, as engine.Type) []float32 {
	v := make([]float32, n)
	if as == engine.Float32 {
		copy(v, from)
		return v
	}
	for i := range v {
		v[i] = math.Float32frombits(math.Float32bits(from[i/2]) >> (16 * (i % 2)) << 16)
	}
	return v
}
