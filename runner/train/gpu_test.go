package train

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"ablate/arch"
	"ablate/configs"
	"ablate/recipe"
	"ablate/runner/data"
	"ablate/runner/engine"
	"ablate/runner/engine/cuda"
	"ablate/runner/engine/cuda/cudatest/emulation"
	"ablate/runner/engine/cuda/cudatest/fake"
	"ablate/runner/engine/cuda/nvidia"
	"ablate/runner/graph"
)

// gpuVariable names the variable for the device of these tests: cuda:0 on a machine with a GPU.
// Without it, the kernels of a GPU are emulated, and the tests make fewer steps.
const gpuVariable = "ABLATE_TEST_DEVICE"

// gpu returns a placement on the available GPU, and the number of steps that a test can afford on
// it.
func gpu(t *testing.T, p recipe.Precision) (where engine.Placement, steps uint64) {
	t.Helper()
	if name := os.Getenv(gpuVariable); name != "" {
		return engine.Placement{Group: opened(t, name, 0), Precision: p}, 20
	}
	if p != recipe.Float32 {
		t.Skipf("precision %s needs a GPU: set %s to its name", p, gpuVariable)
	}
	_, dev := fakeGPU(t)
	return engine.Placement{Group: dev}, 2
}

// fakeGPU returns a GPU whose kernels are emulated.
func fakeGPU(t *testing.T) (*fake.Machine, *engine.Group) {
	t.Helper()
	emulated, err := emulation.New()
	if errors.Is(err, emulation.ErrNoCompiler) {
		t.Skipf("no GPU (set %s to its name), and none can be emulated: %v", gpuVariable, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	m := fake.New(emulated, 1, 1<<30)
	dev, err := cuda.New(m.Libraries(false), 0)
	if err != nil {
		t.Fatal(err)
	}
	g := engine.NewGroup(dev)
	t.Cleanup(func() { g.Close() })
	return m, g
}

// A run on a GPU that stops and continues there ends like an uninterrupted one.
func TestGPURunsContinue(t *testing.T) {
	r := smallRecipe(t)
	_, dev := fakeGPU(t)
	whole, stopped := t.TempDir(), t.TempDir()
	attempt{recipe: r, root: whole, devices: dev}.whole(t)
	attempt{recipe: r, root: stopped, devices: dev}.stopped(t, 7)
	attempt{recipe: r, root: stopped, devices: dev}.whole(t)
	want := outcomeOf(t, whole)
	if d := want.diff(outcomeOf(t, stopped)); d != "" {
		t.Error(d)
	}
}

// A run whose GPU is lost stays as it was last saved, and ends like one whose GPU was never lost.
func TestRunsOutliveLostGPUs(t *testing.T) {
	r := smallRecipe(t)
	whole, root := t.TempDir(), t.TempDir()
	m, dev := fakeGPU(t)
	attempt{recipe: r, root: whole, devices: dev}.whole(t)
	perRun := m.Calls("StreamSync")
	m, dev = fakeGPU(t)
	m.Fail = func(function string, n int) nvidia.Result {
		if function == "StreamSync" && n > perRun/2 {
			return nvidia.LaunchFailed
		}
		return 0
	}
	err := attempt{recipe: r, root: root, devices: dev, every: configs.Interval{Steps: 2}}.run(t)
	if !errors.Is(err, engine.ErrDeviceLost) {
		t.Fatal(err)
	}
	_, dev = fakeGPU(t)
	attempt{recipe: r, root: root, devices: dev}.whole(t)
	want := outcomeOf(t, whole)
	if d := want.diff(outcomeOf(t, root)); d != "" {
		t.Error(d)
	}
}

// The error of a net that does not fit suggests a batch size that does.
func TestSuggestBatch(t *testing.T) {
	for _, c := range []struct {
		batch      int
		need, free int64
		want       string
	}{
		{128, 4000, 1100, "a batch of 32 would fit, try --set train.batch=32"},
		{128, 4000, 300, "a batch of 9 would fit, try --set train.batch=9"},
		{4, 4000, 900, "not even one image fits beside the weights"},
	} {
		err := suggestBatch(fmt.Errorf("allocate: %w", &engine.MemoryError{Need: c.need << 20, Free: c.free << 20}), c.batch)
		want := fmt.Sprintf("allocate: out of memory: %d MiB are needed, %d MiB are free; %s", c.need, c.free, c.want)
		if err.Error() != want {
			t.Errorf("%q, want %q", err, want)
		}
	}
	if other := errors.New("other"); suggestBatch(other, 4) != other {
		t.Error("another error was changed")
	}
}

// The input that a GPU makes from stored images equals the host's input, bit for bit.
func TestGPUFinishesImages(t *testing.T) {
	for name, change := range map[string]func(*recipe.Data){
		"whole":           func(d *recipe.Data) { d.Crop, d.Flip = 0, false },
		"crops and flips": func(*recipe.Data) {},
		"border":          func(d *recipe.Data) { d.Pad, d.Crop = 4, 32 },
		"channel mean":    func(d *recipe.Data) { d.Mean = "channel" },
		"no mean":         func(d *recipe.Data) { d.Mean = "none" },
		"mean's centre":   func(d *recipe.Data) { d.Mean = "image_centre" },
		"colours":         func(d *recipe.Data) { d.PCAColour = recipe.PCAColour{Std: 0.1, Shrink: true} },
		"ten views":       func(d *recipe.Data) { d.TestCrops = recipe.TenCrop },
	} {
		t.Run(name, func(t *testing.T) {
			r := smallRecipe(t)
			change(&r.Data)
			side := cmp.Or(r.Data.Crop, 32)
			r.Net.Input.Height, r.Net.Input.Width = side, side
			r.Train.Batch = 8 // there are 60 and 30 images: the last test batch is short
			_, dev := fakeGPU(t)
			theirs, ours := trainer(t, r, opened(t, "cpu", 1)), trainer(t, r, dev)
			sameInputs(t, ours.model.Program, ours.model.Graph, ours.pipeline.Train(t.Context(), 1, 0),
				theirs.pipeline.Train(t.Context(), 1, 0))
			crops := r.Data.TestCrops
			sameInputs(t, ours.eval, ours.evalNet, ours.pipeline.Test(t.Context(), crops),
				theirs.pipeline.Test(t.Context(), crops))
		})
	}
}

// sameInputs writes every batch of one reader, as stored, to a program and compares the program's
// input with the batches of the other reader.
func sameInputs(t *testing.T, p *engine.Program, g *graph.Graph, stored, finished *data.Reader) {
	t.Helper()
	defer stored.Close()
	defer finished.Close()
	for batches := 0; ; batches++ {
		got, err := stored.Next()
		want, ended := finished.Next()
		if errors.Is(err, io.EOF) && errors.Is(ended, io.EOF) && batches > 0 {
			return
		}
		if err := errors.Join(err, ended); err != nil {
			t.Fatal(err)
		}
		if got.X != nil || !slices.Equal(got.Y, want.Y) || got.N != want.N || !slices.Equal(got.Indices, want.Indices) {
			t.Fatalf("batch %d: other labels", batches)
		}
		x := make([]float32, len(want.X))
		if err := errors.Join(write(p, g, got), p.Read(g.Input, x)); err != nil {
			t.Fatal(err)
		}
		for i := range x {
			if math.Float32bits(x[i]) != math.Float32bits(want.X[i]) {
				t.Fatalf("batch %d, view %d: value %d is %v, the host's %v", batches, got.View, i, x[i], want.X[i])
			}
		}
	}
}

// A GPU's weights follow the CPU's: masks, noise and updates are the same, and only the order of
// sums differs. In some nets, a hundred batch norms over four images magnify rounding errors.
// There, a GPU may stray as far as the CPU itself does when its inputs move by 1e-6: the first
// gradients of MobileNet and of nets of 100 layers move by 1 to 4 in 1,000.
func TestGPUFollowsCPU(t *testing.T) {
	cpu := opened(t, "cpu", 2)
	where, steps := gpu(t, recipe.Float32)
	for _, name := range netNames(t) {
		t.Run(name, func(t *testing.T) {
			net := small(t, name)
			if name == "se-resnet-50" { // at 32×32 its last batch norms cover one pixel of four images: chaos
				net.Input.Height, net.Input.Width = 64, 64
			}
			want := trajectory(t, engine.Placement{Group: cpu}, net, steps)
			got := trajectory(t, where, net, steps)
			t.Logf("%.2g away at most", got.farthest(want))
			if got.strays(want, 1e-3, path{}) == "" {
				return
			}
			moved := nudged(t, engine.Placement{Group: cpu}, net, steps, 1e-6)
			if why := got.strays(want, 1e-3, moved); why != "" {
				t.Error(why)
			}
		})
	}
}

// With products of fewer bits, training stays near float32 for a few steps.
func TestPrecisionsStayNear(t *testing.T) {
	for p, within := range map[recipe.Precision]float64{recipe.TF32: 1e-2, recipe.BF16: 5e-2} {
		t.Run(p.String(), func(t *testing.T) {
			where, _ := gpu(t, p)
			exact := where
			exact.Precision = recipe.Float32
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

// The same run yields the same bits, in every precision.
func TestGPURunsAreEqual(t *testing.T) {
	for _, p := range []recipe.Precision{recipe.Float32, recipe.TF32, recipe.BF16} {
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

// A path holds the results of a number of steps: the losses and the weights.
type path struct {
	losses []float32
	names  []string
	values map[string][]float32
	digest [32]byte
}

func trajectory(t *testing.T, where engine.Placement, net *arch.Net, steps uint64) path {
	t.Helper()
	return nudged(t, where, net, steps, 0)
}

// nudged returns the path for inputs that each move by the given amount, up or down.
func nudged(t *testing.T, where engine.Placement, net *arch.Net, steps uint64, by float32) path {
	t.Helper()
	b := newBench(t, where, net, 4)
	b.nudge = by
	p := path{values: map[string][]float32{}}
	for step := range steps {
		p.losses = append(p.losses, b.step(t, engine.Context{Seed: 1, Step: step, Rate: 0.01, Momentum: 0.9, Decay: 5e-4},
			step, []float32{0, 1, 2, float32(step % 3)}))
	}
	p.names, p.digest = b.Params.Names(), digestOfParams(t, b.Params)
	for _, name := range p.names {
		w, err := b.Params.Weights(name)
		if err != nil {
			t.Fatal(err)
		}
		p.values[name] = w
	}
	return p
}

// near compares losses, and parameters by their distance from those of want, divided by the length
// of the latter. A value counts as at least 1e-4: biases begin at 0, and those before a batch norm
// stay there except for rounding.
func (p path) near(t *testing.T, want path, within float64) {
	t.Helper()
	t.Logf("%.2g away at most; %.2g is allowed", p.farthest(want), within)
	if why := p.strays(want, within, path{}); why != "" {
		t.Error(why)
	}
}

// farthest returns the largest distance of all losses and parameters, in the measure of near.
func (p path) farthest(want path) (most float64) {
	for i, loss := range p.losses {
		most = max(most, math.Abs(float64(loss/want.losses[i]-1)))
	}
	for _, name := range p.names {
		size := distance(want.values[name], nil) + 1e-4*math.Sqrt(float64(len(want.values[name])))
		most = max(most, distance(p.values[name], want.values[name])/size)
	}
	return most
}

// strays describes what is further from want than within, and also than four times the distance of
// moved from want.
func (p path) strays(want path, within float64, moved path) string {
	for i, loss := range p.losses {
		limit := within * math.Abs(float64(want.losses[i]))
		if moved.losses != nil {
			limit = max(limit, 4*math.Abs(float64(moved.losses[i]-want.losses[i])))
		}
		if d := math.Abs(float64(loss - want.losses[i])); !(d <= limit) {
			return fmt.Sprintf("step %d: loss %v, the CPU's %v", i, loss, want.losses[i])
		}
	}
	var far []string
	for _, name := range p.names {
		size := distance(want.values[name], nil)
		limit := within * (size + 1e-4*math.Sqrt(float64(len(want.values[name]))))
		if moved.values != nil {
			limit = max(limit, 4*distance(moved.values[name], want.values[name]))
		}
		if off := distance(p.values[name], want.values[name]); !(off <= limit) {
			far = append(far, fmt.Sprintf("%s: %.2g away of %.2g", name, off, size))
		}
	}
	return strings.Join(far, "\n")
}

// distance returns √Σ(a−b)²; b counts as 0 if it is nil.
func distance(a, b []float32) float64 {
	var sum float64
	for i, v := range a {
		if b != nil {
			v -= b[i]
		}
		sum += float64(v) * float64(v)
	}
	return math.Sqrt(sum)
}
