package graph

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"ablate/runner/random"
)

// MaxAvgPool is the sum of each window's maximum and mean: x → y.
type MaxAvgPool struct {
	meta
	Layer string
	Batch int
	Window
}

// NewMaxAvgPool makes a layer that pools both ways.
func NewMaxAvgPool(layer string, batch int, w Window) *MaxAvgPool {
	o := &MaxAvgPool{Layer: layer, Batch: batch, Window: w}
	o.meta = meta{
		text: fmt.Sprintf("maxavgpool{%s %d %+v}", layer, batch, w),
		in:   []tensor.Shape{nhwc(batch, w.In)},
		out:  nhwc(batch, w.Out),
		f32:  func(in [][]float32, out []float32) { maxAvgPool(batch, w, in[0], out) },
		f64:  func(in [][]float64, out []float64) { maxAvgPool(batch, w, in[0], out) },
	}
	return o
}

// DiffWRT says that the input has a gradient.
func (o *MaxAvgPool) DiffWRT(n int) []bool { return all(1, n) }

// SymDiff gives the gradient to the input.
func (o *MaxAvgPool) SymDiff(in gorgonia.Nodes, _, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	dx, err := applied(NewMaxAvgPoolGrad(o.Layer, o.Batch, o.Window), in[0], dy)
	return gorgonia.Nodes{dx}, err
}

// MaxAvgPoolGrad is the gradient of MaxAvgPool: (x, dy) → dx. Of equal maxima the first gets it.
type MaxAvgPoolGrad struct {
	meta
	Batch int
	Window
}

// NewMaxAvgPoolGrad makes the gradient of a layer that pools both ways.
func NewMaxAvgPoolGrad(layer string, batch int, w Window) *MaxAvgPoolGrad {
	o := &MaxAvgPoolGrad{Batch: batch, Window: w}
	o.meta = meta{
		text: fmt.Sprintf("maxavgpool-grad{%s %d %+v}", layer, batch, w),
		in:   []tensor.Shape{nhwc(batch, w.In), nhwc(batch, w.Out)},
		out:  nhwc(batch, w.In),
		f32:  func(in [][]float32, out []float32) { maxAvgPoolGrad(batch, w, in[0], in[1], out) },
		f64:  func(in [][]float64, out []float64) { maxAvgPoolGrad(batch, w, in[0], in[1], out) },
	}
	return o
}

func maxAvgPool[T float](batch int, w Window, x, y []T) {
	avgPool(batch, w, x, y)
	top := make([]T, len(y))
	maxPool(batch, w, x, top)
	for i, v := range top {
		y[i] += v
	}
}

func maxAvgPoolGrad[T float](batch int, w Window, x, dy, dx []T) {
	top := make([]T, len(dy))
	maxPool(batch, w, x, top)
	maxPoolGrad(batch, w, x, top, dy, dx)
	avgPoolGrad(batch, w, dy, dx)
}

// StochasticPool takes one activation of each window, drawn in proportion to
// max(x, 0): x → y. In evaluation it gives their mean under the same proportions.
// The draws are a pure function of (seed, layer, step, index).
type StochasticPool struct {
	meta
	Layer string
	Batch int
	Window
	Train bool
	Part  Part // of the outputs
	clock *Clock
}

// NewStochasticPool makes a layer that reads seed and step from clock when it is run by Do.
func NewStochasticPool(layer string, batch int, w Window, train bool, clock *Clock) *StochasticPool {
	o := &StochasticPool{Layer: layer, Batch: batch, Window: w, Train: train, Part: Part{Channels: w.Out.Channels}, clock: clock}
	o.meta = meta{
		text: fmt.Sprintf("stochasticpool{%s %d %+v %v}", layer, batch, w, train),
		in:   []tensor.Shape{nhwc(batch, w.In)},
		out:  nhwc(batch, w.Out),
		f32:  func(in [][]float32, out []float32) { stochasticPool(o, in[0], out) },
		f64:  func(in [][]float64, out []float64) { stochasticPool(o, in[0], out) },
	}
	return o
}

// DiffWRT says that the input has a gradient.
func (o *StochasticPool) DiffWRT(n int) []bool { return all(1, n) }

// SymDiff gives the gradient to the input.
func (o *StochasticPool) SymDiff(in gorgonia.Nodes, _, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	dx, err := applied(NewStochasticPoolGrad(o.Layer, o.Batch, o.Window, o.clock), in[0], dy)
	return gorgonia.Nodes{dx}, err
}

// StochasticPoolGrad is the gradient of StochasticPool in training: (x, dy) → dx.
// What was drawn is drawn again.
type StochasticPoolGrad struct {
	meta
	Layer string
	Batch int
	Window
	Part  Part // of the outputs
	clock *Clock
}

// NewStochasticPoolGrad makes the gradient of a stochastic pooling layer.
func NewStochasticPoolGrad(layer string, batch int, w Window, clock *Clock) *StochasticPoolGrad {
	o := &StochasticPoolGrad{Layer: layer, Batch: batch, Window: w, Part: Part{Channels: w.Out.Channels}, clock: clock}
	o.meta = meta{
		text: fmt.Sprintf("stochasticpool-grad{%s %d %+v}", layer, batch, w),
		in:   []tensor.Shape{nhwc(batch, w.In), nhwc(batch, w.Out)},
		out:  nhwc(batch, w.In),
		f32:  func(in [][]float32, out []float32) { stochasticPoolGrad(o, in[0], in[1], out) },
		f64:  func(in [][]float64, out []float64) { stochasticPoolGrad(o, in[0], in[1], out) },
	}
	return o
}

// StochasticStream is the random stream a stochastic pooling layer draws from:
// word i of step s decides output i.
func StochasticStream(seed uint64, layer string) random.Stream {
	return random.New(seed, "stochasticpool/"+layer)
}

// StochasticChoice is how far into the sum of a window's weights a random word reaches.
func StochasticChoice(word uint32, sum float64) float64 { return float64(word) / (1 << 32) * sum }

// cells lists the input indices of every output's window, in row-major order.
func (w Window) cells(batch int) [][]int {
	cells := make([][]int, batch*w.Out.Len())
	w.each(batch, func(n, oy, ox, _, _, iy, ix int) {
		xi, yi := w.input(n, iy, ix), w.output(n, oy, ox)
		for c := range w.Out.Channels {
			cells[yi+c] = append(cells[yi+c], xi+c)
		}
	})
	return cells
}

// drawn is the input index that a window's random word picks, -1 if no activation is above 0.
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
