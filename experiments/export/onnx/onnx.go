// Package onnx writes a trained net as an ONNX model (opset 17, IR version 8) that
// evaluates images. The input is NCHW, mean subtracted and scaled as in the recipe,
// or the bytes of images as the data set holds them. The output is the logarithm of
// each class's probability.
//
// github.com/onnx/onnx/blob/main/docs/Operators.md defines the operators, and
// onnx.proto the messages.
package onnx

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"ablate/arch"
	"ablate/experiments/export"
	"ablate/experiments/export/protobuf"
)

// ErrKind is the error for a kind of layer that ONNX has no operators for.
var ErrKind = errors.New("has no form in ONNX")

const (
	opset     = 17
	irVersion = 8
)

// Model returns the ONNX model of a net and its weights. With images it takes raw images, and begins with the steps
// that turn them into inputs. The error names the layer that cannot be written.
func Model(net *arch.Net, weights export.Weights, images *export.Images) ([]byte, error) {
	infos, err := net.Infer()
	if err != nil {
		return nil, err
	}
	b := &builder{weights: weights, value: value{now: "input"}, outputs: make([]value, len(infos))}
	in, out := net.Input, infos[len(infos)-1].Out
	input := valueInfo("input", typeFloat, "N", in.Channels, in.Height, in.Width)
	if images != nil {
		b.now = "images"
		input = valueInfo("images", typeUint8, "N", images.Shape.Height, images.Shape.Width, images.Shape.Channels)
		b.preprocess(in, *images)
	}
	b.input = b.value
	for i, info := range infos {
		b.value = b.output(info.From[0])
		if err := b.layer(info); err != nil {
			return nil, fmt.Errorf("layer %s: %w", info.Layer.Name, err)
		}
		b.outputs[i] = b.value
	}
	var g protobuf.Message
	for _, n := range b.nodes {
		g = g.Bytes(1, n)
	}
	g = g.String(2, net.Name)
	for _, t := range b.initializers {
		g = g.Bytes(5, t)
	}
	g = g.Bytes(11, input)
	g = g.Bytes(12, valueInfo(b.now, typeFloat, "N", out.Channels))
	imports := protobuf.Message{}.String(1, "").Int(2, opset)
	return protobuf.Message{}.Int(1, irVersion).String(2, "ablate").Bytes(7, g).Bytes(8, imports), nil
}

// A builder collects the graph as it goes from layer to layer.
type builder struct {
	weights             export.Weights
	nodes, initializers []protobuf.Message
	input               value   // the first layer's input
	outputs             []value // outputs of the layers so far
	value                       // the input of the next operator
}

// A value is a layer's output.
type value struct {
	now  string // its name
	flat bool   // its shape is [N, C], behind a dense layer
}

// output returns the output of a layer, or the input.
func (b *builder) output(i int) value {
	if i < 0 {
		return b.input
	}
	return b.outputs[i]
}

// preprocess turns images into inputs: their centre, less the mean, scaled, in NCHW.
func (b *builder) preprocess(net arch.Shape, images export.Images) {
	b.then("Cast", nil, integer("to", typeFloat))
	top, left := images.Centre(net)
	if images.Shape.Height != net.Height || images.Shape.Width != net.Width {
		b.then("Slice", []string{
			b.int64s("crop.from", []int64{int64(top), int64(left)}),
			b.int64s("crop.to", []int64{int64(top + net.Height), int64(left + net.Width)}),
			b.int64s("crop.axes", []int64{1, 2}),
		})
	}
	if images.Mean != nil {
		b.then("Sub", []string{b.floats("mean_image", images.CentreMean(net), net.Height, net.Width, net.Channels)})
	}
	b.scalar("Mul", "scale", images.Scale, 1)
	b.then("Transpose", nil, integers("perm", 0, 3, 1, 2))
}

