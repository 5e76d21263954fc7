package graph

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"ablate/arch"
	"ablate/runner/random"
)

// StochasticPool picks one activation of each window, with probabilities in proportion to max(x,
// 0): x → y. In evaluation it takes their mean, weighted by the same proportions. The draws are a
// pure function of (seed, layer, step, index).
type StochasticPool struct {
	meta
	Window
	Train bool
	Part  Part // of the outputs
	clock *Clock
}

// NewStochasticPool makes a layer. When Do runs it, it reads seed and step from clock.
func NewStochasticPool(layer string, batch int, w Window, train bool, clock *Clock) *StochasticPool {
	o := &StochasticPool{Window: w, Train: train, Part: Part{Channels: w.Out.Channels}, clock: clock}
	o.meta = meta{
		kind: "stochasticpool", Layer: layer, Batch: batch, params: fmt.Sprintf("%+v %v", w, train),
		in:  []tensor.Shape{nhwc(batch, w.In)},
		out: nhwc(batch, w.Out),
		f32: func(in [][]float32, out []float32) { stochasticPool(o, in[0], out) },
		f64: func(in [][]float64, out []float64) { stochasticPool(o, in[0], out) },
	}
	return o
}

// DiffWRT reports that the input has a gradient.
func (o *StochasticPool) DiffWRT(n int) []bool { return all(1, n) }

// SymDiff returns the gradient to the input.
func (o *StochasticPool) SymDiff(in gorgonia.Nodes, _, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	dx, err := applied(NewStochasticPoolGrad(o.Layer, o.Batch, o.Window, o.clock), in[0], dy)
	return gorgonia.Nodes{dx}, err
}

// StochasticPoolGrad is the gradient of StochasticPool in training: (x, dy) → dx. It repeats the
// layer's draws.
type StochasticPoolGrad struct {
	meta
	Window
	Part  Part // of the outputs
	clock *Clock
}

// NewStochasticPoolGrad makes the gradient of a stochastic pooling layer.
func NewStochasticPoolGrad(layer string, batch int, w Window, clock *Clock) *StochasticPoolGrad {
	o := &StochasticPoolGrad{Window: w, Part: Part{Channels: w.Out.Channels}, clock: clock}
	o.meta = meta{
		kind: "stochasticpool-grad", Layer: layer, Batch: batch, params: fmt.Sprintf("%+v", w),
		in:  []tensor.Shape{nhwc(batch, w.In), nhwc(batch, w.Out)},
		out: nhwc(batch, w.In),
		f32: func(in [][]float32, out []float32) { stochasticPoolGrad(o, in[0], in[1], out) },
		f64: func(in [][]float64, out []float64) { stochasticPoolGrad(o, in[0], in[1], out) },
	}
	return o
}

// StochasticStream returns the random stream of a stochastic pooling layer: word i of step s
// decides output i.
func StochasticStream(seed uint64, layer string) random.Stream {
	return random.New(seed, "stochasticpool/"+layer)
}

// StochasticChoice returns how far into the sum of a window's weights a random word reaches.
func StochasticChoice(word uint32, sum float64) float64 { return float64(word) / (1 << 32) * sum }

// drawn returns the input index that a window's random word picks, -1 if no activation is above 0.
func drawn[T float](x []T, cells []int, word uint32) int {
	var sum float64
	for _, i := range cells {
		sum += math.Max(float64(x[i]), 0)
	}
	choice, last := StochasticChoice(word, sum), -1
	var reached float64
	for _, i := range cells {
		if v := float64(x[i]); v > 0 {
			reached, last = reached+v, i
			if reached > choice {
				break
			}
		}
	}
	return last
}

func stochasticPool[T float](o *StochasticPool, x, y []T) {
	for i, cells := range o.cells(o.Batch) {
		if o.Train {
			stream := StochasticStream(o.clock.Seed, o.Layer)
			if j := drawn(x, cells, stream.Uint32(o.clock.Step, uint64(o.Part.Index(i, o.Out)))); j >= 0 {
				y[i] = x[j]
			}
			continue
		}
		var sum, squares float64
		for _, j := range cells {
			v := math.Max(float64(x[j]), 0)
			sum, squares = sum+v, squares+v*v
		}
		if sum > 0 {
			y[i] = T(squares / sum)
		}
	}
}

func stochasticPoolGrad[T float](o *StochasticPoolGrad, x, dy, dx []T) {
	stream := StochasticStream(o.clock.Seed, o.Layer)
	for i, cells := range o.cells(o.Batch) {
		if j := drawn(x, cells, stream.Uint32(o.clock.Step, uint64(o.Part.Index(i, o.Out)))); j >= 0 {
			dx[j] += dy[i]
		}
	}
}

// Shard divides by channels.
func (o *StochasticPool) Shard(s Split) (Shard, error) {
	return s.own(o, o.at(s.window(o.Window), s.part(o.Part, o.Out.Channels))), nil
}

// at returns the same layer for a part of its activations.
func (o *StochasticPool) at(w Window, p Part) *StochasticPool {
	part := NewStochasticPool(o.Layer, o.Batch, w, o.Train, o.clock)
	part.Part = p
	return part
}

func (o *StochasticPool) fromImage(first int) Op { return o.at(o.Window, o.Part.after(first)) }

// Shard divides by channels.
func (o *StochasticPoolGrad) Shard(s Split) (Shard, error) {
	return s.own(o, o.at(s.window(o.Window), s.part(o.Part, o.Out.Channels))), nil
}

func (o *StochasticPoolGrad) at(w Window, p Part) *StochasticPoolGrad {
	part := NewStochasticPoolGrad(o.Layer, o.Batch, w, o.clock)
	part.Part = p
	return part
}

func (o *StochasticPoolGrad) fromImage(first int) Op { return o.at(o.Window, o.Part.after(first)) }

var _ = builds(func(b *builder, p arch.LayerInfo, l *arch.StochasticPool, x *gorgonia.Node) (*gorgonia.Node, error) {
	w := Window{In: p.In, Out: p.Out, Kernel: l.Kernel, Stride: l.Stride, Pad: l.Pad, Groups: 1}
	return applied(NewStochasticPool(p.Layer.Name, b.g.Batch, w, b.train, b.g.Clock), x)
})
