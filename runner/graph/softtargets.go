package graph

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// SoftTargetLoss is the mean over the batch of −Σ target·log softmax(logits): (logits
// [N,1,1,classes], targets [N,classes]) → scalar. An image's targets are shares of the classes:
// with label smoothing and mixed images, several classes have a share.
type SoftTargetLoss struct {
	meta
	Classes int
}

// NewSoftTargetLoss makes the loss.
func NewSoftTargetLoss(layer string, batch, classes int) *SoftTargetLoss {
	o := &SoftTargetLoss{Classes: classes}
	o.meta = meta{
		kind: "soft-target-loss", Layer: layer, Batch: batch, params: fmt.Sprint(classes),
		in:  []tensor.Shape{{batch, 1, 1, classes}, {batch, classes}},
		out: tensor.Shape{},
		f32: func(in [][]float32, out []float32) { softTargetLoss(o.Batch, o.Classes, in[0], in[1], out) },
		f64: func(in [][]float64, out []float64) { softTargetLoss(o.Batch, o.Classes, in[0], in[1], out) },
	}
	return o
}

// DiffWRT reports that the logits have a gradient and the targets have none.
func (o *SoftTargetLoss) DiffWRT(n int) []bool { return all(1, n) }

// SymDiff returns the gradient to the logits.
func (o *SoftTargetLoss) SymDiff(in gorgonia.Nodes, _, dloss *gorgonia.Node) (gorgonia.Nodes, error) {
	dx, err := applied(NewSoftTargetLossGrad(o.Layer, o.Batch, o.Classes), in[0], in[1], dloss)
	return gorgonia.Nodes{dx, nil}, err
}

// SoftTargetLossGrad is the gradient of SoftTargetLoss:
// (logits, targets, dloss) → (softmax·Σ targets − targets)·dloss/N.
type SoftTargetLossGrad struct {
	meta
	Classes int
}

// NewSoftTargetLossGrad makes the gradient of the loss.
func NewSoftTargetLossGrad(layer string, batch, classes int) *SoftTargetLossGrad {
	o := &SoftTargetLossGrad{Classes: classes}
	o.meta = meta{
		kind: "soft-target-loss-grad", Layer: layer, Batch: batch, params: fmt.Sprint(classes),
		in:  []tensor.Shape{{batch, 1, 1, classes}, {batch, classes}, {}},
		out: tensor.Shape{batch, 1, 1, classes},
		f32: func(in [][]float32, out []float32) {
			softTargetLossGrad(o.Batch, o.Classes, in[0], in[1], in[2][0], out)
		},
		f64: func(in [][]float64, out []float64) {
			softTargetLossGrad(o.Batch, o.Classes, in[0], in[1], in[2][0], out)
		},
	}
	return o
}

// SoftTargetLossOf returns one image's loss.
func SoftTargetLossOf[T float](logits, targets []T) float64 {
	z := LogSumExp(logits)
	var sum float64
	for c, q := range targets {
		sum += float64(float64(q) * (z - float64(logits[c])))
	}
	return sum
}

// SoftTargetGradOf computes one image's gradient; its targets are shares of 1.
func SoftTargetGradOf[T float](logits, targets []T, scale func(p float64) T, dx []T) {
	z := LogSumExp(logits)
	var whole float64
	for _, q := range targets {
		whole += float64(q)
	}
	for c, q := range targets {
		dx[c] = scale(float64(math.Exp(float64(logits[c])-z)*whole) - float64(q))
	}
}

func softTargetLoss[T float](batch, classes int, logits, targets, loss []T) {
	var sum float64
	for n := range batch {
		from, to := n*classes, (n+1)*classes
		sum += SoftTargetLossOf(logits[from:to], targets[from:to])
	}
	loss[0] = T(sum / float64(batch))
}

func softTargetLossGrad[T float](batch, classes int, logits, targets []T, dloss T, dx []T) {
	for n := range batch {
		from, to := n*classes, (n+1)*classes
		SoftTargetGradOf(logits[from:to], targets[from:to], func(p float64) T { return T(p) * dloss / T(batch) },
			dx[from:to])
	}
}

// Class returns Float32Only.
func (o *SoftTargetLoss) Class() Class { return Float32Only }

// Shard divides nothing: every device computes the loss.
func (o *SoftTargetLoss) Shard(s Split) (Shard, error) {
	return Shard{Op: o, In: make([]Sharding, o.Arity())}, nil
}

// Class returns Float32Only.
func (o *SoftTargetLossGrad) Class() Class { return Float32Only }

// Shard divides nothing: every device computes the gradient.
func (o *SoftTargetLossGrad) Shard(s Split) (Shard, error) {
	return Shard{Op: o, In: make([]Sharding, o.Arity())}, nil
}
