package enginetest

import (
	"errors"
	"testing"

	"ablate/arch"
)

// arch's formula for the outputs of a layer agrees with windows counted one by one.
func TestWindows(t *testing.T) {
	for kernel := 1; kernel <= 5; kernel++ {
		for stride := 1; stride <= 4; stride++ {
			for size := kernel; size <= 12; size++ {
				for before := range kernel {
					for after := range kernel {
						for _, ceil := range []bool{false, true} {
							p := arch.Pad{Top: before, Left: before, Bottom: after, Right: after}
							want := window(shape(size, size, 2), kernel, stride, p, 1, 0, ceil).Out
							got := inferred(t, size, arch.Pool{Kernel: kernel, Stride: stride, Pad: p, Ceil: ceil})
							if got != want {
								t.Errorf("size %d, kernel %d, stride %d, pad %d and %d, ceil %v: arch has %v, counted %v",
									size, kernel, stride, before, after, ceil, got, want)
							}
						}
					}
				}
			}
		}
	}
}

// inferred returns the output shape of a pooling layer as arch computes it.
func inferred(t *testing.T, size int, pool arch.Pool) arch.Shape {
	t.Helper()
	net := arch.Net{Name: "pooled", Input: shape(size, size, 2),
		Layers: []arch.Layer{{Name: "pool", Spec: &arch.MaxPool{Pool: pool}}}}
	layers, err := net.Infer()
	if err != nil {
		if errors.Is(err, arch.ErrShape) {
			return arch.Shape{}
		}
		t.Fatal(err)
	}
	return layers[0].Out
}
