package graph

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"ablate/arch"
)

// LocalWeights returns the shape of a locally-connected layer's weights, which are those of a
// convolution for every output pixel: [H', W', kernel, kernel, in/groups, out].
func (w Window) LocalWeights() []int {
	return append([]int{w.Out.Height, w.Out.Width}, w.Weights()...)
}

// Local is Conv with separate weights and biases for each output pixel: x [N,H,W,C], w
// [H',W',k,k,C/groups,F], b [H'·W'·F], y [N,H',W',F].
type Local struct {
	meta
	Window
}

// NewLocal makes a locally-connected layer.
func NewLocal(layer string, batch int, w Window) *Local {
	o := &Local{Window: w}
	o.meta = meta{
		kind: "local", Layer: layer, Batch: batch, params: fmt.Sprintf("%+v", w),
		in:  []tensor.Shape{nhwc(batch, w.In), w.LocalWeights(), {w.Out.Len()}},
		out: nhwc(batch, w.Out),
		f32: func(in [][]float32, out []float32) { local(batch, w, in[0], in[1], biasOf(in), out) },
		f64: func(in [][]float64, out []float64) { local(batch, w, in[0], in[1], biasOf(in), out) },
	}
	return o
}

// WithoutBias returns the op of a layer that has no biases: its inputs are x and w.
func (o *Local) WithoutBias() *Local {
	o.dropBias()
	return o
}

// at returns the same op with another geometry.
func (o *Local) at(w Window) *Local {
	op := NewLocal(o.Layer, o.Batch, w)
	if !o.biased() {
		op.dropBias()
	}
	return op
}

// DiffWRT reports that all inputs have gradients.
func (o *Local) DiffWRT(n int) []bool { return all(n, n) }

// SymDiff returns the gradients to the image, the weights and the biases.
func (o *Local) SymDiff(in gorgonia.Nodes, _, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	dx, err := applied(NewLocalDataGrad(o.Layer, o.Batch, o.Window), in[1], dy)
	if err != nil {
		return nil, err
	}
	dw, err := applied(NewLocalWeightGrad(o.Layer, o.Batch, o.Window), in[0], dy)
	if err != nil {
		return nil, err
	}
	return o.withBiasGrad(dx, dw, NewLocalBiasGrad(o.Layer, o.Batch, o.Out), dy)
}

// LocalDataGrad is the gradient of Local to its image: (w, dy) → dx.
type LocalDataGrad struct {
	meta
	Window
}

// NewLocalDataGrad makes the data gradient of a locally-connected layer.
func NewLocalDataGrad(layer string, batch int, w Window) *LocalDataGrad {
	o := &LocalDataGrad{Window: w}
	o.meta = meta{
		kind: "local-data-grad", Layer: layer, Batch: batch, params: fmt.Sprintf("%+v", w),
		in:  []tensor.Shape{w.LocalWeights(), nhwc(batch, w.Out)},
		out: nhwc(batch, w.In),
		f32: func(in [][]float32, out []float32) { localDataGrad(batch, w, in[0], in[1], out) },
		f64: func(in [][]float64, out []float64) { localDataGrad(batch, w, in[0], in[1], out) },
	}
	return o
}

// LocalWeightGrad is the gradient of Local to its weights: (x, dy) → dw.
type LocalWeightGrad struct {
	meta
	Window
}

// NewLocalWeightGrad makes the weight gradient of a locally-connected layer.
func NewLocalWeightGrad(layer string, batch int, w Window) *LocalWeightGrad {
	o := &LocalWeightGrad{Window: w}
	o.meta = meta{
		kind: "local-weight-grad", Layer: layer, Batch: batch, params: fmt.Sprintf("%+v", w),
		in:  []tensor.Shape{nhwc(batch, w.In), nhwc(batch, w.Out)},
		out: w.LocalWeights(),
		f32: func(in [][]float32, out []float32) { localWeightGrad(batch, w, in[0], in[1], out) },
		f64: func(in [][]float64, out []float64) { localWeightGrad(batch, w, in[0], in[1], out) },
	}
	return o
}

