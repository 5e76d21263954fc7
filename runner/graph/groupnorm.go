package graph

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"ablate/arch"
)

// Groups is the geometry of a group norm. Each of several devices makes N channels from channel
// First on.
type Groups struct {
	Shape    arch.Shape
	Groups   int
	Epsilon  float64
	First, N int
}

// GroupNorm normalises the values of each group of an image's channels to mean 0 and variance 1,
// then scales and shifts every channel: (x, scale [C], shift [C]) → y.
type GroupNorm struct {
	meta
	Groups
}

// NewGroupNorm makes a group-norm layer.
func NewGroupNorm(layer string, batch int, g Groups) *GroupNorm {
	o := &GroupNorm{Groups: g}
	o.meta = meta{
		kind: "group-norm", Layer: layer, Batch: batch, params: fmt.Sprintf("%+v", g),
		in:  []tensor.Shape{nhwc(batch, g.Shape), {g.N}, {g.N}},
		out: nhwc(batch, g.part()),
		f32: func(in [][]float32, out []float32) { groupNorm(g, in[0], in[1], in[2], out) },
		f64: func(in [][]float64, out []float64) { groupNorm(g, in[0], in[1], in[2], out) },
	}
	return o
}

// WholeGroups returns the geometry on a single device.
func WholeGroups(s arch.Shape, groups int, epsilon float64) Groups {
	return Groups{Shape: s, Groups: groups, Epsilon: epsilon, N: s.Channels}
}

// part returns the shape of the output.
func (g Groups) part() arch.Shape {
	s := g.Shape
	s.Channels = g.N
	return s
}

// of returns the geometry for one of several devices.
func (g Groups) of(s Split) Groups {
	first, n := Sharding{1, g.N, 1}.Block(s.I, s.Of)
	g.First, g.N = g.First+first, n
	return g
}

// DiffWRT reports that all inputs have gradients.
func (o *GroupNorm) DiffWRT(n int) []bool { return all(n, n) }

// SymDiff returns the gradients to the input, the scale and the shift.
func (o *GroupNorm) SymDiff(in gorgonia.Nodes, _, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	dx, err := applied(NewGroupNormGrad(o.Layer, o.Batch, o.Groups), in[0], in[1], dy)
	if err != nil {
		return nil, err
	}
	dscale, err := applied(NewGroupNormScaleGrad(o.Layer, o.Batch, o.Groups), in[0], dy)
	if err != nil {
		return nil, err
	}
	dshift, err := applied(NewBiasGrad(o.Layer, o.Batch, o.Shape), dy)
	return gorgonia.Nodes{dx, dscale, dshift}, err
}

// GroupNormScaleGrad is the gradient to the scale: (x, dy) → Σ dy·x̂ over images and pixels, where
// x̂ is the normalised x.
type GroupNormScaleGrad struct {
	meta
	Groups
}

// NewGroupNormScaleGrad makes the gradient to the scale.
func NewGroupNormScaleGrad(layer string, batch int, g Groups) *GroupNormScaleGrad {
	o := &GroupNormScaleGrad{Groups: g}
	o.meta = meta{
		kind: "group-norm-scale-grad", Layer: layer, Batch: batch, params: fmt.Sprintf("%+v", g),
		in:  []tensor.Shape{nhwc(batch, g.Shape), nhwc(batch, g.Shape)},
		out: tensor.Shape{g.N},
		f32: func(in [][]float32, out []float32) { groupNormScaleGrad(g, in[0], in[1], out) },
		f64: func(in [][]float64, out []float64) { groupNormScaleGrad(g, in[0], in[1], out) },
	}
	return o
}

// DiffWRT reports no gradients: nothing flows back through a gradient.
func (o *GroupNormScaleGrad) DiffWRT(n int) []bool { return all(0, n) }

// GroupNormGrad is the gradient to the input, where g is scale·dy and the means are over a group
// of an image:
//
//	(x, scale, dy) → (g − mean(g) − x̂·mean(g·x̂))/√(variance + ε)
type GroupNormGrad struct {
	meta
	Groups
}

// NewGroupNormGrad makes the gradient to the input.
func NewGroupNormGrad(layer string, batch int, g Groups) *GroupNormGrad {
	o := &GroupNormGrad{Groups: g}
	o.meta = meta{
		kind: "group-norm-grad", Layer: layer, Batch: batch, params: fmt.Sprintf("%+v", g),
		in:  []tensor.Shape{nhwc(batch, g.Shape), {g.Shape.Channels}, nhwc(batch, g.Shape)},
		out: nhwc(batch, g.part()),
		f32: func(in [][]float32, out []float32) { groupNormGrad(g, in[0], in[1], in[2], out) },
		f64: func(in [][]float64, out []float64) { groupNormGrad(g, in[0], in[1], in[2], out) },
	}
	return o
}

