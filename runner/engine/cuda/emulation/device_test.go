package emulation_test

import (
	"errors"
	"testing"

	"ablate/runner/engine"
	"ablate/runner/engine/cuda/emulation"
	"ablate/runner/engine/enginetest"
)

// open gives an emulated device, or skips the test where there is no compiler.
func open(t *testing.T, name string, backwards bool) engine.Device {
	t.Helper()
	gpu, err := emulation.New()
	if errors.Is(err, emulation.ErrNoCompiler) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	gpu.Backwards = backwards
	return emulation.NewDevice(gpu, name)
}

// The GPU's kernels pass the suite of every device.
func TestKernels(t *testing.T) {
	enginetest.Run(t, func(t *testing.T) engine.Device { return open(t, "cuda:0", false) })
}

// No kernel depends on the order in which blocks and threads run: trained
// backwards, nets with every kind of layer have the same weights to the last bit.
func TestNoRaces(t *testing.T) {
	if enginetest.Digest(t, open(t, "cuda:0", false), 3) != enginetest.Digest(t, open(t, "cuda:0", true), 3) {
		t.Error("other weights when blocks and threads run backwards")
	}
}
