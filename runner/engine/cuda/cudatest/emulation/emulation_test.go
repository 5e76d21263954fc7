package emulation_test

import (
	"errors"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"ablate/runner/engine/cuda/cudatest/emulation"
	"ablate/runner/engine/cuda/kernels"
)

// A GPU stops a kernel that loads four values at once from an address meant for one. So does the
// emulated GPU.
func TestMisalignedAddress(t *testing.T) {
	gpu, err := emulation.New()
	if errors.Is(err, emulation.ErrNoCompiler) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	x := make([]float32, 64)
	first := 0
	for uintptr(unsafe.Pointer(&x[first]))%16 != 0 {
		first++
	}
	const wrong = "unit: misaligned address"
	for _, c := range []struct {
		off  int
		want string
	}{{0, ""}, {1, wrong}, {2, wrong}, {4, ""}} { // the GPU works on, as a new one does
		off, want := c.off, c.want
		at := uint64(uintptr(unsafe.Pointer(&x[first+off])))
		call, err := gpu.Prepare(kernels.Launch{Function: "unit", Grid: [3]uint32{1, 1, 1}, Block: [3]uint32{2, 1, 1},
			Params: []any{at, at, int32(8), int32(1), int32(0), float32(0), float32(0)}})
		if err != nil {
			t.Fatal(err)
		}
		err = call.Run()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%d values behind where four may begin: %v", off, err)
		}
	}
	runtime.KeepAlive(x)
}
