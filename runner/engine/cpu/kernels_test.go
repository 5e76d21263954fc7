package cpu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"ablate/arch"
	"ablate/runner/engine"
	"ablate/runner/graph"
)

// A shaped op is one of the ops of package graph.
type shaped interface {
	InputShapes() []tensor.Shape
	OutputShape() tensor.Shape
}

// bound returns the kernel of an op whose operands lie behind guard pages.
func bound(t testing.TB, dev *Device, op shaped, r *rand.Rand, first bool) (k engine.Kernel, out []float32) {
	t.Helper()
	return boundTo(t, dev, op, r, func(n int) []float32 { return guarded(t, n, first) })
}

// boundTo is bound with operands in memory that room returns.
func boundTo(t testing.TB, dev *Device, op shaped, r *rand.Rand, room func(int) []float32) (engine.Kernel, []float32) {
	t.Helper()
	in := engine.Instr{Op: op}
	for _, s := range op.InputShapes() {
		m := room(s.TotalSize())
		for i := range m {
			m[i] = r.Float32() - 0.5
		}
		in.In = append(in.In, engine.Tensor{Mem: memory(m), Shape: s})
	}
	if grad, ok := op.(*graph.MaxPoolGrad); ok { // its second input is the pool's output
		pool, y := boundTo(t, dev, graph.NewMaxPool("l", grad.Batch, grad.Window), rand.New(rand.NewPCG(1, 2)), room)
		if err := pool.Run(&engine.Context{}); err != nil {
			t.Fatal(err)
		}
		copy(in.In[1].Mem.(memory), y)
	}
	out := room(op.OutputShape().TotalSize())
	in.Out = engine.Tensor{Mem: memory(out), Shape: op.OutputShape()}
	k, err := dev.Kernel(in)
	if err != nil {
		t.Fatal(err)
	}
	return k, out
}

// windowOf returns the geometry of a layer over an h×w image, nil if it does not fit.
func windowOf(h, w, channels, kernel, stride int, pad arch.Pad, groups, filters int) *graph.Window {
	oh, ow := (h+pad.Top+pad.Bottom-kernel)/stride+1, (w+pad.Left+pad.Right-kernel)/stride+1
	if h+pad.Top+pad.Bottom < kernel || w+pad.Left+pad.Right < kernel {
		return nil
	}
	return &graph.Window{In: arch.Shape{Height: h, Width: w, Channels: channels},
		Out:    arch.Shape{Height: oh, Width: ow, Channels: filters},
		Kernel: kernel, Stride: stride, Pad: pad, Groups: groups}
}

// opsOf returns the ops of the layers that have the geometry.
func opsOf(batch int, w graph.Window, size int) []shaped {
	pool := w
	pool.Groups, pool.Out.Channels = 1, w.In.Channels
	norm := graph.LRNParams{Size: size, Alpha: 0.3, Beta: 0.75, K: 2, Groups: w.Groups}
	within := norm
	within.Within, within.Groups = true, 1
	ops := []shaped{
		graph.NewConv("l", batch, w), graph.NewConvDataGrad("l", batch, w), graph.NewConvWeightGrad("l", batch, w),
		graph.NewBiasGrad("l", batch, w.Out),
		graph.NewLRN("l", batch, w.In, norm), graph.NewLRNGrad("l", batch, w.In, norm),
		graph.NewLRN("l", batch, w.In, within), graph.NewLRNGrad("l", batch, w.In, within),
		graph.NewDense("l", batch, w.In, w.Out.Channels), graph.NewDenseDataGrad("l", batch, w.In, w.Out.Channels),
		graph.NewDenseWeightGrad("l", batch, w.In, w.Out.Channels),
	}
	if p := w.Pad; max(p.Top, p.Bottom, p.Left, p.Right) < w.Kernel { // arch requires this of pooling
		ops = append(ops, graph.NewMaxPool("l", batch, pool), graph.NewMaxPoolGrad("l", batch, pool),
			graph.NewAvgPool("l", batch, pool), graph.NewAvgPoolGrad("l", batch, pool))
	}
	return ops
}

// sameKernels runs every kernel of a geometry on every instruction set, behind guard pages. It checks
// that the results of the assembly kernels are equal bit for bit, and that those of the Go twin are
// within 1e-5 of the largest value.
func sameKernels(t *testing.T, seed uint64, batch int, w graph.Window, size int) {
	t.Helper()
	for i, op := range opsOf(batch, w, size) {
		first := (seed+uint64(i))%2 == 0
		var want, bits []float32
		for _, p := range slices.Backward(isas()) {
			dev := open(t, 2)
			dev.isa = p
			k, out := bound(t, dev, op, rand.New(rand.NewPCG(seed, uint64(i))), first)
			if err := k.Run(&engine.Context{}); err != nil {
				t.Fatal(err)
			}
			dev.Close()
			switch {
			case want == nil:
				want = slices.Clone(out)
			case bits == nil:
				bits = slices.Clone(out)
			case !slices.Equal(bits, out):
				t.Errorf("%v: %s computes other bits than the other assembly", op, p.name)
			}
			close32(t, fmt.Sprintf("%v on %s", op, p.name), out, want)
		}
	}
}

