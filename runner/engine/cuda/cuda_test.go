package cuda_test

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"ablate/arch"
	"ablate/recipe"
	"ablate/runner/engine"
	"ablate/runner/engine/cuda"
	"ablate/runner/engine/cuda/cudatest/emulation"
	"ablate/runner/engine/cuda/cudatest/fake"
	"ablate/runner/engine/cuda/kernels"
	"ablate/runner/engine/cuda/nvidia"
	"ablate/runner/engine/enginetest"
	"ablate/runner/graph"
	"ablate/runner/random"
)

// machine returns a fake machine. Tests skip without a C++ compiler.
func machine(t *testing.T, gpus int, memory uint64) *fake.Machine {
	t.Helper()
	gpu, err := emulation.New()
	if errors.Is(err, emulation.ErrNoCompiler) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return fake.New(gpu, gpus, memory)
}

// TestMain keeps machine code of fake GPUs out of the user's cache, which also holds the emulated
// kernels.
func TestMain(m *testing.M) {
	emulation.New() // before the cache moves; tests report the error
	dir, err := os.MkdirTemp("", "ablate-cuda-")
	if err != nil {
		panic(err)
	}
	os.Setenv("XDG_CACHE_HOME", dir)
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// start returns a device of a machine.
func start(t *testing.T, m *fake.Machine, complete bool, number int) engine.Device {
	t.Helper()
	d, err := cuda.New(m.Libraries(complete), number)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

const plenty = 1 << 30

// The device passes the suite with NVIDIA's libraries and with our own kernels.
func TestDevice(t *testing.T) {
	t.Parallel()
	for name, complete := range map[string]bool{"libraries": true, "own kernels": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := machine(t, 1, plenty)
			enginetest.Run(t, func(t *testing.T) engine.Device { return start(t, m, complete, 0) })
			if err := m.Ran(); err != nil {
				t.Error(err)
			}
			if leaks := m.Leaks(); len(leaks) > 0 {
				t.Error("never given back:", leaks)
			}
		})
	}
}

// No kernel depends on the order in which blocks and threads run: nets with every kind of layer have
// the same weights to the last bit when blocks and threads run in the opposite order.
func TestNoRaces(t *testing.T) {
	t.Parallel()
	forwards, backwards := machine(t, 1, plenty), machine(t, 1, plenty)
	backwards.Backwards()
	if enginetest.Digest(t, start(t, forwards, false, 0), 3) != enginetest.Digest(t, start(t, backwards, false, 0), 3) {
		t.Error("other weights when blocks and threads run backwards")
	}
}

// plain is a device that fuses nothing.
type plain struct{ engine.Async }

// LRN's gradient that gathers from the pooling behind it has the bits of the two gradients computed
// one after the other.
func TestPoolGradIsFused(t *testing.T) {
	t.Parallel()
	m := machine(t, 1, plenty)
	dev := start(t, m, false, 0)
	defer dev.Close()
	if enginetest.Digest(t, dev, 3) != enginetest.Digest(t, plain{dev.(engine.Async)}, 3) {
		t.Error("other weights than from two kernels")
	}
	for _, fuses := range []engine.Device{dev, plain{dev.(engine.Async)}} {
		prog, _, err := train(t, fuses, recipe.Float32, 4)
		if err != nil {
			t.Fatal(err)
		}
		_, want := fuses.(engine.Fuser)
		if fused := slices.Contains(prog.Steps(), "maxpool-grad{pool1}+lrn-grad{norm1}+relu-grad"); fused != want {
			t.Errorf("fused: %v, by a device that fuses: %v\n%s", fused, want, strings.Join(prog.Steps(), "\n"))
		}
	}
}