func (b *builder) layer(p arch.LayerInfo) error {
	name := p.Layer.Name
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
		b.then("MaxPool", nil, window(l.Pool)...)
	case *arch.AvgPool:
		b.then("AveragePool", nil, window(l.Pool)...)
	case *arch.MaxAvgPool:
		from := b.now
		b.then("MaxPool", nil, window(l.Pool)...)
		most := b.now
		b.now = from
		b.then("AveragePool", nil, window(l.Pool)...)
		b.then("Add", []string{most})
	case *arch.ReLU:
		b.then("Relu", nil)
	case *arch.LeakyReLU:
		b.then("LeakyRelu", nil, float("alpha", l.Slope))
	case *arch.RReLU: // the mean slope, as in evaluation
		b.then("LeakyRelu", nil, float("alpha", (l.Lower+l.Upper)/2))
	case *arch.PReLU:
		return b.prelu(name, p)
	case *arch.ELU:
		b.then("Elu", nil, float("alpha", l.Alpha))
	case *arch.SELU:
		b.then("Selu", nil)
	case *arch.Sigmoid:
		b.then("Sigmoid", nil)
	case *arch.GroupNorm:
		return b.groupNorm(name, l.Groups, l.Epsilon, p)
	case *arch.LayerNorm:
		return b.groupNorm(name, 1, l.Epsilon, p)
	case *arch.GELU: // x·(1 + erf(x/√2))/2
		in := b.now
		b.scalar("Mul", name+".root", 1/math.Sqrt2, 1)
		b.then("Erf", nil)
		b.scalar("Add", name+".one", 1, 0)
		b.scalar("Mul", name+".half", 0.5, 1)
		b.now = b.node("Mul", []string{in, b.now}, 1)[0]
	case *arch.SiLU:
		in := b.now
		b.then("Sigmoid", nil)
		b.now = b.node("Mul", []string{in, b.now}, 1)[0]
	case *arch.HardSwish:
		b.then("HardSwish", nil)
	case *arch.Arcsinh:
		b.then("Asinh", nil)
	case *arch.Softplus:
		b.then("Softplus", nil)
		b.scalar("Sub", name+".shift", l.Shift, 0)
	case *arch.Tanh:
		b.scalar("Mul", name+".b", l.B, 1)
		b.then("Tanh", nil)
		b.scalar("Mul", name+".a", l.A, 1)
	case *arch.Maxout:
		b.maxout(name, l, p)
	case *arch.GlobalAvgPool:
		if !b.flat {
			b.then("GlobalAveragePool", nil)
		}
	case *arch.Residual:
		b.residual(name, l, p)
	case *arch.SqueezeExcitation:
		in := b.inputs(p)
		if b.value = in[1]; in[1].flat && !in[0].flat {
			b.then("Reshape", []string{b.int64s(name+".shape", []int64{0, int64(p.In.Channels), 1, 1})})
		}
		b.value = value{b.node("Mul", []string{in[0].now, b.now}, 1)[0], in[0].flat}
	case *arch.Branches:
		b.join(l.Join == arch.JoinConcat, b.inputs(p)...)
	case *arch.Dropout: // an inverted dropout does nothing in evaluation
		if !l.Inverted {
			b.scalar("Mul", name+".kept", 1-l.Rate, 1)
		}
	case *arch.SoftmaxLoss:
		b.flatten()
		b.then("LogSoftmax", nil, integer("axis", 1))
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
	inputs := []string{b.floats(name+".weight", w, l.Filters, in, l.Kernel, l.Kernel)}
	if l.Bias {
		inputs = append(inputs, b.floats(name+".bias", bias, l.Filters))
	}
	b.then("Conv", inputs, integers("kernel_shape", l.Kernel, l.Kernel), integers("strides", l.Stride, l.Stride),
		pads(l.Pad),
		integer("group", p.Groups))
	return nil
}

func (b *builder) dense(name string, l *arch.Dense, p arch.LayerInfo) error {
	w, bias, err := b.weights.Dense(l, p)
	if err != nil {
		return err
	}
	b.flatten()
	inputs := []string{b.floats(name+".weight", w, l.Outputs, p.In.Len())}
	if l.Bias {
		inputs = append(inputs, b.floats(name+".bias", bias, l.Outputs))
	}
	b.then("Gemm", inputs, integer("transB", 1))
	return nil
}

// lrn writes a normalisation across maps. ONNX divides alpha by the size. A window that stays within its column needs
// the columns split.
func (b *builder) lrn(name string, l *arch.LRN, p arch.LayerInfo) error {
	if l.Region != arch.AcrossMaps {
		return fmt.Errorf("lrn within a map %w", ErrKind)
	}
	alpha := l.Alpha
	if !*l.AlphaOverSize {
		alpha *= float64(l.Size)
	}
	attributes := []protobuf.Message{
		integer("size", l.Size), float("alpha", alpha), float("beta", l.Beta), float("bias", l.K),
	}
	if p.Groups == 1 {
		b.then("LRN", nil, attributes...)
		return nil
	}
	sizes := make([]int64, p.Groups)
	for i := range sizes {
		sizes[i] = int64(p.In.Channels / p.Groups)
	}
	columns := b.node("Split", []string{b.now, b.int64s(name+".columns", sizes)}, p.Groups, integer("axis", 1))
	for i, c := range columns {
		columns[i] = b.node("LRN", []string{c}, 1, attributes...)[0]
	}
	b.now = b.node("Concat", columns, 1, integer("axis", 1))[0]
	return nil
}

func (b *builder) batchNorm(name string, l *arch.BatchNorm, p arch.LayerInfo) error {
	var inputs []string
	for _, what := range []string{"weight", "bias", "mean", "variance"} {
		v, err := b.weights.Take(name+"."+what, p.In.Channels)
		if err != nil {
			return err
		}
		inputs = append(inputs, b.floats(name+"."+what, v, p.In.Channels))
	}
	b.then("BatchNormalization", inputs, float("epsilon", l.Epsilon))
	return nil
}

