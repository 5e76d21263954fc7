package runner

import (
	"errors"
	"math"
	"os"
	"testing"

	"ablate/ablations"
	"ablate/arch"
	"ablate/runner/engine"
	"ablate/runner/engine/cuda/emulation"
)

// gpuVariable names the device that these tests run on: cuda:0 on a machine that
// has one. Without it a GPU's kernels are emulated, and fewer steps are made.
const gpuVariable = "ABLATE_TEST_DEVICE"

// gpu gives a placement on the GPU at hand, and how many steps a test can afford there.
func gpu(t *testing.T, p ablations.Precision) (where engine.Placement, steps uint64) {
	t.Helper()
	if name := os.Getenv(gpuVariable); name != "" {
		dev, err := OpenDevices(name, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { dev.Close() })
		return engine.Placement{Group: dev.Group, Precision: p}, 20
	}
	if p != ablations.Float32 {
		t.Skipf("precision %s needs a GPU: set %s to its name", p, gpuVariable)
	}
	emulated, err := emulation.New()
	if errors.Is(err, emulation.ErrNoCompiler) {
		t.Skipf("no GPU (set %s to its name), and none can be emulated: %v", gpuVariable, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	where = engine.On(emulation.NewDevice(emulated, "cuda:0"))
	t.Cleanup(func() { where.Group.Close() })
	return where, 2
}

// A GPU's weights follow the CPU's: masks, noise and updates are the same, only
// the order of sums differs. Of every net that ships.
func TestGPUFollowsCPU(t *testing.T) {
	if testing.Short() {
		t.Skip("trains every net")
	}
	cpu, err := OpenDevices("cpu", 2)
	if err != nil {
		t.Fatal(err)
	}
	defer cpu.Close()
	where, steps := gpu(t, ablations.Float32)
	for _, name := range arch.Nets.Names() {
		t.Run(name, func(t *testing.T) {
			net := small(t, name)
			want := trajectory(t, engine.Placement{Group: cpu.Group}, net, steps)
			trajectory(t, where, net, steps).near(t, want, 1e-3)
		})
	}
}

// Products of fewer bits stay near those of float32 for a few steps.
func TestPrecisionsStayNear(t *testing.T) {
	for p, within := range map[ablations.Precision]float64{ablations.TF32: 1e-2, ablations.BF16: 5e-2} {
		t.Run(p.String(), func(t *testing.T) {
			where, _ := gpu(t, p)
			exact := where
			exact.Precision = ablations.Float32
			for _, name := range []string{"alexnet", "cuda-convnet-18pct", "alexnet-bn"} {
				net := small(t, name)
				want, got := trajectory(t, exact, net, 3), trajectory(t, where, net, 3)
				got.near(t, want, within)
				if got.digest == want.digest {
					t.Errorf("%s: the same bits as in float32", name)
				}
			}
		})
	}
}

// The same run gives the same bits, in every precision.
func TestGPURunsAreEqual(t *testing.T) {
	for _, p := range []ablations.Precision{ablations.Float32, ablations.TF32, ablations.BF16} {
		t.Run(p.String(), func(t *testing.T) {
			for _, name := range []string{"alexnet", "cuda-convnet-11pct"} {
				first, steps := gpu(t, p)
				second, _ := gpu(t, p)
				net := small(t, name)
				if trajectory(t, first, net, steps).digest != trajectory(t, second, net, steps).digest {
					t.Errorf("%s: other weights the second time", name)
				}
			}
		})
	}
}

// A path is what steps leave behind: the losses and the weights.
type path struct {
	losses []float32
	names  []string
	values map[string][]float32
	digest [32]byte
}

func trajectory(t *testing.T, where engine.Placement, net *arch.Net, steps uint64) path {
	t.Helper()
	b := newBench(t, where, net, 4)
	p := path{values: map[string][]float32{}}
	for step := range steps {
		p.losses = append(p.losses, b.step(t, engine.Context{Seed: 1, Step: step, Rate: 0.01, Momentum: 0.9, Decay: 5e-4}, step, []float32{0, 1, 2, float32(step % 3)}))
	}
	p.names, p.digest = b.params.Names(), digestOfParams(t, b.params)
	for _, name := range p.names {
		w, err := b.params.Weights(name)
		if err != nil {
			t.Fatal(err)
		}
		p.values[name] = w
	}
	return p
}

// near compares losses, and parameters by their distance to those of want over
// their length. A value counts as 1e-4 at least: biases begin at 0, and those
// before a batch norm stay there but for rounding.
func (p path) near(t *testing.T, want path, within float64) {
	t.Helper()
	for i, loss := range p.losses {
		if d := math.Abs(float64(loss - want.losses[i])); !(d <= within*math.Abs(float64(want.losses[i]))) {
			t.Fatalf("step %d: loss %v, the CPU's %v", i, loss, want.losses[i])
		}
	}
	for _, name := range p.names {
		var off, all float64
		for i, w := range want.values[name] {
			off += math.Pow(float64(p.values[name][i]-w), 2)
			all += math.Pow(float64(w), 2)
		}
		if !(math.Sqrt(off) <= within*(math.Sqrt(all)+1e-4*math.Sqrt(float64(len(want.values[name]))))) {
			t.Errorf("%s: %.2g away of %.2g", name, math.Sqrt(off), math.Sqrt(all))
		}
	}
}
