// Package torch writes a trained net for PyTorch: model.safetensors, a state
// dict in PyTorch's layout, and model.py, which builds the net and loads it
// without ablate. The net of torchvision's alexnet has torchvision's names.
package torch

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/template"

	"ablate/arch"
	"ablate/experiments"
	"ablate/experiments/export"
)

// ErrKind is the error for a kind of layer that model.py cannot build.
var ErrKind = errors.New("has no form in PyTorch here")

// A Model holds the files of a net for PyTorch.
type Model struct {
	Tensors []experiments.Tensor // the state dict
	Source  []byte               // model.py
}

// torchvision maps the layers of our net to the names in torchvision.models.alexnet, which is the same net.
var torchvision = map[string]string{
	"conv1": "features.0", "conv2": "features.3", "conv3": "features.6", "conv4": "features.8", "conv5": "features.10",
	"fc6": "classifier.1", "fc7": "classifier.4", "fc8": "classifier.6",
}

// torchvisionNames returns the names of torchvision's layers if a net computes in evaluation what torchvision's alexnet
// does, with any number of classes. It returns nil if an edit has changed that.
func torchvisionNames(name string, infos []arch.LayerInfo) (map[string]string, error) {
	const alexnet = "alexnet-torchvision"
	if name != alexnet {
		return nil, nil
	}
	net, err := arch.Nets.Load(alexnet)
	if err != nil {
		return nil, err
	}
	theirs, err := net.Infer()
	if err != nil {
		return nil, err
	}
	ours, theirs := computing(infos), computing(theirs)
	if len(ours) != len(theirs) {
		return nil, nil
	}
	for i := range ours {
		if !alike(ours[i], theirs[i], i >= len(ours)-2) {
			return nil, nil
		}
	}
	return torchvision, nil
}

// computing returns the layers that do something in evaluation.
func computing(infos []arch.LayerInfo) []arch.LayerInfo {
	return slices.DeleteFunc(slices.Clone(infos), func(p arch.LayerInfo) bool {
		_, ok := p.Layer.Spec.(*arch.Dropout)
		return ok
	})
}

// alike reports whether two layers of a chain compute the same with the same weights. The last layers may differ in the
// number of classes.
func alike(a, b arch.LayerInfo, last bool) bool {
	if a.Layer.Spec.Kind() != b.Layer.Spec.Kind() || !last && a.Out != b.Out {
		return false
	}
	switch x := a.Layer.Spec.(type) {
	case *arch.Conv:
		y := b.Layer.Spec.(*arch.Conv)
		return a.Layer.Name == b.Layer.Name && x.Kernel == y.Kernel && x.Stride == y.Stride && x.Pad == y.Pad &&
			a.Groups == b.Groups && x.Bias == y.Bias
	case *arch.Dense:
		return a.Layer.Name == b.Layer.Name && x.Bias == b.Layer.Spec.(*arch.Dense).Bias
	case *arch.MaxPool:
		return x.Pool == b.Layer.Spec.(*arch.MaxPool).Pool
	}
	return true
}

//go:embed model.py.tmpl
var files embed.FS

var source = template.Must(template.ParseFS(files, "model.py.tmpl"))

// New returns the model of a net and its weights. The error names the layer that cannot be written.
func New(net *arch.Net, weights export.Weights) (Model, error) {
	infos, err := net.Infer()
	if err != nil {
		return Model{}, err
	}
	names, err := torchvisionNames(net.Name, infos)
	if err != nil {
		return Model{}, err
	}
	b := &builder{weights: weights, names: names, kept: 1, parts: map[string]bool{}, outputs: make([]value, len(infos))}
	chain := true
	for i, info := range infos {
		chain = chain && len(info.From) == 1 && info.From[0] == i-1
		b.value = b.output(info.From[0])
		if err := b.layer(info); err != nil {
			return Model{}, fmt.Errorf("layer %s: %w", info.Layer.Name, err)
		}
		b.outputs[i] = b.value
	}
	if b.kept != 1 {
		return Model{}, fmt.Errorf("net %s: the dropout before the end has no layer to be folded into", net.Name)
	}
	var text bytes.Buffer
	err = source.Execute(&text, map[string]any{
		"Net": net.Name, "Input": net.Input, "Layers": b.layers, "Parts": b.parts, "Torchvision": b.names != nil,
		"Classes": infos[len(infos)-1].In.Len(), "Chain": chain,
	})
	return Model{Tensors: b.tensors, Source: text.Bytes()}, err
}