func close32(t *testing.T, what string, got, want []float32) {
	t.Helper()
	var largest float64
	for _, v := range want {
		largest = max(largest, math.Abs(float64(v)))
	}
	for i, v := range want {
		if d := math.Abs(float64(got[i] - v)); !(d <= 1e-5*largest) {
			t.Errorf("%s: value %d is %v, the Go twin has %v", what, i, got[i], v)
			return
		}
	}
}

// Kernels of odd sizes: channels that fill no vector, widths from 1 on, single images and 127.
func TestOddSizes(t *testing.T) {
	seed := uint64(0)
	for _, channels := range []int{1, 3, 5, 31, 33} {
		for _, width := range []int{1, 2, 7, 16, 17} {
			seed++
			if w := windowOf(4, width, channels, 3, 2, arch.Pad{Top: 1, Left: 1, Right: 2}, 1, 36-channels); w != nil {
				sameKernels(t, seed, 2, *w, 3)
			}
		}
	}
	sameKernels(t, 1, 127, *windowOf(3, 3, 6, 2, 1, arch.Pad{}, 2, 10), 5)
	sameKernels(t, 2, 1, *windowOf(9, 9, 48, 5, 1, arch.Pad{Top: 2, Bottom: 2, Left: 2, Right: 2}, 2, 128), 5)
}

// Shapes are compared with the Go twin. No kernel may touch memory outside its operands.
func FuzzShapes(f *testing.F) {
	f.Add(uint64(1), uint8(2), uint8(5), uint8(7), uint8(3), uint8(3), uint8(2), uint8(0x11), uint8(1), uint8(9), uint8(2))
	f.Add(uint64(2), uint8(1), uint8(1), uint8(1), uint8(31), uint8(1), uint8(1), uint8(0), uint8(1), uint8(33), uint8(0))
	f.Fuzz(func(t *testing.T, seed uint64, batch, h, w, channels, kernel, stride, pad, groups, filters, size uint8) {
		g := 1 + int(groups)%3
		p := arch.Pad{Top: int(pad & 3), Bottom: int(pad >> 2 & 3), Left: int(pad >> 4 & 3), Right: int(pad >> 6 & 3)}
		window := windowOf(1+int(h)%17, 1+int(w)%17, g*(1+int(channels)%24), 1+int(kernel)%5, 1+int(stride)%4, p, g,
			g*(1+int(filters)%40))
		if window != nil {
			sameKernels(t, seed, 1+int(batch)%9, *window, 2*(int(size)%4)+1)
		}
	})
}

// Block sizes depend on the caches that a CPU reports, so they must not change a bit.
func TestBlocksChangeNoBit(t *testing.T) {
	for columns, want := range map[int]int{16: 256, 64: 64} {
		if got := blockOf(16<<10, columns, 7); got != want || blockOf(0, columns, 7) != 7 {
			t.Errorf("%d columns of 16 KiB: %d sum indices, want %d", columns, got, want)
		}
	}
	w := windowOf(7, 9, 48, 3, 1, arch.Pad{Top: 1, Bottom: 1, Left: 1, Right: 1}, 1, 70)
	for _, p := range isas() {
		for i, op := range opsOf(13, *w, 5) {
			var want []float32
			for _, block := range []int{p.block, 64, 384, 1024} {
				dev := open(t, 2)
				other := *p
				other.block = block
				dev.isa = &other
				k, out := bound(t, dev, op, rand.New(rand.NewPCG(1, uint64(i))), false)
				if err := k.Run(&engine.Context{}); err != nil {
					t.Fatal(err)
				}
				dev.Close()
				if want == nil {
					want = slices.Clone(out)
				}
				if !slices.Equal(want, out) {
					t.Errorf("%v on %s: blocks of %d sum indices change the result", op, p.name, block)
				}
			}
		}
	}
}

// depthwiseOps returns the ops of a depthwise convolution.
func depthwiseOps(batch int, w graph.Window) []shaped {
	return []shaped{graph.NewConv("l", batch, w), graph.NewConvDataGrad("l", batch, w),
		graph.NewConvWeightGrad("l", batch, w)}
}

