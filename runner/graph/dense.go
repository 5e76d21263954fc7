package graph

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"ablate/arch"
)

// Dense is y = x·w + b, with x [N,H,W,C] read as [N, H·W·C], w [H·W·C, outputs], y [N,1,1,outputs].
type Dense struct {
	meta
	In      arch.Shape
	Outputs int
}

func (o *Dense) inputs() int { return o.In.Height * o.In.Width * o.In.Channels }

// NewDense makes a fully connected layer.
func NewDense(layer string, batch int, in arch.Shape, outputs int) *Dense {
	o := &Dense{In: in, Outputs: outputs}
	k := o.inputs()
	o.meta = meta{
		kind: "dense", Layer: layer, Batch: batch, params: fmt.Sprintf("%+v %d", in, outputs),
		in:  []tensor.Shape{nhwc(batch, in), {k, outputs}, {outputs}},
		out: tensor.Shape{batch, 1, 1, outputs},
		f32: func(in [][]float32, out []float32) { dense(o.Batch, k, outputs, in[0], in[1], biasOf(in), out) },
		f64: func(in [][]float64, out []float64) { dense(o.Batch, k, outputs, in[0], in[1], biasOf(in), out) },
	}
	return o
}

// WithoutBias returns the op of a layer that has no biases: its inputs are x and w.
func (o *Dense) WithoutBias() *Dense {
	o.dropBias()
	return o
}

// DiffWRT reports that all inputs have gradients.
func (o *Dense) DiffWRT(n int) []bool { return all(n, n) }

// SymDiff returns the gradients to the input, the weights and the biases.
func (o *Dense) SymDiff(in gorgonia.Nodes, _, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	dx, err := applied(NewDenseDataGrad(o.Layer, o.Batch, o.In, o.Outputs), in[1], dy)
	if err != nil {
		return nil, err
	}
	dw, err := applied(NewDenseWeightGrad(o.Layer, o.Batch, o.In, o.Outputs), in[0], dy)
	if err != nil {
		return nil, err
	}
	return o.withBiasGrad(dx, dw, NewBiasGrad(o.Layer, o.Batch, arch.Shape{Height: 1, Width: 1, Channels: o.Outputs}), dy)
}

// DenseDataGrad is the gradient of Dense to its input: (w, dy) → dx.
type DenseDataGrad struct {
	meta
	In      arch.Shape
	Outputs int
}

// NewDenseDataGrad makes the data gradient of a fully connected layer.
func NewDenseDataGrad(layer string, batch int, in arch.Shape, outputs int) *DenseDataGrad {
	o := &DenseDataGrad{In: in, Outputs: outputs}
	k := in.Height * in.Width * in.Channels
	o.meta = meta{
		kind: "dense-data-grad", Layer: layer, Batch: batch, params: fmt.Sprintf("%+v %d", in, outputs),
		in:  []tensor.Shape{{k, outputs}, {batch, 1, 1, outputs}},
		out: nhwc(batch, in),
		f32: func(in [][]float32, out []float32) { denseDataGrad(o.Batch, k, outputs, in[0], in[1], out) },
		f64: func(in [][]float64, out []float64) { denseDataGrad(o.Batch, k, outputs, in[0], in[1], out) },
	}
	return o
}

// DenseWeightGrad is the gradient of Dense to its weights: (x, dy) → dw.
type DenseWeightGrad struct {
	meta
	In      arch.Shape
	Outputs int
}

// NewDenseWeightGrad makes the weight gradient of a fully connected layer.
func NewDenseWeightGrad(layer string, batch int, in arch.Shape, outputs int) *DenseWeightGrad {
	o := &DenseWeightGrad{In: in, Outputs: outputs}
	k := in.Height * in.Width * in.Channels
	o.meta = meta{
		kind: "dense-weight-grad", Layer: layer, Batch: batch, params: fmt.Sprintf("%+v %d", in, outputs),
		in:  []tensor.Shape{nhwc(batch, in), {batch, 1, 1, outputs}},
		out: tensor.Shape{k, outputs},
		f32: func(in [][]float32, out []float32) { denseWeightGrad(o.Batch, k, outputs, in[0], in[1], out) },
		f64: func(in [][]float64, out []float64) { denseWeightGrad(o.Batch, k, outputs, in[0], in[1], out) },
	}
	return o
}

