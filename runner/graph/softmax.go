package graph

import (
	"fmt"
	"math"

	"ablate/arch"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// SoftmaxLoss is the mean over the batch of −log softmax(logits)[label]: (logits [N,1,1,classes],
// labels [N]) → scalar. Labels are class numbers stored as floats, which are exact up to 2²⁴, so
// that a device handles only one type.
type SoftmaxLoss struct {
	meta
	Classes int
}

// NewSoftmaxLoss makes the loss.
func NewSoftmaxLoss(layer string, batch, classes int) *SoftmaxLoss {
	o := &SoftmaxLoss{Classes: classes}
	o.meta = meta{
		kind: "softmax-loss", Layer: layer, Batch: batch, params: fmt.Sprint(classes),
		in:  []tensor.Shape{{batch, 1, 1, classes}, {batch}},
		out: tensor.Shape{},
		f32: func(in [][]float32, out []float32) { softmaxLoss(o.Batch, o.Classes, in[0], in[1], out) },
		f64: func(in [][]float64, out []float64) { softmaxLoss(o.Batch, o.Classes, in[0], in[1], out) },
	}
	return o
}

// DiffWRT reports that the logits have a gradient and the labels have none.
func (o *SoftmaxLoss) DiffWRT(n int) []bool { return all(1, n) }

// SymDiff returns the gradient to the logits.
func (o *SoftmaxLoss) SymDiff(in gorgonia.Nodes, _, dloss *gorgonia.Node) (gorgonia.Nodes, error) {
	dx, err := applied(NewSoftmaxLossGrad(o.Layer, o.Batch, o.Classes), in[0], in[1], dloss)
	return gorgonia.Nodes{dx, nil}, err
}

// SoftmaxLossGrad is the gradient of SoftmaxLoss: (logits, labels, dloss) → (softmax − one-hot)·dloss/N.
type SoftmaxLossGrad struct {
	meta
	Classes int
}

// NewSoftmaxLossGrad makes the gradient of the loss.
func NewSoftmaxLossGrad(layer string, batch, classes int) *SoftmaxLossGrad {
	o := &SoftmaxLossGrad{Classes: classes}
	o.meta = meta{
		kind: "softmax-loss-grad", Layer: layer, Batch: batch, params: fmt.Sprint(classes),
		in:  []tensor.Shape{{batch, 1, 1, classes}, {batch}, {}},
		out: tensor.Shape{batch, 1, 1, classes},
		f32: func(in [][]float32, out []float32) { softmaxLossGrad(o.Batch, o.Classes, in[0], in[1], in[2][0], out) },
		f64: func(in [][]float64, out []float64) { softmaxLossGrad(o.Batch, o.Classes, in[0], in[1], in[2][0], out) },
	}
	return o
}

// LogSumExp returns log Σ exp(row), shifted by the maximum so that it cannot overflow.
func LogSumExp[T float](row []T) float64 {
	top := math.Inf(-1)
	for _, v := range row {
		top = math.Max(top, float64(v))
	}
	var sum float64
	for _, v := range row {
		sum += math.Exp(float64(v) - top)
	}
	return top + math.Log(sum)
}

func softmaxLoss[T float](batch, classes int, logits, labels, loss []T) {
	var sum float64
	for n := range batch {
		row := logits[n*classes : (n+1)*classes]
		sum += LogSumExp(row) - float64(row[int(labels[n])])
	}
	loss[0] = T(sum / float64(batch))
}

func softmaxLossGrad[T float](batch, classes int, logits, labels []T, dloss T, dx []T) {
	for n := range batch {
		row := logits[n*classes : (n+1)*classes]
		z := LogSumExp(row)
		for c, v := range row {
			p := math.Exp(float64(v) - z)
			if c == int(labels[n]) {
				p--
			}
			dx[n*classes+c] = T(p) * dloss / T(batch)
		}
	}
}

// Class returns Float32Only.
func (o *SoftmaxLoss) Class() Class { return Float32Only }

// Shard divides nothing: every device computes the loss.
func (o *SoftmaxLoss) Shard(s Split) (Shard, error) {
	return Shard{Op: o, In: make([]Sharding, o.Arity())}, nil
}

// Class returns Float32Only.
func (o *SoftmaxLossGrad) Class() Class { return Float32Only }

// Shard divides nothing: every device computes the gradient.
func (o *SoftmaxLossGrad) Shard(s Split) (Shard, error) {
	return Shard{Op: o, In: make([]Sharding, o.Arity())}, nil
}

var _ = builds(func(b *builder, p arch.LayerInfo, l *arch.SoftmaxLoss, x *gorgonia.Node) (*gorgonia.Node, error) {
	b.g.Logits = x
	if !b.train {
		return x, nil
	}
	if b.soft {
		b.g.Labels = b.input("targets", tensor.Shape{b.g.Batch, p.In.Channels})
		loss, err := applied(NewSoftTargetLoss(p.Layer.Name, b.g.Batch, p.In.Channels), x, b.g.Labels)
		b.g.Loss = loss
		return loss, err
	}
	b.g.Labels = b.input("labels", tensor.Shape{b.g.Batch})
	loss, err := applied(NewSoftmaxLoss(p.Layer.Name, b.g.Batch, p.In.Channels), x, b.g.Labels)
	b.g.Loss = loss
	return loss, err
})
