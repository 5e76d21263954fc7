package cuda

import (
	"errors"
	"testing"
	"unsafe"

	"ablate/recipe"
	"ablate/runner/engine"
	"ablate/runner/engine/cuda/cudatest/emulation"
	"ablate/runner/engine/cuda/cudatest/fake"
	"ablate/runner/engine/cuda/nvidia"
)

// Limits are of the products and the bytes that were timed: the fake's clock counts one
// millisecond between the two events around so many launches.
func TestLimits(t *testing.T) {
	gpu, err := emulation.New()
	if errors.Is(err, emulation.ErrNoCompiler) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	d, err := New(fake.New(gpu, 1, 1<<30).Libraries(true), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, p := range []recipe.Precision{recipe.Float32, recipe.TF32, recipe.BF16} {
		l, err := d.limits(p, 48, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if want := (engine.Limits{FLOPS: 2 * 48 * 48 * 48 * timed / 1e-3, Bytes: 8 * 1000 * timed / 1e-3}); l != want {
			t.Errorf("%s: %v, want %v", p, l, want)
		}
	}
}

// A step allocates no Go memory, neither when it starts piece by piece nor as a graph.
func TestStepsAllocateNothing(t *testing.T) {
	ok := func() nvidia.Result { return 0 }
	launched, graphs := 0, 0
	d := &Device{name: "cuda:0", context: 1, driver: &nvidia.Driver{
		CtxSetCurrent: func(nvidia.Context) nvidia.Result { return ok() },
		StreamSync:    func(nvidia.Stream) nvidia.Result { return ok() },
		LaunchKernel: func(nvidia.Function, uint32, uint32, uint32, uint32, uint32, uint32, uint32, nvidia.Stream,
			unsafe.Pointer, unsafe.Pointer) nvidia.Result {
			launched++
			return ok()
		},
		BeginCapture:     func(nvidia.Stream, uint32) nvidia.Result { return ok() },
		EndCapture:       func(_ nvidia.Stream, g *nvidia.Graph) nvidia.Result { *g = 1; return ok() },
		GraphInstantiate: func(e *nvidia.Exec, _ nvidia.Graph, _ uint64) nvidia.Result { *e = 1; return ok() },
		GraphDestroy:     func(nvidia.Graph) nvidia.Result { return ok() },
		GraphLaunch:      func(nvidia.Exec, nvidia.Stream) nvidia.Result { graphs++; return ok() },
		MemHostAlloc: func(p *unsafe.Pointer, n uint64, _ uint32) nvidia.Result {
			*p = unsafe.Pointer(&make([]byte, n)[0])
			return ok()
		},
		EventCreate:     func(*nvidia.Event, uint32) nvidia.Result { return ok() },
		EventSync:       func(nvidia.Event) nvidia.Result { return ok() },
		EventRecord:     func(nvidia.Event, nvidia.Stream) nvidia.Result { return ok() },
		MemcpyHtoDAsync: func(nvidia.Address, unsafe.Pointer, uint64, nvidia.Stream) nvidia.Result { return ok() },
	}}
	d.prepare()
	p := &plan{d: d}
	d.kernels = map[string]nvidia.Function{"add": 1}
	p.fallback(engine.Instr{Op: engine.Reduce{Scale: 1}, In: []engine.Tensor{{Mem: &memory{d, 256, 8}, Shape: []int{8}},
		{Mem: &memory{d, 512, 8}, Shape: []int{8}}}})
	if p.err != nil {
		t.Fatal(p.err)
	}
	k := &kernel{d: d, plan: p}
	k.job = k.begin
	joined := d.CaptureGraph([]engine.Kernel{k, k})
	c := &engine.Context{}
	for _, step := range []engine.Kernel{k, joined} {
		var err error
		if n := testing.AllocsPerRun(20, func() { err = errors.Join(step.Run(c), d.Wait()) }); n != 0 || err != nil {
			t.Errorf("%v allocations a step, error %v", n, err)
		}
	}
	if launched == 0 || graphs == 0 {
		t.Errorf("%d launches, %d graphs", launched, graphs)
	}
}
