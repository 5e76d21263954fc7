package graph

import (
	"fmt"

	"ablate/arch"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Conv is y = x ∗ w + b, with x [N,H,W,C], w [k,k,C/groups,F], b [F], y [N,H',W',F].
type Conv struct {
	meta
	Window
}

// NewConv makes the convolution of one layer.
func NewConv(layer string, batch int, w Window) *Conv {
	o := &Conv{Window: w}
	o.meta = meta{
		kind: "conv", Layer: layer, Batch: batch, params: fmt.Sprintf("%+v", w),
		in:  []tensor.Shape{nhwc(batch, w.In), w.Weights(), {w.Out.Channels}},
		out: nhwc(batch, w.Out),
		f32: func(in [][]float32, out []float32) { conv(o.Batch, o.Window, in[0], in[1], biasOf(in), out) },
		f64: func(in [][]float64, out []float64) { conv(o.Batch, o.Window, in[0], in[1], biasOf(in), out) },
	}
	return o
}

// WithoutBias returns the op of a layer that has no biases: its inputs are x and w.
func (o *Conv) WithoutBias() *Conv {
	o.dropBias()
	return o
}

// at returns the same op with another geometry.
func (o *Conv) at(w Window) *Conv {
	op := NewConv(o.Layer, o.Batch, w)
	if !o.biased() {
		op.dropBias()
	}
	return op
}

// DiffWRT reports that all inputs have gradients.
func (o *Conv) DiffWRT(n int) []bool { return all(n, n) }

// SymDiff returns the gradients to the image, the weights and the biases.
func (o *Conv) SymDiff(in gorgonia.Nodes, _, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	dx, err := applied(NewConvDataGrad(o.Layer, o.Batch, o.Window), in[1], dy)
	if err != nil {
		return nil, err
	}
	dw, err := applied(NewConvWeightGrad(o.Layer, o.Batch, o.Window), in[0], dy)
	if err != nil {
		return nil, err
	}
	return o.withBiasGrad(dx, dw, NewBiasGrad(o.Layer, o.Batch, o.Out), dy)
}

// ConvDataGrad is the gradient of Conv to its image: (w, dy) → dx.
type ConvDataGrad struct {
	meta
	Window
}

// NewConvDataGrad makes the data gradient of a layer's convolution.
func NewConvDataGrad(layer string, batch int, w Window) *ConvDataGrad {
	o := &ConvDataGrad{Window: w}
	o.meta = meta{
		kind: "conv-data-grad", Layer: layer, Batch: batch, params: fmt.Sprintf("%+v", w),
		in:  []tensor.Shape{w.Weights(), nhwc(batch, w.Out)},
		out: nhwc(batch, w.In),
		f32: func(in [][]float32, out []float32) { convDataGrad(o.Batch, o.Window, in[0], in[1], out) },
		f64: func(in [][]float64, out []float64) { convDataGrad(o.Batch, o.Window, in[0], in[1], out) },
	}
	return o
}

// ConvWeightGrad is the gradient of Conv to its weights: (x, dy) → dw.
type ConvWeightGrad struct {
	meta
	Window
}

// NewConvWeightGrad makes the weight gradient of a layer's convolution.
func NewConvWeightGrad(layer string, batch int, w Window) *ConvWeightGrad {
	o := &ConvWeightGrad{Window: w}
	o.meta = meta{
		kind: "conv-weight-grad", Layer: layer, Batch: batch, params: fmt.Sprintf("%+v", w),
		in:  []tensor.Shape{nhwc(batch, w.In), nhwc(batch, w.Out)},
		out: w.Weights(),
		f32: func(in [][]float32, out []float32) { convWeightGrad(o.Batch, o.Window, in[0], in[1], out) },
		f64: func(in [][]float64, out []float64) { convWeightGrad(o.Batch, o.Window, in[0], in[1], out) },
	}
	return o
}

func conv[T float](batch int, w Window, x, weights, bias, y []T) {
	for i := range y {
		if bias != nil {
			y[i] = bias[i%w.Out.Channels]
		}
	}
	w.products(batch, func(xi, wi, yi int) { y[yi] += x[xi] * weights[wi] })
}

func convDataGrad[T float](batch int, w Window, weights, dy, dx []T) {
	w.products(batch, func(xi, wi, yi int) { dx[xi] += dy[yi] * weights[wi] })
}

func convWeightGrad[T float](batch int, w Window, x, dy, dw []T) {
	w.products(batch, func(xi, wi, yi int) { dw[wi] += x[xi] * dy[yi] })
}

// MACs counts every product once.
func (o *Conv) MACs() int64 { return o.Window.macs(o.Batch) }

// Class returns Product.
func (o *Conv) Class() Class { return Product }

// Shard divides by output channels.
func (o *Conv) Shard(s Split) (Shard, error) {
	return s.conv(o, o.Window, func(w Window) Op { return o.at(w) })
}

// MACs counts every product once.
func (o *ConvDataGrad) MACs() int64 { return o.Window.macs(o.Batch) }

// Class returns Product.
func (o *ConvDataGrad) Class() Class { return Product }

// Shard divides by input channels.
func (o *ConvDataGrad) Shard(s Split) (Shard, error) {
	return s.dataGrad(o, o.Window, func(w Window) Op { return NewConvDataGrad(o.Layer, o.Batch, w) })
}

// MACs counts every product once.
func (o *ConvWeightGrad) MACs() int64 { return o.Window.macs(o.Batch) }

// Class returns WeightProduct.
func (o *ConvWeightGrad) Class() Class { return WeightProduct }

// Shard divides by output channels.
func (o *ConvWeightGrad) Shard(s Split) (Shard, error) {
	return s.conv(o, o.Window, func(w Window) Op { return NewConvWeightGrad(o.Layer, o.Batch, w) })
}

var _ = builds(func(b *builder, p arch.LayerInfo, l *arch.Conv, x *gorgonia.Node) (*gorgonia.Node, error) {
	op := NewConv(p.Layer.Name, b.g.Batch, Window{In: p.In, Out: p.Out, Kernel: l.Kernel, Stride: l.Stride, Pad: l.Pad,
		Groups: p.Groups})
	if !l.Bias {
		return applied(op.WithoutBias(), x, b.weights(op.Layer, op.Weights(), l.Init, l.LR, l.Decay))
	}
	w, bias := b.params(op.Layer, op.Weights(), l.Filters, l.Init, l.LR, l.Decay)
	return applied(op, x, w, bias)
})
