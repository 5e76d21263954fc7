// Package graph states what a net computes. It turns an arch.Net into a Gorgonia ExprGraph of our
// own ops, to which Gorgonia's symbolic differentiation adds the gradients. Package engine decides
// how the graph is computed.
//
// Gorgonia's own layers, solvers, initialisers and random numbers are not used: its dropout
// gradient is wrong for rates other than a half, its momentum decays the velocity, and all
// its random numbers depend on the clock.
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
	Hidden *gorgonia.Node // what the last layer with weights reads
	Loss   *gorgonia.Node // scalar, the mean over the batch; nil in evaluation
	Params []Param
	Clock  *Clock // read by dropout when Gorgonia's machine runs the graph
}

// A Param is something that training changes: a layer's weights or biases.
type Param struct {
	Name  string // conv1.weight, conv1.bias
	Layer string // conv1
	Node  *gorgonia.Node
	Grad  *gorgonia.Node // nil in evaluation; for an average, the batch's value
	Shape []int
	// Channels is the number of the layer's channels. The values are divided by them if each device
	// has a column.
	Channels int
	FanIn    int // inputs to one unit
	Bias     bool
	Init     arch.Init
	LR       float64 // multiplies the recipe's learning rate
	Decay    float64 // multiplies the recipe's weight decay
	// Average makes the parameter a running average of Grad, in which each batch has the share
	// Average, instead of descending along Grad. It is 0 for learned parameters.
	Average float64
}

// construction guards graph building: Gorgonia shares constants between graphs
// and caches their hashes without a lock.
var construction sync.Mutex

// Build makes the graph of a net. If train is true, dropout draws masks, and the graph includes
// the loss and its gradients.
func Build(net *arch.Net, batch int, train bool) (*Graph, error) {
	return build(net, batch, train, tensor.Float32)
}

// BuildSoft makes the graph of a net that is trained on shares of classes: Labels has the shape
// [batch, classes].
func BuildSoft(net *arch.Net, batch int) (*Graph, error) {
	return builder{dt: tensor.Float32, train: true, soft: true}.build(net, batch)
}

// build takes the float type as an argument, because central differences need float64.
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
		in, params := b.inputsOf(p, outputs), len(b.g.Params)
		if outputs[i], err = b.layer(p, in); err != nil {
			return nil, fmt.Errorf("net %s, layer %s: %w", net.Name, p.Layer.Name, err)
		}
		if len(b.g.Params) > params && !b.g.Params[params].Bias {
			b.g.Hidden = in[0]
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

// input adds a node whose value is given from outside. Names must differ: Gorgonia merges inputs
// of equal name, type and shape.
func (b *builder) input(name string, s tensor.Shape) *gorgonia.Node {
	return gorgonia.NewTensor(b.g.Expr, b.dt, s.Dims(), gorgonia.WithShape(s...), gorgonia.WithName(name))
}

// weights adds a layer's weights.
func (b *builder) weights(layer string, weights []int, init arch.Init, lr, decay arch.Factor) *gorgonia.Node {
	fanIn := 1
	for _, n := range weights[max(0, len(weights)-4) : len(weights)-1] { // the first two of a local layer count its pixels
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

// constant makes a parameter of one value per channel, which has the same initial value
// everywhere.
func (b *builder) constant(layer, what string, channels int, start float64) Param {
	name := layer + "." + what
	return Param{
		Name: name, Layer: layer, Node: b.input(name, tensor.Shape{channels}), Shape: []int{channels},
		Channels: channels, FanIn: 1, Bias: true, Init: arch.Init{Kind: arch.Gaussian, Bias: start},
	}
}

// learned adds such a parameter, without weight decay and with a factor for the learning rate.
func (b *builder) learned(layer, what string, channels int, start, lr float64) *gorgonia.Node {
	p := b.constant(layer, what, channels, start)
	p.LR = lr
	b.g.Params = append(b.g.Params, p)
	return p.Node
}

// average makes the running average of a value of the batch.
func (b *builder) average(layer, what string, channels int, start, share float64) Param {
	p := b.constant(layer, what, channels, start)
	p.Average = share
	return p
}

// inputsOf returns the outputs that a layer reads.
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

// builders make the ops of a layer, by the type of its kind. Each is defined beside the op that it
// makes.
var builders = map[reflect.Type]func(*builder, arch.LayerInfo, []*gorgonia.Node) (*gorgonia.Node, error){}

// builds registers how a kind of layer is built as ops on x.
func builds[S arch.Spec](f func(b *builder, p arch.LayerInfo, l S, x *gorgonia.Node) (*gorgonia.Node, error)) struct{} {
	return joins(func(b *builder, p arch.LayerInfo, l S, in []*gorgonia.Node) (*gorgonia.Node, error) {
		return f(b, p, l, in[0])
	})
}

// joins registers how the end of a part is built as ops on the outputs that meet there.
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