// A line is a module of the nn.Sequential, or of a net that is not a chain.
type line struct {
	Name, Module string
	Reads        []string // the modules whose outputs it reads, or input
}

// A value is a layer's output.
type value struct {
	now  string // the module that makes it
	flat bool   // its shape is [N, C]
}

// output returns the output of a layer, or the input.
func (b *builder) output(i int) value {
	if i < 0 {
		return value{now: "input"}
	}
	return b.outputs[i]
}

type builder struct {
	weights   export.Weights
	names     map[string]string // torchvision's names, nil for other nets
	tensors   []experiments.Tensor
	layers    []line
	parts     map[string]bool // modules that model.py must define
	outputs   []value         // outputs of the layers so far
	value                     // the input of the next module
	flattened int             // values
	kept      float32         // dropout's factor in evaluation, to be folded into the next weights
}

func (b *builder) add(name, format string, args ...any) {
	b.layers = append(b.layers, line{name, fmt.Sprintf(format, args...), []string{b.now}})
	b.now = name
}

// own adds a module that model.py defines.
func (b *builder) own(name, class, format string, args ...any) {
	b.parts[class] = true
	b.add(name, class+"("+format+")", args...)
}

func (b *builder) tensor(layer, what string, v []float32, shape ...int) {
	if n, ok := b.names[layer]; ok {
		layer = n
	}
	b.tensors = append(b.tensors, experiments.Tensor{Name: layer + "." + what, Shape: shape, Data: v})
}

func (b *builder) layer(p arch.LayerInfo) error {
	name := p.Layer.Name
	if strings.Contains(name, ".") {
		return fmt.Errorf("PyTorch takes no dot in a module's name; rename the layer")
	}
	switch l := p.Layer.Spec.(type) {
	case *arch.Conv:
		return b.conv(name, l, p)
	case *arch.Dense:
		return b.dense(name, l, p)
	case *arch.LRN:
		return b.lrn(name, l, p)
	case *arch.BatchNorm:
		return b.batchNorm(name, l, p)
	case *arch.MaxPool:
		return b.pool(name, "nn.MaxPool2d(%d, %d, padding=%d, ceil_mode=%s)", l.Pool)
	case *arch.AvgPool:
		return b.pool(name, "nn.AvgPool2d(%d, %d, padding=%d, ceil_mode=%s, count_include_pad=False)", l.Pool)
	case *arch.MaxAvgPool:
		b.parts["MaxAvgPool"] = true
		return b.pool(name, "MaxAvgPool(%d, %d, padding=%d, ceil_mode=%s)", l.Pool)
	case *arch.ReLU:
		b.add(name, "nn.ReLU()")
	case *arch.LeakyReLU:
		b.add(name, "nn.LeakyReLU(%g)", l.Slope)
	case *arch.RReLU:
		b.add(name, "nn.RReLU(%g, %g)", l.Lower, l.Upper)
	case *arch.PReLU:
		slope, err := b.weights.Take(name+".slope", p.In.Channels)
		if err != nil {
			return err
		}
		b.tensor(name, "weight", slope, p.In.Channels)
		b.add(name, "nn.PReLU(%d)", p.In.Channels)
	case *arch.ELU:
		b.add(name, "nn.ELU(%g)", l.Alpha)
	case *arch.SELU:
		b.add(name, "nn.SELU()")
	case *arch.Sigmoid:
		b.add(name, "nn.Sigmoid()")
	case *arch.GroupNorm:
		return b.groupNorm(name, l.Groups, l.Epsilon, p)
	case *arch.LayerNorm:
		return b.groupNorm(name, 1, l.Epsilon, p)
	case *arch.GELU:
		b.add(name, "nn.GELU()")
	case *arch.SiLU:
		b.add(name, "nn.SiLU()")
	case *arch.HardSwish:
		b.add(name, "nn.Hardswish()")
	case *arch.Arcsinh:
		b.own(name, "Arcsinh", "")
	case *arch.Softplus:
		b.own(name, "ShiftedSoftplus", "%g", l.Shift)
	case *arch.Tanh:
		b.own(name, "ScaledTanh", "%g, %g", l.A, l.B)
	case *arch.Maxout:
		b.own(name, "Maxout", "%d", l.Pieces)
	case *arch.Dropout:
		b.dropout(name, l)
	case *arch.GlobalAvgPool:
		if !b.flat {
			b.add(name, "nn.AdaptiveAvgPool2d(1)")
		}
	case *arch.Residual:
		b.residual(name, l, p)
	case *arch.SqueezeExcitation:
		in := b.inputs(p)
		b.own(name, "Scale", "")
		b.layers[len(b.layers)-1].Reads = []string{in[0].now, in[1].now}
		b.flat = in[0].flat
	case *arch.Branches:
		b.join(name, l.Join == arch.JoinConcat, b.inputs(p))
	case *arch.SoftmaxLoss:
		b.flatten()
		if b.names == nil {
			b.add(name, "nn.LogSoftmax(dim=1)")
		}
	default:
		return fmt.Errorf("a layer of kind %s %w", l.Kind(), ErrKind)
	}
	return nil
}