// Depthwise convolutions have the same bits on every instruction set, including the Go twins, and on
// any number of threads. No kernel touches memory outside its operands.
func FuzzDepthwise(f *testing.F) {
	f.Add(uint64(1), uint8(2), uint8(9), uint8(10), uint8(20), uint8(2), uint8(0), uint8(0x55))
	f.Add(uint64(2), uint8(9), uint8(8), uint8(11), uint8(36), uint8(2), uint8(1), uint8(0x44))
	f.Add(uint64(3), uint8(1), uint8(1), uint8(0), uint8(7), uint8(4), uint8(0), uint8(0xff))
	f.Add(uint64(4), uint8(0), uint8(16), uint8(16), uint8(71), uint8(1), uint8(2), uint8(0))
	f.Fuzz(func(t *testing.T, seed uint64, batch, h, width, channels, kernel, stride, pad uint8) {
		p := arch.Pad{Top: int(pad & 3), Bottom: int(pad >> 2 & 3), Left: int(pad >> 4 & 3), Right: int(pad >> 6 & 3)}
		c := 1 + int(channels)%80
		w := windowOf(1+int(h)%17, 1+int(width)%17, c, 1+int(kernel)%5, 1+int(stride)%4, p, c, c)
		if w == nil {
			return
		}
		for i, op := range depthwiseOps(1+int(batch)%10, *w) {
			var want []float32
			for threads, p := range slices.Backward(isas()) {
				dev := open(t, 1+threads)
				dev.isa = p
				k, out := bound(t, dev, op, rand.New(rand.NewPCG(seed, uint64(i))), (seed+uint64(i))%2 == 0)
				if err := k.Run(&engine.Context{}); err != nil {
					t.Fatal(err)
				}
				dev.Close()
				if want == nil {
					want = slices.Clone(out)
				}
				if !slices.Equal(out, want) {
					t.Errorf("%v: other bits on %s than of the Go twin", op, p.name)
				}
			}
		}
	})
}

// Outputs so large that they pass the caches by have the same bits as those of the Go twin.
func TestLargeDepthwise(t *testing.T) {
	w := windowOf(92, 90, 128, 3, 1, arch.Pad{Top: 1, Bottom: 1, Left: 1, Right: 1}, 128, 128)
	for i, op := range depthwiseOps(2, *w)[:2] {
		var want []float32
		for _, p := range slices.Backward(isas()) {
			dev := open(t, 2)
			dev.isa = p
			k, out := bound(t, dev, op, rand.New(rand.NewPCG(1, uint64(i))), true)
			if k.(*depthwise).streams() == 0 {
				t.Error("an output of 8 MiB is not streamed")
			}
			if err := k.Run(&engine.Context{}); err != nil {
				t.Fatal(err)
			}
			dev.Close()
			if want == nil {
				want = slices.Clone(out)
			}
			if !slices.Equal(out, want) {
				t.Errorf("%v: other bits on %s than of the Go twin", op, p.name)
			}
		}
	}
}

// An error in a worker names the kernel and the layer.
func TestErrorsNameTheKernel(t *testing.T) {
	dev := open(t, 2)
	defer dev.Close()
	net, err := arch.Nets.Load("cifar-quick")
	if err != nil {
		t.Fatal(err)
	}
	g, err := graph.Build(net, 4, true)
	if err != nil {
		t.Fatal(err)
	}
	params, err := engine.NewParams(engine.Placement{Group: engine.NewGroup(dev)}, g.Params)
	if err != nil {
		t.Fatal(err)
	}
	prog, err := engine.Train(g, params)
	if err != nil {
		t.Fatal(err)
	}
	if err := prog.Write(g.Labels, []float32{0, 1, 99, 2}); err != nil {
		t.Fatal(err)
	}
	err = prog.RunAll()
	if err == nil || !strings.Contains(err.Error(), "softmax-loss") ||
		!strings.Contains(err.Error(), "index out of range") {
		t.Errorf("label 99 of 10 classes: %v", err)
	}
}

// Each kernel at AlexNet's shapes, 16 images: GFLOP/s, or GB/s with every operand counted once.
func BenchmarkKernels(b *testing.B) {
	net, err := arch.Nets.Load("alexnet")
	if err != nil {
		b.Fatal(err)
	}
	dev, err := New("cpu", 0)
	if err != nil {
		b.Fatal(err)
	}
	defer dev.Close()
	g, err := graph.Build(net, 16, true)
	if err != nil {
		b.Fatal(err)
	}
	params, err := engine.NewParams(engine.Placement{Group: engine.NewGroup(dev)}, g.Params)
	if err != nil {
		b.Fatal(err)
	}
	prog, err := engine.Train(g, params)
	if err != nil {
		b.Fatal(err)
	}
	prog.Context = engine.Context{Rate: 1e-4, Momentum: 0.9, Decay: 5e-4}
	for i, name := range prog.Steps() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := prog.TimeStep(i); err != nil {
					b.Fatal(err)
				}
			}
			cost, seconds := prog.Cost(i), b.Elapsed().Seconds()/float64(b.N)
			if cost.FLOPs > 0 {
				b.ReportMetric(float64(cost.FLOPs)/seconds/1e9, "GFLOP/s")
			} else {
				b.ReportMetric(float64(cost.Bytes)/seconds/1e9, "GB/s")
			}
		})
	}
}
