package peer

import (
	"errors"
	"math"
	"slices"
	"testing"

	"ablate/arch"
)

func TestCheck(t *testing.T) {
	ours := []float32{-0.1, -2.4, -30, -0.2} // two images, two classes
	s := Sample{N: 2, LogProbs: ours}
	with := func(change func([]float32)) Check {
		theirs := slices.Clone(ours)
		change(theirs)
		c, err := check(s, floats(theirs))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if c := with(func([]float32) {}); !c.OK() || c.Labels != 2 || c.Difference != 0 {
		t.Error(c)
	}
	if c := with(func(v []float32) { v[2] -= 0.0015 }); !c.OK() { // 5e-5 of the value
		t.Error(c)
	}
	if c := with(func(v []float32) { v[0] -= 0.001 }); c.OK() || c.Labels != 2 {
		t.Error(c)
	}
	if c := with(func(v []float32) { v[0], v[1] = v[1], v[0] }); c.OK() || c.Labels != 1 {
		t.Error(c)
	}
	if c := with(func(v []float32) { v[3] = float32(math.NaN()) }); c.OK() {
		t.Error(c)
	}
	if _, err := check(s, make([]byte, 12)); err == nil {
		t.Error("three outputs for two images and two classes were taken")
	}
}

func TestPlanes(t *testing.T) {
	// A pixel's channels are adjacent in our order and apart in theirs.
	s := Sample{N: 1, Net: arch.Shape{Height: 1, Width: 2, Channels: 3}, Inputs: []float32{1, 2, 3, 4, 5, 6}}
	if got, want := planes(s), []float32{1, 4, 2, 5, 3, 6}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestNoPython(t *testing.T) {
	t.Setenv(PythonVariable, "no-such-python")
	s := Sample{N: 1, Net: arch.Shape{Height: 1, Width: 1, Channels: 1}, Inputs: []float32{1}, LogProbs: []float32{0}}
	if _, err := ONNX(t.Context(), nil, false, s); !errors.Is(err, ErrMissing) {
		t.Error(err)
	}
}