func (b *builder) conv(name string, l *arch.Conv, p arch.LayerInfo) error {
	in := p.In.Channels / p.Groups
	w, bias, err := b.weights.Conv(l, p)
	if err != nil {
		return err
	}
	b.tensor(name, "weight", b.fold(w), l.Filters, in, l.Kernel, l.Kernel)
	options := ""
	if l.Bias {
		b.tensor(name, "bias", bias, l.Filters)
	} else {
		options = ", bias=False"
	}
	pad := l.Pad.Top
	if l.Pad != (arch.Pad{Top: pad, Bottom: pad, Left: pad, Right: pad}) {
		b.add(name+"_pad", "nn.ZeroPad2d((%d, %d, %d, %d))", l.Pad.Left, l.Pad.Right, l.Pad.Top, l.Pad.Bottom)
		pad = 0
	}
	b.add(name, "nn.Conv2d(%d, %d, %d, stride=%d, padding=%d, groups=%d%s)",
		p.In.Channels, l.Filters, l.Kernel, l.Stride, pad, p.Groups, options)
	return nil
}

func (b *builder) dense(name string, l *arch.Dense, p arch.LayerInfo) error {
	w, bias, err := b.weights.Dense(l, p)
	if err != nil {
		return err
	}
	b.flatten()
	b.tensor(name, "weight", b.fold(w), l.Outputs, p.In.Len())
	options := ""
	if l.Bias {
		b.tensor(name, "bias", bias, l.Outputs)
	} else {
		options = ", bias=False"
	}
	b.add(name, "nn.Linear(%d, %d%s)", p.In.Len(), l.Outputs, options)
	return nil
}

func (b *builder) lrn(name string, l *arch.LRN, p arch.LayerInfo) error {
	if l.Region != arch.AcrossMaps {
		return fmt.Errorf("lrn within a map %w", ErrKind)
	}
	alpha := l.Alpha
	if !*l.AlphaOverSize { // PyTorch divides by the size
		alpha *= float64(l.Size)
	}
	if p.Groups == 1 {
		b.add(name, "nn.LocalResponseNorm(%d, alpha=%g, beta=%g, k=%g)", l.Size, alpha, l.Beta, l.K)
		return nil
	}
	b.own(name, "ColumnLRN", "%d, %d, alpha=%g, beta=%g, k=%g", p.Groups, l.Size, alpha, l.Beta, l.K)
	return nil
}

