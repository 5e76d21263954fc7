package cpu

import (
	"maps"
	"math"
	"reflect"
	"slices"
	"testing"

	"ablate/recipe"
)

// The assembly reads the fields of a descent at fixed offsets (_asm/optimizers.go).
func TestDescentLayout(t *testing.T) {
	t.Parallel()
	want := map[string]uintptr{"w": 0, "g": 24, "first": 48, "second": 72, "n": 96}
	for i, name := range []string{"rate", "decay", "momentum", "clip", "l1", "keep1", "fresh1", "keep2", "fresh2",
		"epsilon", "correction"} {
		want[name] = uintptr(104 + 4*i)
	}
	of := reflect.TypeFor[descent]()
	for name, offset := range want {
		if f, ok := of.FieldByName(name); !ok || f.Offset != offset {
			t.Errorf("%s lies at %d, the assembly expects %d", name, f.Offset, offset)
		}
	}
	if of.NumField() != len(want) {
		t.Errorf("a descent has %d fields, the assembly knows %d", of.NumField(), len(want))
	}
}

// Every rule has the bits of its Go twin at every length, with zeros of either sign among the values,
// and writes nothing else.
func TestOptimizerSteps(t *testing.T) {
	t.Parallel()
	minus := float32(math.Copysign(0, -1))
	for _, kind := range slices.Sorted(maps.Keys(optimizersGo)) {
		for n := 1; n < 40; n++ {
			for _, l1 := range []float32{0, 0.02} {
				sameBits(t, func(p *isa, v vectors) []float32 {
					d := descent{w: v.random(n), g: v.random(n), first: v.random(n), second: v.random(n), rate: 0.03, decay: 0.01,
						momentum: 0.9, clip: 0.7, l1: l1, keep1: 0.9, fresh1: 0.1, keep2: 0.99, fresh2: 0.01, epsilon: 1e-8,
						correction: 0.3}
					for i := range n {
						d.second[i] = d.second[i] * d.second[i]
						if kind == recipe.AdaGrad {
							d.first[i] = d.first[i] * d.first[i]
						}
						switch i % 7 {
						case 1:
							d.w[i], d.g[i] = 0, minus
						case 3:
							d.w[i], d.g[i], d.first[i] = minus, minus, minus
						case 5:
							d.g[i], d.first[i], d.second[i] = 0, 0, 0
						}
					}
					all := d
					p.optimizers[kind](&d)
					return slices.Concat(all.w, all.g, all.first, all.second)
				})
			}
		}
	}
}

// A step is one pass over memory. BenchmarkCopy measures the bandwidth of memory.
func BenchmarkOptimizers(b *testing.B) {
	const n = 1 << 22
	for _, kind := range slices.Sorted(maps.Keys(optimizersGo)) {
		for _, p := range isas() {
			b.Run(kind.String()+"/"+p.name, func(b *testing.B) {
				d := descent{w: make([]float32, n), g: make([]float32, n), first: make([]float32, n), rate: 0.03, decay: 0.01,
					momentum: 0.9, clip: 1, keep1: 0.9, fresh1: 0.1, keep2: 0.99, fresh2: 0.01, epsilon: 1e-8, correction: 1}
				moved := 5 // reads three, writes two
				if kind == recipe.RMSProp || kind == recipe.Adam || kind == recipe.AdamW {
					d.second, moved = make([]float32, n), 7
				}
				for i := range n {
					d.w[i], d.g[i] = float32(i%17)-8, float32(i%13)-6
				}
				b.SetBytes(int64(4 * moved * n))
				for b.Loop() {
					whole := d
					p.optimizers[kind](&whole)
				}
			})
		}
	}
}

// BenchmarkCopy measures the bandwidth of one thread, counting both reads and writes.
func BenchmarkCopy(b *testing.B) {
	from, to := make([]float32, 1<<22), make([]float32, 1<<22)
	b.SetBytes(2 << 24)
	for b.Loop() {
		copy(to, from)
	}
}