// Where cuDNN refuses to finish its convolution, one of our kernels does.
func TestConvolutionsFinishApart(t *testing.T) {
	t.Parallel()
	conv := graph.NewConv("l", 3, graph.Window{In: arch.Shape{Height: 6, Width: 7, Channels: 4},
		Out: arch.Shape{Height: 4, Width: 5, Channels: 9}, Kernel: 3, Stride: 1, Groups: 1})
	results := map[bool][]float32{}
	for _, apart := range []bool{false, true} {
		m := machine(t, 1, plenty)
		if apart {
			m.Refuse = func(function string, _ int32) nvidia.DNNStatus {
				return map[string]nvidia.DNNStatus{"ForwardFinished": 3000}[function]
			}
		}
		dev := start(t, m, true, 0)
		results[apart] = result(t, dev, engine.Instr{Op: conv, Fused: engine.Fused[engine.Tensor]{ReLU: true}},
			conv.InputShapes(), conv.OutputShape())
		for _, p := range []recipe.Precision{recipe.Float32, recipe.BF16} {
			prog, g, err := train(t, dev, p, 4)
			if err != nil {
				t.Fatal(err)
			}
			for range 3 { // refused, then recorded, then run as a graph
				if err := run(t, prog, g); err != nil {
					t.Fatal(err, m.Ran())
				}
			}
			want := "cuDNN 1 fused"
			if apart || p == recipe.BF16 { // four channels are padded to eight, of which we keep four
				want = "cuDNN 1"
			}
			if by := prog.Algorithm(0); by != want {
				t.Errorf("%s in %s is computed by %q, not %q", prog.Steps()[0], p, by, want)
			}
		}
		if err := dev.Close(); err != nil {
			t.Error(err)
		}
	}
	if !slices.Equal(results[false], results[true]) || slices.Max(results[true]) <= 0 || slices.Min(results[true]) != 0 {
		t.Error("fused:", results[false], "apart:", results[true])
	}
}

