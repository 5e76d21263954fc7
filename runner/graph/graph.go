// Package graph states what a net computes: an arch.Net becomes a Gorgonia
// ExprGraph of our own ops, and Gorgonia's symbolic differentiation adds its
// gradients. Package engine decides how it is computed.
//
// Gorgonia's own layers, solvers, initialisers and random numbers are not used:
// its dropout gradient is wrong for rates other than a half, its momentum
// decays the velocity, and everything random starts from the clock.
package graph

import (
	"fmt"
	"reflect"
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
	Labels *gorgonia.Node // [batch], class numbers, or shares of classes; nil in evaluation
	Logits *gorgonia.Node // [batch, 1, 1, classes]
	Loss   *gorgonia.Node // scalar, the batch's mean; nil in evaluation
	Params []Param
	Clock  *Clock // read by dropout when Gorgonia's machine runs the graph
}

// A Param is what training changes: a layer's weights or biases.
type Param struct {
	Name  string // conv1.weight, conv1.bias
	Layer string // conv1
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

// BuildSoft makes the graph of a net that is trained on shares of classes: Labels
// are [batch, classes] then.
func BuildSoft(net *arch.Net, batch int) (*Graph, error) {
	return builder{dt: tensor.Float32, train: true, soft: true}.build(net, batch)
}

// build takes the float type, because central differences need float64.
func build(net *arch.Net, batch int, train bool, dt tensor.Dtype) (*Graph, error) {
	return builder{dt: dt, train: train}.build(net, batch)
}

func (b builder) build(net *arch.Net, batch int) (*Graph, error) {
	construction.Lock()
	defer construction.Unlock()
	placed, err := net.Infer()
	if err != nil {
		return nil, err
	}
	b.g = &Graph{Expr: gorgonia.NewGraph(), Batch: batch, Clock: new(Clock)}
	b.g.Input = b.input("input", nhwc(batch, net.Input))
	outputs := make([]*gorgonia.Node, len(placed))
	for i, p := range placed {
		if outputs[i], err = b.layer(p, b.inputsOf(p, outputs)); err != nil {
			return nil, fmt.Errorf("net %s, layer %s: %w", net.Name, p.Layer.Name, err)
		}
	}
	if !b.train {
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
	soft  bool // targets are shares of classes
}

// input adds a node that is given from outside. Names must differ: Gorgonia merges inputs of equal
// name, type and shape.
func (b *builder) input(name string, s tensor.Shape) *gorgonia.Node {
	return gorgonia.NewTensor(b.g.Expr, b.dt, s.Dims(), gorgonia.WithShape(s...), gorgonia.WithName(name))
}

// weights adds a layer's weights.
func (b *builder) weights(layer string, weights []int, init arch.Init, lr, decay arch.Factor) *gorgonia.Node {
	fanIn := 1
	for _, n := range weights[max(0, len(weights)-4) : len(weights)-1] { // a local layer's first two count its pixels
		fanIn *= n
	}
	w := b.input(layer+".weight", weights)
	b.g.Params = append(b.g.Params, Param{
		Name: layer + ".weight", Layer: layer, Node: w, Shape: weights, Channels: weights[len(weights)-1], FanIn: fanIn,
		Init: init, LR: lr.Weight, Decay: decay.Weight,
	})
	return w
}

// params adds a layer's weights and biases.
func (b *builder) params(layer string, weights []int, biases int, init arch.Init, lr, decay arch.Factor) (w,
	bias *gorgonia.Node) {
	w, bias = b.weights(layer, weights, init, lr, decay), b.input(layer+".bias", tensor.Shape{biases})
	of := b.g.Params[len(b.g.Params)-1]
	b.g.Params = append(b.g.Params, Param{
		Name: layer + ".bias", Layer: layer, Node: bias, Shape: []int{biases}, Channels: of.Channels, FanIn: of.FanIn,
		Bias: true, Init: init, LR: lr.Bias, Decay: decay.Bias,
	})
	return w, bias
}

// constant makes a parameter of one value a channel that starts at the same value everywhere.
func (b *builder) constant(layer, what string, channels int, start float64) Param {
	name := layer + "." + what
	return Param{
		Name: name, Layer: layer, Node: b.input(name, tensor.Shape{channels}), Shape: []int{channels},
		Channels: channels, FanIn: 1, Bias: true, Init: arch.Init{Kind: arch.Gaussian, Bias: start},
	}
}

// learned adds such a parameter, which does not decay, with a factor for the learning rate.
func (b *builder) learned(layer, what string, channels int, start, lr float64) *gorgonia.Node {
	p := b.constant(layer, what, channels, start)
	p.LR = lr
	b.g.Params = append(b.g.Params, p)
	return p.Node
}

// average makes the running average of a batch's value.
func (b *builder) average(layer, what string, channels int, start, share float64) Param {
	p := b.constant(layer, what, channels, start)
	p.Average = share
	return p
}

// inputsOf are the outputs that a layer reads.
func (b *builder) inputsOf(p arch.LayerInfo, outputs []*gorgonia.Node) []*gorgonia.Node {
	var in []*gorgonia.Node
	for _, i := range p.From {
		if i < 0 {
			in = append(in, b.g.Input)
		} else {
			in = append(in, outputs[i])
		}
	}
	return in
}

// builders make the ops of a layer, by the type of its kind. Each stands beside
// the op that it makes.
var builders = map[reflect.Type]func(*builder, arch.LayerInfo, []*gorgonia.Node) (*gorgonia.Node, error){}

// builds registers how a kind of layer becomes ops on top of x.
func builds[S arch.Spec](f func(b *builder, p arch.LayerInfo, l S, x *gorgonia.Node) (*gorgonia.Node, error)) struct{} {
	return joins(func(b *builder, p arch.LayerInfo, l S, in []*gorgonia.Node) (*gorgonia.Node, error) {
		return f(b, p, l, in[0])
	})
}

// joins registers how the end of a part becomes ops on top of what comes together there.
func joins[S arch.Spec](f func(b *builder, p arch.LayerInfo, l S,
	in []*gorgonia.Node) (*gorgonia.Node, error)) struct{} {
	builders[reflect.TypeFor[S]()] = func(b *builder, p arch.LayerInfo, in []*gorgonia.Node) (*gorgonia.Node, error) {
		return f(b, p, p.Layer.Spec.(S), in)
	}
	return struct{}{}
}

// layer adds one layer on top of its inputs.
func (b *builder) layer(p arch.LayerInfo, in []*gorgonia.Node) (*gorgonia.Node, error) {
	build, ok := builders[reflect.TypeOf(p.Layer.Spec)]
	if !ok {
		return nil, fmt.Errorf("no op for a layer of kind %s", p.Layer.Spec.Kind())
	}
	return build(b, p, in)
}