func (b *builder) batchNorm(name string, l *arch.BatchNorm, p arch.LayerInfo) error {
	for _, what := range [][2]string{{"weight", "weight"}, {"bias", "bias"}, {"mean", "running_mean"},
		{"variance", "running_var"}} {
		v, err := b.weights.Take(name+"."+what[0], p.In.Channels)
		if err != nil {
			return err
		}
		b.tensor(name, what[1], v, p.In.Channels)
	}
	dims := "2d"
	if b.flat {
		dims = "1d"
	}
	b.add(name, "nn.BatchNorm%s(%d, eps=%g, momentum=%g)", dims, p.In.Channels, l.Epsilon, l.Momentum)
	return nil
}

func (b *builder) groupNorm(name string, groups int, epsilon float64, p arch.LayerInfo) error {
	for _, what := range []string{"weight", "bias"} {
		v, err := b.weights.Take(name+"."+what, p.In.Channels)
		if err != nil {
			return err
		}
		b.tensor(name, what, v, p.In.Channels)
	}
	b.add(name, "nn.GroupNorm(%d, %d, eps=%g)", groups, p.In.Channels, epsilon)
	return nil
}

func (b *builder) pool(name, format string, l arch.Pool) error {
	pad := l.Pad.Top
	if l.Pad != (arch.Pad{Top: pad, Bottom: pad, Left: pad, Right: pad}) || 2*pad > l.Kernel {
		return fmt.Errorf("pooling with pad %+v %w", l.Pad, ErrKind)
	}
	ceil := "False"
	if l.Ceil {
		ceil = "True"
	}
	b.add(name, format, l.Kernel, l.Stride, pad, ceil)
	return nil
}

// dropout multiplies by 1 − rate in evaluation unless it is inverted, as
// PyTorch's is. Where the modules are torchvision's, that factor goes into the
// next layer's weights.
func (b *builder) dropout(name string, l *arch.Dropout) {
	switch {
	case l.Inverted:
		b.add(name, "nn.Dropout(%g)", l.Rate)
	case b.names != nil:
		b.kept *= float32(1 - l.Rate)
	default:
		b.own(name, "ScalingDropout", "%g", l.Rate)
	}
}

// fold multiplies weights by the factor left over from a dropout before them.
func (b *builder) fold(w []float32) []float32 {
	for i := range w {
		w[i] *= b.kept
	}
	b.kept = 1
	return w
}

// flatten adds a module of its own for each value that it flattens.
func (b *builder) flatten() {
	if b.flat {
		return
	}
	name := "flatten"
	if b.flattened++; b.flattened > 1 {
		name = fmt.Sprint(name, "_", b.flattened)
	}
	b.add(name, "nn.Flatten()")
	b.flat = true
}

// inputs returns the values that are joined at the end of a part.
func (b *builder) inputs(p arch.LayerInfo) []value {
	var in []value
	for _, i := range p.From {
		in = append(in, b.output(i))
	}
	return in
}

// join adds values or concatenates their channels.
func (b *builder) join(name string, concat bool, in []value) {
	flat := slices.ContainsFunc(in, func(v value) bool { return v.flat })
	var reads []string
	for _, v := range in {
		b.value = v
		if flat {
			b.flatten()
		}
		reads = append(reads, b.now)
	}
	class := "Sum"
	if concat {
		class = "Concat"
	}
	b.own(name, class, "")
	b.layers[len(b.layers)-1].Reads = reads
	b.flat = flat
}

// residual joins a block's shortcut and the output of its layers.
func (b *builder) residual(name string, l *arch.Residual, p arch.LayerInfo) {
	in := b.inputs(p)
	if l.Shortcut == arch.ShortcutPad && p.In != p.Out {
		stride, _ := arch.StrideBetween(p.In, p.Out)
		b.value = in[1]
		b.own(name+"/shortcut", "PadShortcut", "%d, %d", stride, p.Out.Channels-p.In.Channels)
		in[1] = b.value
	}
	b.join(name, l.Shortcut == arch.ShortcutConcat, in)
}