// An algorithm that cuDNN lists and then refuses, or fails at, is not tried again. The next algorithm
// or our own kernel computes, and the result follows the plain definition's.
func TestWhatCuDNNRefuses(t *testing.T) {
	t.Parallel()
	conv := graph.NewConv("l", 3, graph.Window{In: arch.Shape{Height: 6, Width: 7, Channels: 4},
		Out: arch.Shape{Height: 4, Width: 5, Channels: 8}, Kernel: 3, Stride: 1, Groups: 1})
	const ours, widest = "own kernel", "own kernel of float32"
	grad := graph.NewConvWeightGrad("l", 3, conv.Window)
	only := func(function string, algorithm int32, status nvidia.DNNStatus) func(string, int32) nvidia.DNNStatus {
		return func(f string, a int32) nvidia.DNNStatus {
			if strings.HasPrefix(f, function) && (algorithm < 0 || a == algorithm) {
				return status
			}
			return 0
		}
	}
	for name, c := range map[string]struct {
		refuse           func(string, int32) nvidia.DNNStatus
		forward, weights map[recipe.Precision]string
	}{
		"an algorithm fails":                  {only("", 1, 5000), by("cuDNN 2 fused"), by("cuDNN 2")},
		"the fused call wants something else": {only("ForwardFinished", -1, 2000), by("cuDNN 1"), by("cuDNN 1")},
		"the forward list is refused": {only("ForwardAlgorithms", -1, 2000),
			by(ours, widest), by("cuDNN 1")},
		"all fail": {only("", -1, 5000), by(ours, widest), by(ours, widest)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := machine(t, 1, plenty)
			m.Refuse = c.refuse
			dev := start(t, m, true, 0)
			for p, within := range map[recipe.Precision]float64{recipe.Float32: 1e-6, recipe.TF32: 1e-3, recipe.BF16: 1e-2} {
				relu := engine.Fused[engine.Tensor]{ReLU: true}
				y, by := computed(t, dev, engine.Instr{Op: conv, Precision: p, Fused: relu}, 0, conv.InputShapes(),
					conv.OutputShape())
				if by != c.forward[p] {
					t.Errorf("forward in %s by %q, not %q", p, by, c.forward[p])
				}
				dw, by := computed(t, dev, engine.Instr{Op: grad, Precision: p}, 0, grad.InputShapes(), grad.OutputShape())
				if by != c.weights[p] {
					t.Errorf("weight gradient in %s by %q, not %q", p, by, c.weights[p])
				}
				own := start(t, machine(t, 1, plenty), false, 0)
				wantY, _ := computed(t, own, engine.Instr{Op: conv, Fused: relu}, 0, conv.InputShapes(), conv.OutputShape())
				wantW, _ := computed(t, own, engine.Instr{Op: grad}, 0, grad.InputShapes(), grad.OutputShape())
				if a, b := distance(y, wantY), distance(dw, wantW); !(a < within && b < within) {
					t.Errorf("in %s %.2g and %.2g away", p, a, b)
				}
			}
			if err := dev.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// by returns the name of the algorithm in each precision: the first name for float32 and TF32, the
// last for bfloat16.
func by(names ...string) map[recipe.Precision]string {
	return map[recipe.Precision]string{recipe.Float32: names[0], recipe.TF32: names[0], recipe.BF16: names[len(names)-1]}
}

// An algorithm whose workspace takes more than an eighth of the GPU's memory is used on larger GPUs
// only.
func TestWorkspaceIsBounded(t *testing.T) {
	t.Parallel()
	conv := graph.NewConv("l", 150, graph.Window{In: arch.Shape{Height: 1, Width: 1, Channels: 1},
		Out: arch.Shape{Height: 1, Width: 1, Channels: 1}, Kernel: 1, Stride: 1, Groups: 1})
	for memory, want := range map[uint64]string{500_000: "cuDNN 2", 800_000: "cuDNN 1"} {
		m := machine(t, 1, memory)
		libs := m.Libraries(true)
		libs.BLAS = nil // its workspace is larger than the memory of this GPU
		dev, err := cuda.New(libs, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, by := computed(t, dev, engine.Instr{Op: conv}, 0, conv.InputShapes()[:2], conv.OutputShape()); by != want {
			t.Errorf("with %d bytes by %q, not %q", memory, by, want)
		}
		if err := dev.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Tensors may begin at any address: those of a chunk of a batch do.
func TestMisalignedOperands(t *testing.T) {
	t.Parallel()
	shape := arch.Shape{Height: 5, Width: 5, Channels: 8}
	window := graph.Window{In: shape, Out: shape, Kernel: 3, Stride: 1, Groups: 1,
		Pad: arch.Pad{Top: 1, Bottom: 1, Left: 1, Right: 1}}
	dev := start(t, machine(t, 1, plenty), true, 0)
	defer dev.Close()
	for _, o := range []interface {
		InputShapes() []tensor.Shape
		OutputShape() tensor.Shape
	}{graph.NewConv("l", 2, window), graph.NewConvDataGrad("l", 2, window), graph.NewConvWeightGrad("l", 2, window)} {
		for _, p := range []recipe.Precision{recipe.Float32, recipe.BF16} {
			inputs := o.InputShapes()[:2] // no biases, which cuDNN rounds and our kernels do not
			want, _ := computed(t, dev, engine.Instr{Op: o, Precision: p}, 0, inputs, o.OutputShape())
			got, by := computed(t, dev, engine.Instr{Op: o, Precision: p}, 1, inputs, o.OutputShape())
			if !slices.Equal(got, want) || !strings.HasPrefix(by, "cuDNN 1") {
				t.Errorf("%v in %s, a value further on, by %s: other values", o, p, by)
			}
		}
	}
}

// With ABLATE_CUDA_SYNC each kernel ends before the next begins, and an error belongs to the kernel
// that it names.
func TestStepwise(t *testing.T) {
	t.Setenv(cuda.SyncVariable, "1")
	m := machine(t, 1, plenty)
	dev := start(t, m, true, 0)
	prog, g, err := train(t, dev, recipe.Float32, 4)
	if err != nil {
		t.Fatal(err)
	}
	launched := m.Calls("GraphLaunch")
	for range 3 {
		if err := run(t, prog, g); err != nil {
			t.Fatal(err, m.Ran())
		}
	}
	if n := m.Calls("GraphLaunch") - launched; n != 0 {
		t.Errorf("%d graphs", n)
	}
	from := m.Calls("StreamSync")
	m.Fail = func(f string, n int) nvidia.Result {
		if f == "StreamSync" && n == from+3 { // the sync of the third kernel
			return 700
		}
		return 0
	}
	err = prog.RunAll()
	op := prog.Steps()[2]
	op, _, _ = strings.Cut(op, "+") // fused ops are not part of its name
	if !errors.Is(err, engine.ErrDeviceLost) || !strings.Contains(err.Error(), "device cuda:0: "+op) {
		t.Errorf("%v does not name %s", err, op)
	}
}

// Several devices compute the bits of one.
func TestDevicesDivide(t *testing.T) {
	m, narrow := machine(t, 4, plenty), 4
	if long {
		narrow = 1
	}
	enginetest.Divide(t, narrow, func(t *testing.T, number int) engine.Device { return start(t, m, false, number) })
}

// Stored images become the same net input on one device and on several as on the host.
func TestImages(t *testing.T) {
	t.Parallel()
	m := machine(t, 2, plenty)
	enginetest.Images(t, func(t *testing.T, number int) engine.Device { return start(t, m, false, number) })
	if leaks := m.Leaks(); len(leaks) > 0 {
		t.Error("never given back:", leaks)
	}
}

// gpuNumber returns the number of the GPU that ABLATE_TEST_DEVICE names, such as cuda:0. With an
// emulated GPU the tests for a real one can be rehearsed.
func gpuNumber(t *testing.T) int {
	t.Helper()
	if os.Getenv("ABLATE_TEST_DEVICE") == "emulated" {
		return 0
	}
	name, ok := strings.CutPrefix(os.Getenv("ABLATE_TEST_DEVICE"), "cuda:")
	if !ok {
		t.Skip("ABLATE_TEST_DEVICE names no GPU")
	}
	n, err := strconv.Atoi(name)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// libraries returns NVIDIA's libraries, or those of an emulated GPU with the fault that
// ABLATE_TEST_PLANT names.
func libraries(t *testing.T) *nvidia.Libraries {
	t.Helper()
	if os.Getenv("ABLATE_TEST_DEVICE") != "emulated" {
		libs, err := nvidia.Open()
		if err != nil {
			t.Fatal(err)
		}
		return libs
	}
	m := machine(t, 1, plenty)
	after := func(n int, then func() nvidia.Result) func(string, int) nvidia.Result {
		return func(function string, calls int) nvidia.Result {
			if function != "LaunchKernel" || calls < n {
				return 0
			}
			return then()
		}
	}
	libs := m.Libraries(true)
	switch plant := os.Getenv("ABLATE_TEST_PLANT"); plant {
	case "":
	case "a wrong kernel":
		m.Instead = map[string]string{"lrn_lines": "lrn_lines_bf16"}
	case "a lost GPU":
		m.Fail = after(100, func() nvidia.Result { return nvidia.LaunchFailed })
	case "a cuDNN that lists and refuses":
		m.Refuse = func(_ string, algorithm int32) nvidia.DNNStatus {
			return map[int32]nvidia.DNNStatus{1: 5000}[algorithm]
		}
	case "a hang":
		m.Fail = after(100, func() nvidia.Result { select {} })
	case "a slow compiler":
		compile := libs.NVRTC.CompileProgram
		libs.NVRTC.CompileProgram = func(p uintptr, count int32, options unsafe.Pointer) nvidia.CompileResult {
			time.Sleep(time.Second)
			return compile(p, count, options)
		}
	default:
		t.Fatalf("nothing is called %q", plant)
	}
	return libs
}

// A real GPU passes the suite, with NVIDIA's libraries and with our own kernels. If it is opened
// twice, its two devices share programs with the bits of one. A net that does not fit is an error, and
// the GPU works on.
func TestGPU(t *testing.T) {
	n := gpuNumber(t)
	with := func(complete bool) func(t *testing.T) engine.Device {
		return func(t *testing.T) engine.Device {
			t.Helper()
			mine := *libraries(t)
			if !complete {
				mine.BLAS, mine.DNN = nil, nil
			}
			d, err := cuda.New(&mine, n)
			if err != nil {
				t.Fatal(err)
			}
			t.Log(d.Hardware())
			return d
		}
	}
	again := func(complete bool) func(*testing.T, int) engine.Device {
		return func(t *testing.T, _ int) engine.Device { return with(complete)(t) }
	}
	t.Run("libraries", func(t *testing.T) { enginetest.Run(t, with(true)) })
	t.Run("own kernels", func(t *testing.T) { enginetest.Run(t, with(false)) })
	t.Run("images", func(t *testing.T) { enginetest.Images(t, again(true)) })
	t.Run("twice", func(t *testing.T) { enginetest.Divide(t, 1, again(false)) })
	t.Run("memory", func(t *testing.T) {
		dev := with(true)(t)
		defer dev.Close()
		var memory *engine.MemoryError
		if _, err := dev.Alloc(1 << 42); !errors.As(err, &memory) || memory.Need != 1<<44 || memory.Free <= 0 {
			t.Error(err)
		}
		prog, g, err := train(t, dev, recipe.Float32, 32)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if err := run(t, prog, g); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// train returns a device's program for a small net's training step.
func train(t *testing.T, dev engine.Device, p recipe.Precision, batch int) (*engine.Program, *graph.Graph, error) {
	t.Helper()
	g, err := graph.Build(enginetest.Paper(t, "alexnet-32", 16, 4), batch, true)
	if err != nil {
		t.Fatal(err)
	}
	where := engine.Placement{Group: engine.NewGroup(dev), Precision: p}
	params, err := engine.NewParams(where, g.Params)
	if err != nil {
		return nil, g, err
	}
	prog, err := engine.Train(g, params)
	return prog, g, err
}

func run(t *testing.T, prog *engine.Program, g *graph.Graph) error {
	t.Helper()
	labels := make([]float32, g.Labels.Shape().TotalSize())
	loss := []float32{0}
	return errors.Join(prog.Write(g.Labels, labels), prog.RunAll(), prog.Read(g.Loss, loss))
}

// From the third step on, one call starts a whole step.
func TestStepsBecomeGraphs(t *testing.T) {
	t.Parallel()
	m := machine(t, 1, plenty)
	dev := start(t, m, true, 0)
	prog, g, err := train(t, dev, recipe.Float32, 4)
	if err != nil {
		t.Fatal(err)
	}
	launches := func() int {
		before := m.Calls("LaunchKernel") + m.Calls("cudnnConvolution") + m.Calls("cublasGemmEx")
		if err := run(t, prog, g); err != nil {
			t.Fatal(err, m.Ran())
		}
		return m.Calls("LaunchKernel") + m.Calls("cudnnConvolution") + m.Calls("cublasGemmEx") - before
	}
	first, second, third := launches(), launches(), launches()
	if first == 0 || second != first || third != 0 || m.Calls("GraphLaunch") != 2 {
		t.Errorf("%d, %d and %d launches in three steps, %d of graphs", first, second, third, m.Calls("GraphLaunch"))
	}
	if by := prog.Algorithm(0); by != "cuDNN 1 fused" {
		t.Errorf("%s is computed by %q", prog.Steps()[0], by)
	}
	if took, err := prog.TimeStep(0); err != nil || took <= 0 {
		t.Errorf("step 0 took %v, error %v", took, err)
	}
	if err := dev.Close(); err != nil {
		t.Error(err)
	}
}

// Only the libraries form products of other precisions.
func TestPrecisionsNeedTheLibraries(t *testing.T) {
	t.Parallel()
	m := machine(t, 1, plenty)
	net, err := arch.Nets.Load("alexnet-32")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []recipe.Precision{recipe.TF32, recipe.BF16} {
		whole := engine.Placement{Group: engine.NewGroup(start(t, m, true, 0)), Precision: p}
		if err := whole.Check(net, 4); err != nil {
			t.Error(err)
		}
		bare := engine.Placement{Group: engine.NewGroup(start(t, m, false, 0)), Precision: p}
		want := "no precision " + p.String() + " on cuda:0: cuDNN and cuBLAS"
		if err := bare.Check(net, 4); !errors.Is(err, engine.ErrPlacement) || !strings.Contains(err.Error(), want) {
			t.Error(err)
		}
		whole.Group.Close()
		bare.Group.Close()
	}
}

func TestNoSuchGPU(t *testing.T) {
	t.Parallel()
	for gpus, want := range map[int]string{0: "this machine has no GPU", 1: "this machine has one GPU, cuda:0",
		4: "this machine has 4 GPUs, cuda:0 to cuda:3"} {
		m := machine(t, gpus, plenty)
		_, err := cuda.New(m.Libraries(true), 4)
		if err == nil || err.Error() != "device cuda:4: "+want {
			t.Error(err)
		}
		if leaks := m.Leaks(); len(leaks) > 0 {
			t.Error("never given back:", leaks)
		}
	}
}

// The error for lack of memory names the memory that is needed and that is free. Memory of programs
// that no longer exist is used again: a study trains many nets on one device.
func TestMemory(t *testing.T) {
	t.Parallel()
	const most = 2 << 20
	m := machine(t, 1, most)
	dev := start(t, m, false, 0)
	defer dev.Close()
	room := 0 // the arenas of all programs together
	for range 8 {
		prog, g, err := train(t, dev, recipe.Float32, 16)
		if err != nil {
			t.Fatal(err)
		}
		room += 4 * prog.ArenaLen()
		for range 3 {
			if err := run(t, prog, g); err != nil {
				t.Fatal(err, m.Ran())
			}
		}
	}
	if room < most {
		t.Errorf("programs of %d bytes together prove nothing of a GPU of %d", room, most)
	}
	_, _, err := train(t, dev, recipe.Float32, 256)
	var memory *engine.MemoryError
	if !errors.As(err, &memory) || memory.Need <= memory.Free || memory.Free <= 0 || memory.Free > most {
		t.Fatal(err)
	}
	if want := "for activations on cuda:0: device cuda:0: out of memory: "; !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
	if prog, g, err := train(t, dev, recipe.Float32, 16); err != nil {
		t.Error("nothing works afterwards:", err)
	} else if err := run(t, prog, g); err != nil {
		t.Error(err)
	}
}

// A GPU that is lost during a run is reported once, whichever call notices it, and the host carries
// on.
func TestLostGPU(t *testing.T) {
	for _, function := range []string{"LaunchKernel", "cudnnConvolution", "cublasGemmEx", "MemcpyHtoDAsync",
		"StreamSync", "GraphLaunch", "BeginCapture", "EventRecord"} {
		t.Run(function, func(t *testing.T) {
			t.Parallel()
			m := machine(t, 1, plenty)
			dev := start(t, m, true, 0)
			prog, g, err := train(t, dev, recipe.Float32, 4)
			if err != nil {
				t.Fatal(err)
			}
			from := m.Calls(function)
			m.Fail = func(f string, n int) nvidia.Result {
				if f == function && n > from {
					return nvidia.LaunchFailed
				}
				return 0
			}
			for range 3 {
				if err = run(t, prog, g); err != nil {
					break
				}
			}
			if !errors.Is(err, engine.ErrDeviceLost) {
				t.Fatal(err)
			}
			if !strings.Contains(err.Error(), "device cuda:0: ") {
				t.Errorf("%v: which device?", err)
			}
			if err := dev.Close(); !errors.Is(err, engine.ErrDeviceLost) {
				t.Error("close:", err)
			}
			if err := prog.RunAll(); err == nil {
				t.Error("a closed device runs")
			}
		})
	}
}

// GPUs that cannot reach each other's memory do not share a run.
func TestIsolatedGPUs(t *testing.T) {
	t.Parallel()
	m := machine(t, 2, plenty)
	m.Isolated = true
	group := engine.NewGroup(start(t, m, false, 0), start(t, m, false, 1))
	defer group.Close()
	net, err := arch.Nets.Load("alexnet-32")
	if err != nil {
		t.Fatal(err)
	}
	g, err := graph.Build(net, 4, true)
	if err != nil {
		t.Fatal(err)
	}
	params, err := engine.NewParams(engine.Placement{Group: group}, g.Params)
	if err != nil {
		t.Fatal(err)
	}
	want := "read the memory of cuda:1: these GPUs cannot reach each other's memory"
	if _, err = engine.Train(g, params); err == nil || !strings.Contains(err.Error(), want) {
		t.Error(err)
	}
}

// Machine code is compiled once. A file that was cut short is compiled again.
func TestMachineCodeIsKept(t *testing.T) {
	m := machine(t, 1, plenty)
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	compiled := func() int {
		libs := m.Libraries(true)
		n, compile := 0, libs.NVRTC.CompileProgram
		libs.NVRTC.CompileProgram = func(p uintptr, count int32, options unsafe.Pointer) nvidia.CompileResult {
			n++
			return compile(p, count, options)
		}
		d, err := cuda.New(libs, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		return n
	}
	all := compiled()
	if again := compiled(); all != len(kernels.Sources()) || again != 0 {
		t.Errorf("%d sources compiled, then %d", all, again)
	}
	files, err := filepath.Glob(filepath.Join(os.Getenv("XDG_CACHE_HOME"), "ablate", "cuda", "*.cubin"))
	if err != nil || len(files) != all {
		t.Fatal(files, err)
	}
	if err := os.Truncate(files[0], 100); err != nil {
		t.Fatal(err)
	}
	if again := compiled(); again != 1 {
		t.Errorf("%d sources compiled after one file was cut short", again)
	}
	t.Setenv("XDG_CACHE_HOME", "/dev/null/nowhere")
	if again := compiled(); again != all {
		t.Errorf("%d sources compiled without a cache", again)
	}
	libs := m.Libraries(true)
	for i, want := range []int{all, 0} { // a process keeps the machine code that it compiled
		n, compile := 0, libs.NVRTC.CompileProgram
		libs.NVRTC.CompileProgram = func(p uintptr, count int32, options unsafe.Pointer) nvidia.CompileResult {
			n++
			return compile(p, count, options)
		}
		d, err := cuda.New(libs, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Close(); err != nil || n != want {
			t.Errorf("device %d of a process without a cache: %d sources compiled, not %d, error %v", i, n, want, err)
		}
	}
}

func TestDevices(t *testing.T) {
	t.Parallel()
	names, err := cuda.Devices(machine(t, 2, plenty).Libraries(false))
	want := []string{"Fake GPU, 1024 MiB, sm_90", "Fake GPU, 1024 MiB, sm_90"}
	if err != nil || !slices.Equal(names, want) {
		t.Error(names, err)
	}
}

// Products of fewer bits are close to those of float32 and not equal, for every kind of convolution
// that is padded differently for cuDNN, and for dense layers.
func TestPrecisions(t *testing.T) {
	t.Parallel()
	m := machine(t, 1, plenty)
	dev := start(t, m, true, 0)
	defer dev.Close()
	image := func(h, w, c int) arch.Shape { return arch.Shape{Height: h, Width: w, Channels: c} }
	type op interface {
		InputShapes() []tensor.Shape
		OutputShape() tensor.Shape
	}
	var ops []op
	for _, w := range []graph.Window{
		{In: image(9, 9, 3), Out: image(9, 9, 16), Kernel: 5, Stride: 1,
			Pad: arch.Pad{Top: 2, Bottom: 2, Left: 2, Right: 2}, Groups: 1},
		{In: image(16, 15, 3), Out: image(3, 2, 8), Kernel: 7, Stride: 4, Pad: arch.Pad{Right: 3, Bottom: 3}, Groups: 1},
		{In: image(6, 7, 16), Out: image(6, 7, 24), Kernel: 3, Stride: 1,
			Pad: arch.Pad{Top: 1, Bottom: 1, Left: 1, Right: 1}, Groups: 2},
		{In: image(5, 5, 8), Out: image(5, 5, 8), Kernel: 1, Stride: 1, Groups: 1},
		{In: image(8, 8, 5), Out: image(3, 3, 7), Kernel: 3, Stride: 2, Groups: 1}, // the last row and column are not reached
		{In: image(5, 7, 9), Out: image(5, 7, 15), Kernel: 3, Stride: 1,
			Pad: arch.Pad{Top: 1, Bottom: 1, Left: 1, Right: 1}, Groups: 3}, // bfloat16: as one dense convolution
	} {
		ops = append(ops, graph.NewConv("l", 3, w), graph.NewConvDataGrad("l", 3, w), graph.NewConvWeightGrad("l", 3, w))
	}
	flat := image(2, 3, 7)
	ops = append(ops, graph.NewDense("l", 5, flat, 9), graph.NewDenseDataGrad("l", 5, flat, 9),
		graph.NewDenseWeightGrad("l", 5, flat, 9))
	for _, o := range ops {
		results := map[recipe.Precision][]float32{}
		for _, p := range []recipe.Precision{recipe.Float32, recipe.TF32, recipe.BF16} {
			results[p] = result(t, dev, engine.Instr{Op: o, Precision: p}, o.InputShapes(), o.OutputShape())
		}
		exact := results[recipe.Float32]
		for p, within := range map[recipe.Precision]float64{recipe.TF32: 1e-3, recipe.BF16: 1e-2} {
			if d := distance(results[p], exact); !(d > within/1000 && d < within) {
				t.Errorf("%v in %s is %.2g away", o, p, d)
			}
		}
	}
	if err := m.Ran(); err != nil {
		t.Error(err)
	}
}

// With bf16, activations are stored as bfloat16 without a separate pass, and take half the memory.
// Values that the host reads are float32.
func TestActivationsAreNarrowed(t *testing.T) {
	t.Parallel()
	dev := start(t, machine(t, 1, plenty), true, 0)
	defer dev.Close()
	wide, _, err := train(t, dev, recipe.Float32, 4)
	if err != nil {
		t.Fatal(err)
	}
	narrow, g, err := train(t, dev, recipe.BF16, 4)
	if err != nil {
		t.Fatal(err)
	}
	if casts(narrow) > 0 || narrow.ArenaLen() > wide.ArenaLen()*6/10 {
		t.Errorf("%d casts, %d values of memory instead of %d:\n%s", casts(narrow), narrow.ArenaLen(), wide.ArenaLen(),
			strings.Join(narrow.Steps(), "\n"))
	}
	var pool *gorgonia.Node
	for _, n := range g.Expr.AllNodes() {
		if _, ok := n.Op().(*graph.MaxPool); ok {
			pool = n
		}
	}
	results := map[recipe.Precision][]float32{}
	for _, p := range []recipe.Precision{recipe.Float32, recipe.BF16} {
		where := engine.Placement{Group: engine.NewGroup(dev), Precision: p}
		params, err := engine.NewParams(where, g.Params)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range params.Names() {
			w, err := params.Weights(name)
			if err != nil {
				t.Fatal(err)
			}
			random.New(1, name).Normal(w, 0, 0, 0.1)
			if err := params.SetWeights(name, w); err != nil {
				t.Fatal(err)
			}
		}
		prog, err := engine.Evaluate(g, params, pool)
		if err != nil {
			t.Fatal(err)
		}
		if want := map[recipe.Precision]int{recipe.BF16: 1}[p]; casts(prog) != want {
			t.Errorf("%d casts in %s, not %d:\n%s", casts(prog), p, want, strings.Join(prog.Steps(), "\n"))
		}
		trained, err := engine.Train(g, params, pool)
		if err != nil || casts(trained) != casts(prog) { // the layers behind read the cast values
			t.Errorf("%d casts in a step that keeps a layer, error %v", casts(trained), err)
		}
		x, y := make([]float32, g.Input.Shape().TotalSize()), make([]float32, pool.Shape().TotalSize())
		random.New(1, "x").Normal(x, 0, 0, 1)
		if err := errors.Join(prog.Write(g.Input, x), prog.RunAll(), prog.Read(pool, y)); err != nil {
			t.Fatal(err)
		}
		results[p] = y
	}
	if d := distance(results[recipe.BF16], results[recipe.Float32]); !(d > 1e-4 && d < 2e-2) {
		t.Errorf("the pooled values are %.2g away", d)
	}
}

// casts counts the steps that only store values as another type.
func casts(prog *engine.Program) (n int) {
	for _, s := range prog.Steps() {
		if strings.HasPrefix(s, "cast ") {
			n++
		}
	}
	return n
}

// distance returns the distance of two vectors in units of the second's length.
func distance(got, want []float32) float64 {
	var off, all float64
	for i, w := range want {
		off += math.Pow(float64(got[i]-w), 2)
		all += math.Pow(float64(w), 2)
	}
	return math.Sqrt(off / all)
}

// result runs an instruction on random operands, and checks that a library computes it.
func result(t *testing.T, dev engine.Device, in engine.Instr, inputs []tensor.Shape, output tensor.Shape) []float32 {
	t.Helper()
	values, by := computed(t, dev, in, 0, inputs, output)
	if by != "cuDNN 1" && by != "cuDNN 1 fused" && by != "cuBLAS" {
		t.Errorf("%v is computed by %q", in.Op, by)
	}
	return values
}

// computed runs an instruction on random operands that begin off float32 values into their memory,
// with images in bfloat16 if the precision is. It returns the result and the name of the algorithm.
func computed(t *testing.T, dev engine.Device, in engine.Instr, off int, inputs []tensor.Shape,
	output tensor.Shape) ([]float32, string) {
	t.Helper()
	weights := -1 // the index of the operand that holds them; they are always float32
	switch in.Op.(type) {
	case *graph.Conv, *graph.Dense:
		weights = 1
	case *graph.ConvDataGrad, *graph.DenseDataGrad:
		weights = 0
	case *graph.ConvWeightGrad, *graph.DenseWeightGrad:
		weights = len(inputs)
	}
	place := func(i int, shape tensor.Shape) engine.Tensor {
		x := engine.Tensor{Off: off, Shape: shape}
		if len(shape) == 4 && i != weights && in.Precision == recipe.BF16 {
			x.Type = engine.BFloat16
		}
		var err error
		if x.Mem, err = dev.Alloc(x.Len() + off); err != nil {
			t.Fatal(err)
		}
		return x
	}
	for i, shape := range inputs {
		x := place(i, shape)
		values := make([]float32, x.Len())
		random.New(1, "operand").Normal(values, uint64(i), 0, 1)
		if x.Type == engine.BFloat16 {
			values = narrowed(values)
		}
		if err := x.Mem.Write(off, values); err != nil {
			t.Fatal(err)
		}
		in.In = append(in.In, x)
	}
	in.Out = place(len(inputs), output)
	k, err := dev.Kernel(in)
	if err != nil {
		t.Fatal(err)
	}
	values := make([]float32, in.Out.Len())
	if err := errors.Join(k.Run(&engine.Context{}), in.Out.Mem.Read(off, values)); err != nil {
		t.Fatal(err)
	}
	if in.Out.Type == engine.BFloat16 {
		values = widened(values)
	}
	return values, k.(engine.Algorithmic).Algorithm()
}

// narrowed returns values in bfloat16, two in the place of one.
func narrowed(values []float32) []float32 {
	two := make([]float32, (len(values)+1)/2)
	for i, v := range values {
		bits := (math.Float32bits(v) + 0x8000) >> 16
		two[i/2] = math.Float32frombits(math.Float32bits(two[i/2]) | bits<<(16*(i%2)))
	}
	return two
}

// widened returns the values that lie in pairs in the place of one float32, as many as there are
// places.
func widened(two []float32) []float32 {
	values := make([]float32, len(two))
	for i := range values {
		values[i] = math.Float32frombits(math.Float32bits(two[i/2]) >> (16 * (i % 2)) << 16)
	}
	return values
}
