package graph

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"ablate/arch"
)

// BatchMean is each channel's mean over images and pixels: x → [C].
type BatchMean struct {
	meta
	Shape arch.Shape
}

// NewBatchMean makes the mean of a batch-norm layer.
func NewBatchMean(layer string, batch int, s arch.Shape) *BatchMean {
	o := &BatchMean{Shape: s}
	o.meta = meta{
		kind: "batch-mean", Layer: layer, Batch: batch, params: fmt.Sprintf("%+v", s),
		in:  []tensor.Shape{nhwc(batch, s)},
		out: tensor.Shape{s.Channels},
		f32: func(in [][]float32, out []float32) { batchMean(in[0], out) },
		f64: func(in [][]float64, out []float64) { batchMean(in[0], out) },
	}
	return o
}

// DiffWRT reports no gradients: BatchNorm's own gradient allows for the mean's dependence on x.
func (o *BatchMean) DiffWRT(n int) []bool { return all(0, n) }

// BatchVariance is each channel's mean squared distance from its mean: (x, mean) → [C].
type BatchVariance struct {
	meta
	Shape arch.Shape
}

// NewBatchVariance makes the variance of a batch-norm layer.
func NewBatchVariance(layer string, batch int, s arch.Shape) *BatchVariance {
	o := &BatchVariance{Shape: s}
	o.meta = meta{
		kind: "batch-variance", Layer: layer, Batch: batch, params: fmt.Sprintf("%+v", s),
		in:  []tensor.Shape{nhwc(batch, s), {s.Channels}},
		out: tensor.Shape{s.Channels},
		f32: func(in [][]float32, out []float32) { batchVariance(in[0], in[1], out) },
		f64: func(in [][]float64, out []float64) { batchVariance(in[0], in[1], out) },
	}
	return o
}

// DiffWRT reports no gradients, as for BatchMean.
func (o *BatchVariance) DiffWRT(n int) []bool { return all(0, n) }

// BatchNorm is y = scale·(x − mean)/√(variance + Epsilon) + shift for each channel: (x, mean,
// variance, scale, shift, each [C] except x) → y. In training, mean and variance are those of x,
// and the gradient allows for this; in evaluation they are given.
type BatchNorm struct {
	meta
	Shape   arch.Shape
	Epsilon float64
}

// NewBatchNorm makes a batch-norm layer.
func NewBatchNorm(layer string, batch int, s arch.Shape, epsilon float64) *BatchNorm {
	o := &BatchNorm{Shape: s, Epsilon: epsilon}
	o.meta = meta{
		kind: "batch-norm", Layer: layer, Batch: batch, params: fmt.Sprintf("%+v %v", s, epsilon),
		in:  []tensor.Shape{nhwc(batch, s), {s.Channels}, {s.Channels}, {s.Channels}, {s.Channels}},
		out: nhwc(batch, s),
		f32: func(in [][]float32, out []float32) {
			batchNorm(normal[float32]{epsilon, in[1], in[2]}, in[0], in[3], in[4], out)
		},
		f64: func(in [][]float64, out []float64) {
			batchNorm(normal[float64]{epsilon, in[1], in[2]}, in[0], in[3], in[4], out)
		},
	}
	return o
}

// DiffWRT reports gradients of the input, the scale and the shift, but not of mean and variance.
func (o *BatchNorm) DiffWRT(n int) []bool {
	wrt := all(n, n)
	wrt[1], wrt[2] = false, false
	return wrt
}

// SymDiff returns the gradients to the input, the scale and the shift.
func (o *BatchNorm) SymDiff(in gorgonia.Nodes, _, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	dshift, err := applied(NewBiasGrad(o.Layer, o.Batch, o.Shape), dy)
	if err != nil {
		return nil, err
	}
	dscale, err := applied(NewBatchNormScaleGrad(o.Layer, o.Batch, o.Shape, o.Epsilon), in[0], in[1], in[2], dy)
	if err != nil {
		return nil, err
	}
	dx, err := applied(NewBatchNormGrad(o.Layer, o.Batch, o.Shape, o.Epsilon), in[0], in[1], in[2], in[3], dscale,
		dshift, dy)
	return gorgonia.Nodes{dx, nil, nil, dscale, dshift}, err
}

// BatchNormScaleGrad is the gradient to the scale: (x, mean, variance, dy) → Σ dy·x̂, where x̂ is
// the normalised x.
type BatchNormScaleGrad struct {
	meta
	Epsilon float64
}

// NewBatchNormScaleGrad makes the gradient to the scale.
func NewBatchNormScaleGrad(layer string, batch int, s arch.Shape, epsilon float64) *BatchNormScaleGrad {
	o := &BatchNormScaleGrad{Epsilon: epsilon}
	o.meta = meta{
		kind: "batch-norm-scale-grad", Layer: layer, Batch: batch, params: fmt.Sprintf("%+v %v", s, epsilon),
		in:  []tensor.Shape{nhwc(batch, s), {s.Channels}, {s.Channels}, nhwc(batch, s)},
		out: tensor.Shape{s.Channels},
		f32: func(in [][]float32, out []float32) {
			batchNormScaleGrad(normal[float32]{epsilon, in[1], in[2]}, in[0], in[3], out)
		},
		f64: func(in [][]float64, out []float64) {
			batchNormScaleGrad(normal[float64]{epsilon, in[1], in[2]}, in[0], in[3], out)
		},
	}
	return o
}

