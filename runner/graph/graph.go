// Package graph states what a net computes: an arch.Net becomes a Gorgonia
// ExprGraph of our own ops, and Gorgonia's symbolic differentiation gives its
// gradients. How it is computed is engine's business.
//
// Gorgonia's own layers, solvers, initialisers and random numbers are not used:
// its dropout gradient is wrong for rates other than a half, its momentum
// decays the velocity, and everything random starts from the clock.
package graph

import (
	"fmt"
	"sync"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"ablate/arch"
)

// A Graph is one net at one batch size, for training or for evaluation.
type Graph struct {
	Expr   *gorgonia.ExprGraph
	Batch  int
	Input  *gorgonia.Node // [batch, height, width, channels]
	Labels *gorgonia.Node // [batch], class numbers; nil in evaluation
	Logits *gorgonia.Node // [batch, 1, 1, classes]
	Loss   *gorgonia.Node // scalar, the batch's mean; nil in evaluation
	Params []Param
	Clock  *Clock // read by dropout when Gorgonia's machine runs the graph
}

// A Param is what training changes: a layer's weights or biases.
type Param struct {
	Name  string // conv1.weight, conv1.bias
	Node  *gorgonia.Node
	Grad  *gorgonia.Node // nil in evaluation; of an average, the batch's value
	Shape []int
	// Channels of the layer: its values are cut by them when columns have devices of their own.
	Channels int
	FanIn    int // inputs to one unit
	Bias     bool
	Init     arch.Init
	LR       float64 // multiplies the recipe's learning rate
	Decay    float64 // multiplies the recipe's weight decay
	// Average makes it a running average of Grad, a batch's share being Average,
	// instead of something that descends along it. 0 for what is learned.
	Average float64
}

// construction guards graph building: Gorgonia shares constants between graphs
// and caches their hashes without a lock.
var construction sync.Mutex

// Build makes the graph of a net. With train, dropout draws masks and the loss and its gradients are part of it.
func Build(net *arch.Net, batch int, train bool) (*Graph, error) {
	return build(net, batch, train, tensor.Float32)
}

// build takes the float type, because central differences need float64.
func build(net *arch.Net, batch int, train bool, dt tensor.Dtype) (*Graph, error) {
	construction.Lock()
	defer construction.Unlock()
	placed, err := net.Infer()
	if err != nil {
		return nil, err
	}
	b := builder{g: &Graph{Expr: gorgonia.NewGraph(), Batch: batch, Clock: new(Clock)}, dt: dt, train: train}
	b.g.Input = b.input("input", nhwc(batch, net.Input))
	x := b.g.Input
	for _, p := range placed {
		if x, err = b.layer(p, x); err != nil {
			return nil, fmt.Errorf("net %s, layer %s: %w", net.Name, p.Layer.Name, err)
		}
	}
	if !train {
		return b.g, nil
	}
	var wrt gorgonia.Nodes
	for _, p := range b.g.Params {
		if p.Average == 0 {
			wrt = append(wrt, p.Node)
		}
	}
	grads, err := gorgonia.Grad(b.g.Loss, wrt...)
	if err != nil {
		return nil, fmt.Errorf("net %s: differentiate the loss: %w", net.Name, err)
	}
	for i := range b.g.Params {
		if p := &b.g.Params[i]; p.Average == 0 {
			p.Grad, grads = grads[0], grads[1:]
		}
	}
	return b.g, nil
}

type builder struct {
	g     *Graph
	dt    tensor.Dtype
	train bool
}

// input adds a node that is given from outside. Names must differ: Gorgonia merges inputs of equal name, type and shape.
func (b *builder) input(name string, s tensor.Shape) *gorgonia.Node {
	return gorgonia.NewTensor(b.g.Expr, b.dt, s.Dims(), gorgonia.WithShape(s...), gorgonia.WithName(name))
}

// params adds a layer's weights and biases.
func (b *builder) params(layer string, weights []int, biases int, init arch.Init, lr, decay arch.Factor) (w, bias *gorgonia.Node) {
	fanIn := 1
	for _, n := range weights[max(0, len(weights)-4) : len(weights)-1] { // a local layer's first two count its pixels
		fanIn *= n
	}
	channels := weights[len(weights)-1]
	w, bias = b.input(layer+".weight", weights), b.input(layer+".bias", tensor.Shape{biases})
	b.g.Params = append(b.g.Params,
		Param{Name: layer + ".weight", Node: w, Shape: weights, Channels: channels, FanIn: fanIn, Init: init, LR: lr.Weight, Decay: decay.Weight},
		Param{Name: layer + ".bias", Node: bias, Shape: []int{biases}, Channels: channels, FanIn: fanIn, Bias: true, Init: init, LR: lr.Bias, Decay: decay.Bias})
	return w, bias
}

// constant makes a parameter of one value a channel that starts at the same value everywhere.
func (b *builder) constant(name string, channels int, start float64) Param {
	return Param{Name: name, Node: b.input(name, tensor.Shape{channels}), Shape: []int{channels}, Channels: channels, FanIn: 1,
		Bias: true, Init: arch.Init{Kind: arch.Gaussian, Bias: start}}
}

// learned adds such a parameter, which does not decay, with a factor for the learning rate.
func (b *builder) learned(name string, channels int, start, lr float64) *gorgonia.Node {
	p := b.constant(name, channels, start)
	p.LR = lr
	b.g.Params = append(b.g.Params, p)
	return p.Node
}

// average makes the running average of a batch's value.
func (b *builder) average(name string, channels int, start, share float64) Param {
	p := b.constant(name, channels, start)
	p.Average = share
	return p
}

