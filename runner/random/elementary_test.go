package random

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"testing"
)

// Our own two functions agree with the library's to a few units in the last place.
func TestElementaryFunctions(t *testing.T) {
	s := New(1, "elementary")
	near := func(got, want float64) bool { return math.Abs(got-want) <= 5e-16*math.Max(0.5, math.Abs(want)) }
	points := []float64{0, 0x1p-53, 0x1p-20, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1 - 0x1p-53}
	for i := range uint64(100_000) {
		points = append(points, s.Float64(0, i))
	}
	for _, u := range points {
		if got, want := logarithm(1-u), math.Log(1-u); !near(got, want) {
			t.Errorf("logarithm(%v) = %v, want %v", 1-u, got, want)
		}
		sin, cos := sincos(u)
		for _, k := range []struct{ got, want float64 }{{sin, math.Sin(2 * math.Pi * u)}, {cos, math.Cos(2 * math.Pi * u)}} {
			if math.Abs(k.got-k.want) > 1e-15 { // 2πu is itself rounded before the library sees it
				t.Errorf("sincos(%v turns): %v, want %v", u, k.got, k.want)
			}
		}
		if got := float64(sin*sin) + float64(cos*cos); math.Abs(got-1) > 5e-16 {
			t.Errorf("sin² + cos² of %v turns = %v", u, got)
		}
	}
	for _, k := range []struct{ turns, sin, cos float64 }{{0, 0, 1}, {0.25, 1, 0}, {0.5, 0, -1}, {0.75, -1, 0}} {
		if sin, cos := sincos(k.turns); sin != k.sin || cos != k.cos {
			t.Errorf("sincos(%v) = %v, %v, want %v, %v", k.turns, sin, cos, k.sin, k.cos)
		}
	}
}

// The bits must never change: a run's weights begin with them.
func TestBitsStay(t *testing.T) {
	values := make([]float32, 1001)
	h := sha256.New()
	for _, fill := range []func(){
		func() { New(1, "golden").Normal(values, 2, 0, 0.01) },
		func() { New(1, "golden").Uniform(values, 3, -0.1, 0.3) },
	} {
		fill()
		for _, v := range values {
			h.Write(binary.LittleEndian.AppendUint32(nil, math.Float32bits(v)))
		}
	}
	const want = "2d21a00132e0225ab322a2797e7c46dcad5a02662e652872048c6be023a9fdec"
	if got := fmt.Sprintf("%x", h.Sum(nil)); got != want {
		t.Errorf("the draws have SHA-256 %s, they had %s", got, want)
	}
}

func TestDrawsDoNotAllocate(t *testing.T) {
	s, dst := New(1, "x"), make([]float32, 64)
	if n := testing.AllocsPerRun(10, func() {
		s.Normal(dst, 0, 0, 1)
		s.Uniform(dst, 0, 0, 1)
		dst[0] = float32(s.Float64(1, 2)) + float32(s.Intn(1, 2, 10))
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