// DiffWRT reports no gradients: nothing flows back through a gradient.
func (o *GroupNormGrad) DiffWRT(n int) []bool { return all(0, n) }

// over returns the mean of f over the group that contains a value, as a function of the value's
// index in x.
func over[T float](g Groups, x []T, f func(i int) T) func(i int) T {
	size := g.Shape.Channels / g.Groups
	group := func(i int) int { return i/g.Shape.Len()*g.Groups + i%g.Shape.Channels/size }
	sums := make([]T, len(x)/g.Shape.Len()*g.Groups)
	for i := range x {
		sums[group(i)] += f(i) / T(g.Shape.Len()/g.Groups)
	}
	return func(i int) T { return sums[group(i)] }
}

func (g Groups) channel(i int) int { return i % g.Shape.Channels }

// normalised returns x̂ and 1/√(variance + ε), as functions of the index in x.
func normalised[T float](g Groups, x []T) (of, by func(i int) T) {
	mean := over(g, x, func(i int) T { return x[i] })
	variance := over(g, x, func(i int) T { return (x[i] - mean(i)) * (x[i] - mean(i)) })
	by = func(i int) T { return T(1 / math.Sqrt(float64(variance(i))+g.Epsilon)) }
	return func(i int) T { return (x[i] - mean(i)) * by(i) }, by
}

// made calls f for every output value j and its index i in x.
func (g Groups) made(values int, f func(i, j int)) {
	for i, j := 0, 0; i < values; i++ {
		if c := g.channel(i); c >= g.First && c < g.First+g.N {
			f(i, j)
			j++
		}
	}
}

func groupNorm[T float](g Groups, x, scale, shift, y []T) {
	of, _ := normalised(g, x)
	g.made(len(x), func(i, j int) {
		c := g.channel(i) - g.First
		y[j] = of(i)*scale[c] + shift[c]
	})
}

func groupNormScaleGrad[T float](g Groups, x, dy, dscale []T) {
	of, _ := normalised(g, x)
	g.made(len(x), func(i, _ int) { dscale[g.channel(i)-g.First] += dy[i] * of(i) })
}

func groupNormGrad[T float](g Groups, x, scale, dy, dx []T) {
	of, by := normalised(g, x)
	scaled := func(i int) T { return scale[g.channel(i)] * dy[i] }
	mean, product := over(g, x, scaled), over(g, x, func(i int) T { return scaled(i) * of(i) })
	g.made(len(x), func(i, j int) { dx[j] = by(i) * (scaled(i) - mean(i) - of(i)*product(i)) })
}

// Shard divides by channels of the output. Groups may span devices, so each device needs the whole
// image.
func (o *GroupNorm) Shard(s Split) (Shard, error) {
	shard := s.own(o, NewGroupNorm(o.Layer, o.Batch, o.Groups.of(s)))
	shard.In[0] = Sharding{}
	return shard, s.fit(o, o.N)
}

// Shard divides by channels, as for GroupNorm.
func (o *GroupNormScaleGrad) Shard(s Split) (Shard, error) {
	shard := s.own(o, NewGroupNormScaleGrad(o.Layer, o.Batch, o.Groups.of(s)))
	clear(shard.In)
	return shard, s.fit(o, o.N)
}

// Shard divides by channels of the output, as for GroupNorm.
func (o *GroupNormGrad) Shard(s Split) (Shard, error) {
	shard := s.own(o, NewGroupNormGrad(o.Layer, o.Batch, o.Groups.of(s)))
	clear(shard.In)
	return shard, s.fit(o, o.N)
}

var (
	_ = builds(func(b *builder, p arch.LayerInfo, l *arch.GroupNorm, x *gorgonia.Node) (*gorgonia.Node, error) {
		return b.groupNorm(p, WholeGroups(p.In, l.Groups, l.Epsilon), l.Affine, x)
	})
	_ = builds(func(b *builder, p arch.LayerInfo, l *arch.LayerNorm, x *gorgonia.Node) (*gorgonia.Node, error) {
		return b.groupNorm(p, WholeGroups(p.In, 1, l.Epsilon), l.Affine, x)
	})
)

func (b *builder) groupNorm(p arch.LayerInfo, g Groups, affine bool, x *gorgonia.Node) (*gorgonia.Node, error) {
	lr := 0.0 // without scale and shift, these stay 1 and 0
	if affine {
		lr = 1
	}
	name := p.Layer.Name
	scale, shift := b.learned(name, "weight", g.N, 1, lr), b.learned(name, "bias", g.N, 0, lr)
	return applied(NewGroupNorm(name, b.g.Batch, g), x, scale, shift)
}