func dense[T float](batch, k, outputs int, x, w, b, y []T) {
	for n := range batch {
		for o := range outputs {
			var sum T
			if b != nil {
				sum = b[o]
			}
			for i := range k {
				sum += x[n*k+i] * w[i*outputs+o]
			}
			y[n*outputs+o] = sum
		}
	}
}

func denseDataGrad[T float](batch, k, outputs int, w, dy, dx []T) {
	for n := range batch {
		for i := range k {
			var sum T
			for o := range outputs {
				sum += dy[n*outputs+o] * w[i*outputs+o]
			}
			dx[n*k+i] = sum
		}
	}
}

func denseWeightGrad[T float](batch, k, outputs int, x, dy, dw []T) {
	for n := range batch {
		for i := range k {
			for o := range outputs {
				dw[i*outputs+o] += x[n*k+i] * dy[n*outputs+o]
			}
		}
	}
}

// MACs counts every product once.
func (o *Dense) MACs() int64 { return int64(o.Batch) * int64(o.In.Len()) * int64(o.Outputs) }

// Class returns Product.
func (o *Dense) Class() Class { return Product }

// Shard divides by outputs; each device needs the whole input.
func (o *Dense) Shard(s Split) (Shard, error) {
	if err := s.fit(o, o.Outputs); err != nil {
		return Shard{}, err
	}
	part := NewDense(o.Layer, o.Batch, o.In, s.block(o.Outputs))
	if !o.biased() {
		part.dropBias()
	}
	shard := s.own(o, part)
	shard.In[0] = Sharding{}
	return shard, nil
}

// MACs counts every product once.
func (o *DenseWeightGrad) MACs() int64 { return int64(o.Batch) * int64(o.In.Len()) * int64(o.Outputs) }

// Class returns WeightProduct.
func (o *DenseWeightGrad) Class() Class { return WeightProduct }

// Shard divides by outputs.
func (o *DenseWeightGrad) Shard(s Split) (Shard, error) {
	shard := s.own(o, NewDenseWeightGrad(o.Layer, o.Batch, o.In, s.block(o.Outputs)))
	shard.In[0] = Sharding{}
	return shard, nil
}

// MACs counts every product once.
func (o *DenseDataGrad) MACs() int64 { return int64(o.Batch) * int64(o.In.Len()) * int64(o.Outputs) }

// Class returns Product.
func (o *DenseDataGrad) Class() Class { return Product }

// Shard divides by input channels.
func (o *DenseDataGrad) Shard(s Split) (Shard, error) {
	shard := s.own(o, NewDenseDataGrad(o.Layer, o.Batch, s.shape(o.In), o.Outputs))
	shard.In[0] = Sharding{Outer: o.In.Height * o.In.Width, Length: o.In.Channels, Inner: o.Outputs}
	shard.In[1] = Sharding{}
	return shard, nil
}

var _ = builds(func(b *builder, p arch.LayerInfo, l *arch.Dense, x *gorgonia.Node) (*gorgonia.Node, error) {
	op := NewDense(p.Layer.Name, b.g.Batch, p.In, l.Outputs)
	if !l.Bias {
		return applied(op.WithoutBias(), x, b.weights(op.Layer, []int{op.inputs(), l.Outputs}, l.Init, l.LR, l.Decay))
	}
	w, bias := b.params(op.Layer, []int{op.inputs(), l.Outputs}, l.Outputs, l.Init, l.LR, l.Decay)
	return applied(op, x, w, bias)
})