// groupNorm arranges each group's values in a row of their own, which InstanceNormalization normalises. It then scales
// and shifts the result.
func (b *builder) groupNorm(name string, groups int, epsilon float64, p arch.LayerInfo) error {
	shape, back := []int{p.In.Channels, 1, 1}, []int64{0, int64(p.In.Channels), int64(p.In.Height), int64(p.In.Width)}
	if b.flat {
		shape, back = shape[:1], back[:2]
	}
	ones := slices.Repeat([]float32{1}, groups)
	b.then("Reshape", []string{b.int64s(name+".groups", []int64{0, int64(groups), -1})})
	b.then("InstanceNormalization", []string{b.floats(name+".ones", ones, groups),
		b.floats(name+".zeros", make([]float32, groups), groups)}, float("epsilon", epsilon))
	b.then("Reshape", []string{b.int64s(name+".shape", back)})
	for _, what := range [][2]string{{"weight", "Mul"}, {"bias", "Add"}} {
		v, err := b.weights.Take(name+"."+what[0], p.In.Channels)
		if err != nil {
			return err
		}
		b.then(what[1], []string{b.floats(name+"."+what[0], v, shape...)})
	}
	return nil
}

func (b *builder) prelu(name string, p arch.LayerInfo) error {
	slope, err := b.weights.Take(name+".slope", p.In.Channels)
	if err != nil {
		return err
	}
	shape := []int{p.In.Channels, 1, 1}
	if b.flat {
		shape = shape[:1]
	}
	b.then("PRelu", []string{b.floats(name+".slope", slope, shape...)})
	return nil
}

// maxout arranges the pieces of a unit along an axis of their own and takes the largest.
func (b *builder) maxout(name string, l *arch.Maxout, p arch.LayerInfo) {
	shape := []int64{0, int64(p.Out.Channels), int64(l.Pieces)} // 0 keeps the batch
	if !b.flat {
		shape = append(shape, int64(p.In.Height), int64(p.In.Width))
	}
	b.then("Reshape", []string{b.int64s(name+".pieces", shape)})
	b.then("ReduceMax", nil, integers("axes", 2), integer("keepdims", 0))
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
func (b *builder) join(concat bool, in ...value) {
	flat := slices.ContainsFunc(in, func(v value) bool { return v.flat })
	var names []string
	for _, v := range in {
		b.value = v
		if flat {
			b.flatten()
		}
		names = append(names, b.now)
	}
	b.flat = flat
	if concat {
		b.now = b.node("Concat", names, 1, integer("axis", 1))[0]
	} else {
		b.now = b.node("Sum", names, 1)[0]
	}
}

// residual joins a block's shortcut and the output of its layers.
func (b *builder) residual(name string, l *arch.Residual, p arch.LayerInfo) {
	in := b.inputs(p)
	if l.Shortcut == arch.ShortcutPad && p.In != p.Out {
		stride, _ := arch.StrideBetween(p.In, p.Out)
		b.value = in[1]
		b.then("Slice", []string{
			b.int64s(name+".starts", []int64{0, 0}), b.int64s(name+".ends", []int64{int64(p.In.Height), int64(p.In.Width)}),
			b.int64s(name+".axes", []int64{2, 3}), b.int64s(name+".steps", []int64{int64(stride), int64(stride)}),
		})
		more := int64(p.Out.Channels - p.In.Channels)
		b.then("Pad", []string{b.int64s(name+".pads", []int64{0, 0, 0, 0, 0, more, 0, 0})})
		in[1] = b.value
	}
	b.join(l.Shortcut == arch.ShortcutConcat, in...)
}

func (b *builder) flatten() {
	if !b.flat {
		b.then("Flatten", nil, integer("axis", 1))
		b.flat = true
	}
}

// node adds an operator and returns the names of its outputs.
func (b *builder) node(op string, inputs []string, outputs int, attributes ...protobuf.Message) []string {
	var m protobuf.Message
	for _, in := range inputs {
		m = m.String(1, in)
	}
	name := fmt.Sprintf("%s_%d", op, len(b.nodes)+1)
	names := make([]string, outputs)
	for i := range names {
		names[i] = fmt.Sprintf("%s.%d", name, i)
		m = m.String(2, names[i])
	}
	m = m.String(3, name).String(4, op)
	for _, a := range attributes {
		m = m.Bytes(5, a)
	}
	b.nodes = append(b.nodes, m)
	return names
}

// then adds an operator after the last one.
func (b *builder) then(op string, more []string, attributes ...protobuf.Message) {
	b.now = b.node(op, append([]string{b.now}, more...), 1, attributes...)[0]
}

// scalar adds an operator with a number, unless the number changes nothing.
func (b *builder) scalar(op, name string, v, neutral float64) {
	if v != neutral {
		b.then(op, []string{b.floats(name, []float32{float32(v)})})
	}
}