// BatchNormGrad is the gradient to the input in training, where mean and variance are the input's
// own:
//
//	(x, mean, variance, scale, dscale, dshift, dy) → scale/√(variance + ε)·(dy − (dshift + x̂·dscale)/m)
//
// Here m is the number of values in a channel. The sums over the batch are the gradients of shift
// and scale.
type BatchNormGrad struct {
	meta
	Epsilon float64
}

// NewBatchNormGrad makes the gradient to the input.
func NewBatchNormGrad(layer string, batch int, s arch.Shape, epsilon float64) *BatchNormGrad {
	o := &BatchNormGrad{Epsilon: epsilon}
	c := tensor.Shape{s.Channels}
	o.meta = meta{
		kind: "batch-norm-grad", Layer: layer, Batch: batch, params: fmt.Sprintf("%+v %v", s, epsilon),
		in:  []tensor.Shape{nhwc(batch, s), c, c, c, c, c, nhwc(batch, s)},
		out: nhwc(batch, s),
		f32: func(in [][]float32, out []float32) {
			batchNormGrad(normal[float32]{epsilon, in[1], in[2]}, in[0], in[3], in[4], in[5], in[6], out)
		},
		f64: func(in [][]float64, out []float64) {
			batchNormGrad(normal[float64]{epsilon, in[1], in[2]}, in[0], in[3], in[4], in[5], in[6], out)
		},
	}
	return o
}

func batchMean[T float](x, mean []T) {
	m := T(len(x) / len(mean))
	biasGrad(x, mean)
	for c := range mean {
		mean[c] /= m
	}
}

func batchVariance[T float](x, mean, variance []T) {
	m := T(len(x) / len(mean))
	for i, v := range x {
		c := i % len(mean)
		variance[c] += (v - mean[c]) * (v - mean[c]) / m
	}
}

// A normal normalises each channel's values to mean 0 and variance 1.
type normal[T float] struct {
	epsilon        float64
	mean, variance []T
}

// by returns 1/√(variance + ε) of a channel.
func (n normal[T]) by(c int) T { return T(1 / math.Sqrt(float64(n.variance[c])+n.epsilon)) }

// of returns x̂ for value i.
func (n normal[T]) of(x []T, i int) T {
	c := i % len(n.mean)
	return (x[i] - n.mean[c]) * n.by(c)
}

func batchNorm[T float](n normal[T], x, scale, shift, y []T) {
	for i := range x {
		c := i % len(scale)
		y[i] = scale[c]*n.of(x, i) + shift[c]
	}
}

func batchNormScaleGrad[T float](n normal[T], x, dy, dscale []T) {
	for i, d := range dy {
		dscale[i%len(dscale)] += d * n.of(x, i)
	}
}

func batchNormGrad[T float](n normal[T], x, scale, dscale, dshift, dy, dx []T) {
	m := T(len(x) / len(scale))
	for i, d := range dy {
		c := i % len(scale)
		dx[i] = scale[c] * n.by(c) * (d - (dshift[c]+n.of(x, i)*dscale[c])/m)
	}
}

// Shard divides by channels.
func (o *BatchMean) Shard(s Split) (Shard, error) {
	return s.own(o, NewBatchMean(o.Layer, o.Batch, s.shape(o.Shape))), nil
}

// Shard divides by channels.
func (o *BatchVariance) Shard(s Split) (Shard, error) {
	return s.own(o, NewBatchVariance(o.Layer, o.Batch, s.shape(o.Shape))), nil
}

// Shard divides by channels.
func (o *BatchNorm) Shard(s Split) (Shard, error) {
	return s.own(o, NewBatchNorm(o.Layer, o.Batch, s.shape(o.Shape), o.Epsilon)), nil
}

// Shard divides by channels.
func (o *BatchNormScaleGrad) Shard(s Split) (Shard, error) {
	return s.own(o, NewBatchNormScaleGrad(o.Layer, o.Batch, s.shape(image(o.in[0])), o.Epsilon)), nil
}

// Shard divides by channels.
func (o *BatchNormGrad) Shard(s Split) (Shard, error) {
	return s.own(o, NewBatchNormGrad(o.Layer, o.Batch, s.shape(image(o.in[0])), o.Epsilon)), nil
}

var _ = builds(func(b *builder, p arch.LayerInfo, l *arch.BatchNorm, x *gorgonia.Node) (*gorgonia.Node, error) {
	return b.batchNorm(p.Layer.Name, l, p.In, x)
})

// batchNorm adds a batch-norm layer: two parameters, and the running averages of the batch's
// statistics.
func (b *builder) batchNorm(name string, l *arch.BatchNorm, s arch.Shape, x *gorgonia.Node) (*gorgonia.Node, error) {
	lr := 0.0 // without scale and shift, these stay 1 and 0
	if l.Affine {
		lr = 1
	}
	scale, shift := b.learned(name, "weight", s.Channels, 1, lr), b.learned(name, "bias", s.Channels, 0, lr)
	mean, variance := b.average(name, "mean", s.Channels, 0, l.Momentum), b.average(name, "variance", s.Channels, 1,
		l.Momentum)
	op := NewBatchNorm(name, b.g.Batch, s, l.Epsilon)
	if !b.train {
		b.g.Params = append(b.g.Params, mean, variance)
		return applied(op, x, mean.Node, variance.Node, scale, shift)
	}
	var err error
	if mean.Grad, err = applied(NewBatchMean(name, b.g.Batch, s), x); err != nil {
		return nil, err
	}
	if variance.Grad, err = applied(NewBatchVariance(name, b.g.Batch, s), x, mean.Grad); err != nil {
		return nil, err
	}
	b.g.Params = append(b.g.Params, mean, variance)
	return applied(op, x, mean.Grad, variance.Grad, scale, shift)
}