// batchNorm adds a batch-norm layer, which is two parameters and the running averages of the batch's statistics.
func (b *builder) batchNorm(name string, l *arch.BatchNorm, s arch.Shape, x *gorgonia.Node) (*gorgonia.Node, error) {
	lr := 0.0 // without scale and shift these stay 1 and 0
	if l.Affine {
		lr = 1
	}
	scale, shift := b.learned(name+".weight", s.Channels, 1, lr), b.learned(name+".bias", s.Channels, 0, lr)
	mean, variance := b.average(name+".mean", s.Channels, 0, l.Momentum), b.average(name+".variance", s.Channels, 1, l.Momentum)
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

// layer adds one layer on top of x.
func (b *builder) layer(p arch.LayerInfo, x *gorgonia.Node) (*gorgonia.Node, error) {
	name, batch := p.Layer.Name, b.g.Batch
	switch l := p.Layer.Spec.(type) {
	case *arch.Conv:
		op := NewConv(name, batch, Window{In: p.In, Out: p.Out, Kernel: l.Kernel, Stride: l.Stride, Pad: l.Pad, Groups: p.Groups})
		w, bias := b.params(name, op.Weights(), l.Filters, l.Init, l.LR, l.Decay)
		return applied(op, x, w, bias)
	case *arch.Dense:
		op := NewDense(name, batch, p.In, l.Outputs)
		w, bias := b.params(name, []int{op.inputs(), l.Outputs}, l.Outputs, l.Init, l.LR, l.Decay)
		return applied(op, x, w, bias)
	case *arch.ReLU:
		return applied(NewUnit(name, batch, p.In, ReLU, 0, 0), x)
	case *arch.Tanh:
		return applied(NewUnit(name, batch, p.In, Tanh, l.A, l.B), x)
	case *arch.Sigmoid:
		return applied(NewUnit(name, batch, p.In, Sigmoid, 0, 0), x)
	case *arch.LeakyReLU:
		return applied(NewUnit(name, batch, p.In, LeakyReLU, l.Slope, 0), x)
	case *arch.RReLU:
		return applied(NewRReLU(name, batch, p.In, *l, b.train, b.g.Clock), x)
	case *arch.SpatialPyramid:
		return applied(NewPyramidPool(name, batch, p.In, l.Levels), x)
	case *arch.PReLU:
		return applied(NewPReLU(name, batch, p.In), x, b.learned(name+".slope", p.In.Channels, l.Slope, 1))
	case *arch.ELU:
		return applied(NewUnit(name, batch, p.In, ELU, l.Alpha, 1), x)
	case *arch.SELU:
		return applied(NewUnit(name, batch, p.In, ELU, seluAlpha, seluScale), x)
	case *arch.Softplus:
		return applied(NewUnit(name, batch, p.In, Softplus, l.Shift, 0), x)
	case *arch.Arcsinh:
		return applied(NewUnit(name, batch, p.In, Arcsinh, 0, 0), x)
	case *arch.Maxout:
		return applied(NewMaxout(name, batch, p.In, l.Pieces), x)
	case *arch.BatchNorm:
		return b.batchNorm(name, l, p.In, x)
	case *arch.Local:
		op := NewLocal(name, batch, Window{In: p.In, Out: p.Out, Kernel: l.Kernel, Stride: l.Stride, Pad: l.Pad, Groups: p.Groups})
		w, bias := b.params(name, op.LocalWeights(), op.Out.Len(), l.Init, l.LR, l.Decay)
		return applied(op, x, w, bias)
	case *arch.LRN:
		return applied(NewLRN(name, batch, p.In, norm(l, p.Groups)), x)
	case *arch.MaxPool:
		return applied(NewMaxPool(name, batch, Window{In: p.In, Out: p.Out, Kernel: l.Kernel, Stride: l.Stride, Pad: l.Pad, Groups: 1}), x)
	case *arch.AvgPool:
		return applied(NewAvgPool(name, batch, Window{In: p.In, Out: p.Out, Kernel: l.Kernel, Stride: l.Stride, Pad: l.Pad, Groups: 1}), x)
	case *arch.MaxAvgPool:
		return applied(NewMaxAvgPool(name, batch, Window{In: p.In, Out: p.Out, Kernel: l.Kernel, Stride: l.Stride, Pad: l.Pad, Groups: 1}), x)
	case *arch.StochasticPool:
		return applied(NewStochasticPool(name, batch, Window{In: p.In, Out: p.Out, Kernel: l.Kernel, Stride: l.Stride, Pad: l.Pad, Groups: 1}, b.train, b.g.Clock), x)
	case *arch.Dropout:
		return applied(NewDropout(name, batch, p.In, *l, b.train, b.g.Clock), x)
	case *arch.SoftmaxLoss:
		b.g.Logits = x
		if !b.train {
			return x, nil
		}
		b.g.Labels = b.input("labels", tensor.Shape{batch})
		loss, err := applied(NewSoftmaxLoss(batch, p.In.Channels), x, b.g.Labels)
		b.g.Loss = loss
		return loss, err
	default:
		return nil, fmt.Errorf("no op for a layer of kind %s", p.Layer.Spec.Kind())
	}
}

// The constants of the SELU's fixed point (Klambauer et al. 2017, equation 14).
const (
	seluAlpha = 1.6732632423543772
	seluScale = 1.0507009873554805
)

// norm resolves a layer's alpha: the paper's formula does not divide it by the
// window, the 2012 source and most frameworks do.
func norm(l *arch.LRN, groups int) Norm {
	n := Norm{Size: l.Size, Alpha: l.Alpha, Beta: l.Beta, K: l.K, Groups: groups, Within: l.Region == arch.WithinMap}
	if *l.AlphaOverSize {
		n.Alpha /= float64(l.Size)
		if n.Within {
			n.Alpha /= float64(l.Size)
		}
	}
	return n
}
