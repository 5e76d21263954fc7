package cpu

import (
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ablate/arch"
	"ablate/runner/engine"
	"ablate/runner/graph"
)

// cpuTime returns the CPU time that this thread has used so far. Other processes do not count, so
// kernels can be compared on a machine that also does other work.
func cpuTime(t testing.TB) time.Duration {
	t.Helper()
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &now); err != nil {
		t.Fatal(err)
	}
	return time.Duration(now.Nano())
}

// fastest returns the least CPU time of several turns of each function. The functions take turns.
func fastest(t testing.TB, turns int, fs ...func()) []time.Duration {
	best := make([]time.Duration, len(fs))
	for turn := range turns {
		for i, f := range fs {
			start := cpuTime(t)
			f()
			if took := cpuTime(t) - start; turn == 0 || took < best[i] {
				best[i] = took
			}
		}
	}
	return best
}

// Tiles of a panel over sizes of weights from 4 KiB to 1 MiB, as the convolutions run them: a block at
// a time, which stays in the cache. The share of the peak must be flat.
func BenchmarkTileSizes(b *testing.B) {
	const rounds, pixelTiles = 1 << 16, 28
	for _, p := range isas() {
		for kib := 4; kib <= 1024; kib *= 2 {
			k := kib << 10 / (4 * p.panel)
			b.Run(fmt.Sprintf("%s/%dKiB", p.name, kib), func(b *testing.B) {
				runtime.LockOSThread() // a benchmark in a benchmark runs in a separate goroutine
				defer runtime.UnlockOSThread()
				j := newJob(rand.New(rand.NewPCG(1, 2)), p.panel, pixelTiles, 1, k, 1, true)
				j.ws, j.wStride = make([]float32, k*p.panel), p.panel
				blocks := blocksOf([]int{0}, k, p.block)
				passes := max(1, 1<<20/(k*p.panel)) // reading the clock is a system call: a turn must take longer
				run := func() {
					for range passes {
						for i := range blocks {
							j.take(&blocks[i], j.ws, p.panel)
							p.tile[p.panel/lane](&j.tile)
						}
					}
				}
				for b.Loop() {
					best := fastest(b, 7, func() { p.fmas(rounds) }, run)
					flops := float64(2 * tileRows * p.panel * k * pixelTiles * passes)
					speed, peak := flops/best[1].Seconds()/1e9, float64(rounds*p.fmaFLOPs)/best[0].Seconds()/1e9
					b.ReportMetric(speed, "GFLOP/s")
					b.ReportMetric(100*speed/peak, "%ofpeak")
				}
			})
		}
	}
}

// Each kernel of a net's training step on one thread, in CPU time: GFLOP/s and the share of the peak,
// or GB/s. ABLATE_NET selects the net, ABLATE_BATCH the batch (16 by default), and the pattern
// ABLATE_STEPS the steps.
func BenchmarkStep(b *testing.B) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	name, batch := "alexnet", 16
	if v := os.Getenv("ABLATE_NET"); v != "" {
		name = v
	}
	if v := os.Getenv("ABLATE_BATCH"); v != "" {
		fmt.Sscan(v, &batch)
	}
	net, err := arch.Nets.Load(name)
	if err != nil {
		b.Fatal(err)
	}
	dev, err := New("cpu", 1)
	if err != nil {
		b.Fatal(err)
	}
	defer dev.Close()
	g, err := graph.Build(net, batch, true)
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
	names := prog.Steps()
	only := regexp.MustCompile(os.Getenv("ABLATE_STEPS"))
	var fs []func()
	for i := range names {
		if !only.MatchString(names[i]) {
			fs = append(fs, func() {})
			continue
		}
		fs = append(fs, func() {
			if _, err := prog.TimeStep(i); err != nil {
				b.Fatal(err)
			}
		})
	}
	const rounds = 1 << 18
	fs = append(fs, func() { dev.isa.fmas(rounds) })
	for b.Loop() {
		var total time.Duration
		var flops int64
		best := fastest(b, 5, fs...)
		peak := float64(rounds*dev.isa.fmaFLOPs) / best[len(names)].Seconds()
		for i, name := range names {
			if !only.MatchString(name) {
				continue
			}
			cost, took := prog.Cost(i), best[i]
			total, flops = total+took, flops+cost.FLOPs
			speed := float64(cost.FLOPs) / took.Seconds()
			if cost.FLOPs == 0 {
				b.Logf("%-28s %9.3f ms %6.1f GB/s", name, 1e3*took.Seconds(), float64(cost.Bytes)/took.Seconds()/1e9)
				continue
			}
			b.Logf("%-28s %9.3f ms %6.1f GFLOP/s %3.0f %%", name, 1e3*took.Seconds(), speed/1e9, 100*speed/peak)
		}
		b.Logf("%s, batch %d: %.2f images a CPU second, %.0f %% of %.1f GFLOP/s", name, batch,
			float64(batch)/total.Seconds(), 100*float64(flops)/total.Seconds()/peak, peak/1e9)
	}
}

// Depthwise convolutions, forward and both gradients, at MobileNet's shapes on one thread, in CPU
// time: GB/s with every operand counted once, and the share of the rate that y += a·x reaches over
// arrays that fit in no cache.
func BenchmarkDepthwise(b *testing.B) {
	for _, p := range isas() {
		for _, g := range []struct{ batch, size, channels, stride int }{
			{64, 32, 32, 1}, {8, 112, 32, 1}, {8, 112, 64, 2}, {8, 56, 128, 1}, {16, 28, 256, 1}, {32, 14, 512, 1},
			{64, 7, 1024, 1},
		} {
			b.Run(fmt.Sprintf("%s/%d·%d×%d×%d/%d", p.name, g.batch, g.size, g.size, g.channels, g.stride), func(b *testing.B) {
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
				dev, err := New("cpu", 1)
				if err != nil {
					b.Fatal(err)
				}
				defer dev.Close()
				dev.isa = p
				w := windowOf(g.size, g.size, g.channels, 3, g.stride, arch.Pad{Top: 1, Bottom: 1, Left: 1, Right: 1},
					g.channels, g.channels)
				x, y := alignedFloats(streamLen), alignedFloats(streamLen)
				fs := []func(){func() { p.axpy(y, x, 0.5) }}
				ops := depthwiseOps(g.batch, *w)
				for i, op := range ops {
					k, _ := boundTo(b, dev, op, rand.New(rand.NewPCG(1, uint64(i))), alignedFloats)
					fs = append(fs, func() {
						if err := k.Run(&engine.Context{}); err != nil {
							b.Fatal(err)
						}
					})
				}
				for b.Loop() {
					best := fastest(b, 7, fs...)
					limit := 3 * 4 * streamLen / best[0].Seconds()
					for i, name := range []string{"forward", "data", "weight"} {
						bytes := 4 * float64(g.batch*(w.In.Len()+w.Out.Len())+9*g.channels)
						speed := bytes / best[i+1].Seconds()
						b.ReportMetric(speed/1e9, name+"-GB/s")
						b.ReportMetric(100*speed/limit, name+"-%")
					}
				}
			})
		}
	}
}