// NewLocalBiasGrad makes the gradient to biases if each activation has its own: the sum of dy over
// images.
func NewLocalBiasGrad(layer string, batch int, s arch.Shape) *BiasGrad {
	o := NewBiasGrad(layer, batch, s)
	o.kind = "local-bias-grad"
	o.out = tensor.Shape{s.Len()}
	return o
}

// localProducts calls f with the indices of every product x·w → y of a locally-connected layer.
func (w Window) localProducts(batch int, f func(x, weight, y int)) {
	pixels := w.Out.Height * w.Out.Width
	size := w.Kernel * w.Kernel * w.In.Channels / w.Groups * w.Out.Channels
	w.products(batch, func(x, weight, y int) {
		f(x, y/w.Out.Channels%pixels*size+weight, y)
	})
}

func local[T float](batch int, w Window, x, weights, bias, y []T) {
	for i := range y {
		if bias != nil {
			y[i] = bias[i%len(bias)]
		}
	}
	w.localProducts(batch, func(xi, wi, yi int) { y[yi] += x[xi] * weights[wi] })
}

func localDataGrad[T float](batch int, w Window, weights, dy, dx []T) {
	w.localProducts(batch, func(xi, wi, yi int) { dx[xi] += dy[yi] * weights[wi] })
}

func localWeightGrad[T float](batch int, w Window, x, dy, dw []T) {
	w.localProducts(batch, func(xi, wi, yi int) { dw[wi] += x[xi] * dy[yi] })
}

// perPixel divides, by channels, values of which every output pixel has its own.
func perPixel(s arch.Shape) Sharding {
	return Sharding{Outer: s.Height * s.Width, Length: s.Channels, Inner: 1}
}

// MACs counts every product once.
func (o *Local) MACs() int64 { return o.Window.macs(o.Batch) }

// Class returns Float32Only.
func (o *Local) Class() Class { return Float32Only }

// Shard divides by output channels.
func (o *Local) Shard(s Split) (Shard, error) {
	shard, err := s.conv(o, o.Window, func(w Window) Op { return o.at(w) })
	if err == nil && o.biased() {
		shard.In[2] = perPixel(o.Out)
	}
	return shard, err
}

// MACs counts every product once.
func (o *LocalDataGrad) MACs() int64 { return o.Window.macs(o.Batch) }

// Class returns Float32Only.
func (o *LocalDataGrad) Class() Class { return Float32Only }

// Shard divides by input channels.
func (o *LocalDataGrad) Shard(s Split) (Shard, error) {
	return s.dataGrad(o, o.Window, func(w Window) Op { return NewLocalDataGrad(o.Layer, o.Batch, w) })
}

// MACs counts every product once.
func (o *LocalWeightGrad) MACs() int64 { return o.Window.macs(o.Batch) }

// Class returns Float32Only.
func (o *LocalWeightGrad) Class() Class { return Float32Only }

// Shard divides by output channels.
func (o *LocalWeightGrad) Shard(s Split) (Shard, error) {
	return s.conv(o, o.Window, func(w Window) Op { return NewLocalWeightGrad(o.Layer, o.Batch, w) })
}

var _ = builds(func(b *builder, p arch.LayerInfo, l *arch.Local, x *gorgonia.Node) (*gorgonia.Node, error) {
	op := NewLocal(p.Layer.Name, b.g.Batch, Window{In: p.In, Out: p.Out, Kernel: l.Kernel, Stride: l.Stride, Pad: l.Pad,
		Groups: p.Groups})
	if !l.Bias {
		return applied(op.WithoutBias(), x, b.weights(op.Layer, op.LocalWeights(), l.Init, l.LR, l.Decay))
	}
	w, bias := b.params(op.Layer, op.LocalWeights(), op.Out.Len(), l.Init, l.LR, l.Decay)
	return applied(op, x, w, bias)
})
