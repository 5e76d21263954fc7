package runner

import (
	"context"
	"errors"
	"runtime/debug"
	"slices"
	"time"

	"ablate/arch"
	"ablate/recipe"
	"ablate/runner/device"
	"ablate/runner/engine"
	"ablate/runner/random"
	"ablate/runner/train"
)

// A Bench holds the measured speed of one net's training step on one device.
type Bench struct {
	Net             string    `json:"net"`
	Device          string    `json:"device"`
	Hardware        string    `json:"hardware"`
	Precision       string    `json:"precision"` // of the matrix products
	Threads         int       `json:"threads"`
	Batch           int       `json:"batch"`
	ImagesPerSecond float64   `json:"images_per_second"` // of the median step
	StepSeconds     []float64 `json:"step_seconds"`
	PeakRSSMiB      int64     `json:"peak_rss_mib,omitempty"` // of the process; absent if unknown
	ActivationsMiB  float64   `json:"activations_mib"`        // the program's arena
	PeakGFLOPS      float64   `json:"peak_gflops,omitempty"`  // measured, all threads
	PeakGBs         float64   `json:"peak_gb_per_second,omitempty"`
	BytesMoved      int64     `json:"bytes_moved,omitempty"` // from device to device in a step
	GFLOPS          float64   `json:"gflops"`                // of the convolutions and dense layers over the whole step
	Roofline        Roofline  `json:"roofline,omitzero"`
	Kernels         []Kernel  `json:"kernels,omitempty"`
}

// A Roofline tells how long a step would take if every kernel ran at the limit that binds it.
type Roofline struct {
	Limit   string  `json:"limit"`    // what binds the step: compute or memory
	Share   float64 `json:"share"`    // of the least time: the part in kernels that this limit binds
	Seconds float64 `json:"seconds"`  // the least time of a step
	OfLimit float64 `json:"of_limit"` // the least time over the measured one
}

// A Kernel holds the measurements of one step of the program. Kernels are in the order in which
// they run.
type Kernel struct {
	Name    string  `json:"name"`
	By      string  `json:"by,omitempty"` // the library's algorithm, if it has several
	Seconds float64 `json:"seconds"`      // median
	GFLOPS  float64 `json:"gflops,omitempty"`
	GBs     float64 `json:"gb_per_second"`         // every operand counted once
	Moved   int64   `json:"bytes_moved,omitempty"` // from device to device
	Limit   string  `json:"limit"`                 // what binds it: compute or memory
	OfLimit float64 `json:"of_limit"`              // the share of that limit it reaches
}

// benchWarmUp is the number of steps that run before the first that counts.
const benchWarmUp = 2

// Benchmark times whole training steps (forward, loss, backward, update) of a net on random images
// that are already in memory, as the peer's script does. It then runs the same number of steps
// kernel by kernel. It uses only the batch, the micro-batches and the precision of the recipe.
// batch and steps must be at least 1. If whole is true, it times only the steps and measures
// neither the kernels nor the limits of the machine.
func Benchmark(ctx context.Context, net *arch.Net, group *engine.Group, r recipe.Train, steps int,
	whole bool) (*Bench, error) {
	if err := device.Place(group, r).Check(net, r.Batch); err != nil { // before seconds of measuring
		return nil, err
	}
	var limits engine.Limits
	if !whole {
		var err error
		if limits, err = group.Limits(r.Precision); err != nil {
			return nil, err
		}
	}
	debug.FreeOSMemory() // the net does not use the arrays that measured the limits
	program, err := benchProgram(ctx, net, group, r)
	if err != nil {
		return nil, err
	}
	b := &Bench{
		Net: net.Name, Device: group.Name(), Hardware: group.Hardware(r.Precision), Precision: r.Precision.String(),
		Threads: group.Threads(), Batch: r.Batch,
		ActivationsMiB: float64(program.ArenaLen()) * 4 / (1 << 20),
		PeakGFLOPS:     limits.FLOPS / 1e9, PeakGBs: limits.Bytes / 1e9, BytesMoved: program.Moved(),
	}
	for i := range benchWarmUp + steps {
		start := time.Now()
		if err := errors.Join(program.RunAll(), program.Wait()); err != nil {
			return nil, err
		}
		if i >= benchWarmUp {
			b.StepSeconds = append(b.StepSeconds, time.Since(start).Seconds())
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	b.PeakRSSMiB = peakRSS() >> 20
	step := median(b.StepSeconds)
	b.ImagesPerSecond = float64(r.Batch) / step
	var work int64
	for i := range program.Steps() {
		work += program.Cost(i).FLOPs
	}
	b.GFLOPS = float64(work) / step / 1e9
	if whole {
		return b, nil
	}
	b.Roofline = roofline(program, limits, step)
	b.Kernels, err = benchKernels(ctx, program, limits, steps)
	return b, err
}

// roofline adds up the least times of a step's kernels, by the limit that binds each.
func roofline(program *engine.Program, limits engine.Limits, step float64) Roofline {
	var compute, total float64
	for i := range program.Steps() {
		cost := program.Cost(i)
		total += cost.Seconds(limits)
		if binding(cost, limits) == "compute" {
			compute += cost.Seconds(limits)
		}
	}
	r := Roofline{Limit: "compute", Seconds: total, OfLimit: total / step}
	bound := compute
	if compute < total-compute {
		r.Limit, bound = "memory", total-compute
	}
	if total > 0 {
		r.Share = bound / total
	}
	return r
}

// binding returns the limit that a kernel of this cost meets first.
func binding(cost engine.Cost, limits engine.Limits) string {
	if float64(cost.FLOPs)/limits.FLOPS > float64(cost.Bytes)/limits.Bytes {
		return "compute"
	}
	return "memory"
}

// benchProgram compiles a net's training step and fills its inputs.
func benchProgram(ctx context.Context, net *arch.Net, group *engine.Group, r recipe.Train) (*engine.Program, error) {
	m, err := train.Compile(ctx, recipe.Recipe{Net: net, Train: r}, device.Place(group, r), 1)
	if err != nil {
		return nil, err
	}
	image := make([]float32, net.Input.Len())
	for n := range r.Batch {
		random.New(1, "bench/images").Normal(image, uint64(n), 0, 1)
		if err := m.Program.WriteAt(m.Graph.Input, n*len(image), image); err != nil {
			return nil, err
		}
	}
	labels := make([]float32, r.Batch)
	for i := range labels {
		labels[i] = float32(i % m.Graph.Logits.Shape()[3])
	}
	defaults := recipe.Defaults().Train
	m.Program.Context = engine.Context{Seed: 1, Rate: 1e-4, Momentum: defaults.Momentum, Decay: defaults.WeightDecay}
	return m.Program, m.Program.Write(m.Graph.Labels, labels)
}

func benchKernels(ctx context.Context, program *engine.Program, limits engine.Limits, steps int) ([]Kernel, error) {
	names := program.Steps()
	times := make([][]float64, len(names))
	for range steps {
		for i := range names {
			took, err := program.TimeStep(i)
			if err != nil {
				return nil, err
			}
			times[i] = append(times[i], took.Seconds())
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	kernels := make([]Kernel, len(names))
	for i, name := range names {
		cost, t := program.Cost(i), median(times[i])
		k := Kernel{
			Name: name, By: program.Algorithm(i), Seconds: t,
			GFLOPS: float64(cost.FLOPs) / t / 1e9, GBs: float64(cost.Bytes) / t / 1e9, Moved: cost.Moved,
			Limit: binding(cost, limits), OfLimit: cost.Seconds(limits) / t,
		}
		kernels[i] = k
	}
	return kernels, nil
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
