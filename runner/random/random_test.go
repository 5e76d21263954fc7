package random

import (
	"math"
	"slices"
	"testing"
)

// The vectors are Random123's known answers for philox4x32-10 (kat_vectors).
func TestPhiloxKnownAnswers(t *testing.T) {
	for _, k := range []struct {
		counter [4]uint32
		key     [2]uint32
		want    [4]uint32
	}{
		{[4]uint32{}, [2]uint32{}, [4]uint32{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
		{[4]uint32{^uint32(0), ^uint32(0), ^uint32(0), ^uint32(0)}, [2]uint32{^uint32(0), ^uint32(0)},
			[4]uint32{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
		{[4]uint32{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, [2]uint32{0xa4093822, 0x299f31d0},
			[4]uint32{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
	} {
		if got := philox(k.key, k.counter); got != k.want {
			t.Errorf("philox(%x, %x) = %x, want %x", k.key, k.counter, got, k.want)
		}
	}
}

func TestStreamsDiffer(t *testing.T) {
	a := New(1, "dropout/relu6").Block(3, 4)
	for name, b := range map[string][4]uint32{
		"seed": New(2, "dropout/relu6").Block(3, 4), "name": New(1, "dropout/relu7").Block(3, 4),
		"step": New(1, "dropout/relu6").Block(4, 4), "index": New(1, "dropout/relu6").Block(3, 5),
	} {
		if a == b {
			t.Errorf("changing the %s left the block as it was", name)
		}
	}
}

// Moments of 100,000 draws lie within five standard errors.
func TestDistributions(t *testing.T) {
	const n = 100_000
	v := make([]float32, n)
	s := New(7, "test")
	moments := func() (mean, sd float64) {
		for _, x := range v {
			mean += float64(x) / n
		}
		for _, x := range v {
			sd += (float64(x) - mean) * (float64(x) - mean) / n
		}
		return mean, math.Sqrt(sd)
	}
	s.Normal(v, 0, 1, 2)
	if mean, sd := moments(); math.Abs(mean-1) > 5*2/math.Sqrt(n) || math.Abs(sd-2) > 5*2/math.Sqrt(2*n) {
		t.Errorf("Normal(1, 2): mean %v, sd %v", mean, sd)
	}
	s.Uniform(v, 1, -1, 3)
	if mean, sd := moments(); math.Abs(mean-1) > 5*1.16/math.Sqrt(n) || math.Abs(sd-4/math.Sqrt(12)) > 0.02 {
		t.Errorf("Uniform(-1, 3): mean %v, sd %v", mean, sd)
	}
	if lo, hi := slices.Min(v), slices.Max(v); lo < -1 || hi >= 3 {
		t.Errorf("Uniform(-1, 3) gave %v … %v", lo, hi)
	}
}

func TestNormalIsAFunctionOfTheIndex(t *testing.T) {
	long, short := make([]float32, 9), make([]float32, 4)
	New(1, "x").Normal(long, 2, 0, 1)
	New(1, "x").Normal(short, 2, 0, 1)
	if !slices.Equal(long[:4], short) {
		t.Errorf("the first values depend on how many are drawn: %v, %v", long, short)
	}
}

func TestPerm(t *testing.T) {
	p := New(1, "order").Perm(0, 1000)
	if slices.Equal(p, New(1, "order").Perm(1, 1000)) {
		t.Error("two steps have the same order")
	}
	slices.Sort(p)
	for i, v := range p {
		if int(v) != i {
			t.Fatalf("not a permutation: sorted[%d] = %d", i, v)
		}
	}
}

func FuzzIntn(f *testing.F) {
	f.Add(uint64(0), uint64(1), 10)
	f.Fuzz(func(t *testing.T, step, index uint64, n int) {
		if n < 1 || n > 1<<31 {
			t.Skip("out of the documented range")
		}
		if v := New(1, "n").Intn(step, index, n); v < 0 || v >= n {
			t.Errorf("Intn(%d) = %d", n, v)
		}
	})
}
