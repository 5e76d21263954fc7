package graph

import (
	"encoding/json"
	"math"
	"os"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"ablate/arch"
	"ablate/arch/archtest"
)

// testNet has every kind of layer. Its pools overlap, and its norms are strong enough to matter.
func testNet() *arch.Net {
	no, yes := false, true
	init := arch.Init{Kind: "he"}
	layer := func(name string, p arch.Spec) arch.Layer { return arch.Layer{Name: name, Spec: p} }
	return &arch.Net{Name: "test", Input: arch.Shape{Height: 7, Width: 8, Channels: 2}, Columns: 2, Layers: []arch.Layer{
		layer("conv1", &arch.Conv{Bias: true, Filters: 4, Kernel: 3, Stride: 1, Pad: arch.Pad{Top: 1, Right: 1},
			Groups: 1, Init: init}),
		layer("relu1", &arch.ReLU{}),
		layer("norm1", &arch.LRN{Size: 3, Alpha: 0.5, AlphaOverSize: &no, Beta: 0.75, K: 2, Region: arch.AcrossMaps}),
		layer("pool1", &arch.MaxPool{Pool: arch.Pool{Kernel: 3, Stride: 2, Ceil: true}}),
		layer("conv2", &arch.Conv{Bias: true, Filters: 4, Kernel: 2, Stride: 1, Groups: 1, WithinColumn: true, Init: init}),
		layer("tanh2", &arch.Tanh{A: 1.2, B: 0.8}),
		layer("norm2", &arch.LRN{Size: 3, Alpha: 0.5, AlphaOverSize: &yes, Beta: 0.75, K: 1, Region: arch.WithinMap}),
		layer("pool2", &arch.AvgPool{Pool: arch.Pool{Kernel: 2, Stride: 1}}),
		layer("fc3", &arch.Dense{Bias: true, Outputs: 5, Init: init}),
		layer("sigmoid3", &arch.Sigmoid{}),
		layer("drop3", &arch.Dropout{Rate: 0.3}),
		layer("fc4", &arch.Dense{Bias: true, Outputs: 3, Init: init}),
		layer("loss", &arch.SoftmaxLoss{}),
	}}
}

// wave fills a tensor with sin(a·j+b).
func wave(n int, a, b float64) []float64 {
	v := make([]float64, n)
	for j := range v {
		v[j] = math.Sin(a*float64(j) + b)
	}
	return v
}

func let(t *testing.T, n *gorgonia.Node, v []float64) {
	t.Helper()
	if err := gorgonia.Let(n, tensor.New(tensor.WithShape(n.Shape()...), tensor.WithBacking(v))); err != nil {
		t.Fatal(err)
	}
}

// The symbolic gradients of every kind of layer, dropout included, agree with
// central differences of the loss in float64, run by Gorgonia's own machine.
func TestGradientsAgainstCentralDifferences(t *testing.T) {
	for _, net := range append(laterNets(), testNet()) {
		t.Run(net.Name, func(t *testing.T) { checkGradients(t, net, math.MaxInt) })
	}
}

// The same holds for every kind that is registered, at some of the parameters.
func TestGradientsOfEveryKind(t *testing.T) {
	for _, kind := range arch.Kinds() {
		t.Run(kind, func(t *testing.T) { checkGradients(t, archtest.Net(t, kind), 3) })
	}
}

// laterNets returns nets with the layers that came after the paper. Each of them is between
// learned layers, so that its gradients to its input and its own parameters count.
func laterNets() []*arch.Net {
	between := func(name string, layers ...arch.Spec) *arch.Net {
		n := &arch.Net{Name: name, Input: arch.Shape{Height: 4, Width: 5, Channels: 2}, Columns: 1, Layers: []arch.Layer{
			{Name: "conv1", Spec: &arch.Conv{Bias: true, Filters: 4, Kernel: 2, Stride: 1, Groups: 1,
				Init: arch.Init{Kind: "he"}}}}}
		for i, l := range layers {
			n.Layers = append(n.Layers, arch.Layer{Name: "x" + string(rune('0'+i)), Spec: l})
		}
		n.Layers = append(n.Layers, arch.Layer{Name: "fc2", Spec: &arch.Dense{Bias: true, Outputs: 3,
			Init: arch.Init{Kind: "he"}}},
			arch.Layer{Name: "loss", Spec: &arch.SoftmaxLoss{}})
		return n
	}
	pad := arch.Pad{Top: 1, Left: 1}
	inner := func(name string, filters, stride int) []arch.Layer {
		return []arch.Layer{
			{Name: name + "1", Spec: &arch.Conv{Filters: filters, Kernel: 3, Stride: stride,
				Pad: arch.Pad{Top: 1, Left: 1, Bottom: 1, Right: 1}, Groups: 1, Init: arch.Init{Kind: "he"}}},
			{Name: name + "2", Spec: &arch.Tanh{A: 1, B: 1}},
		}
	}
	return []*arch.Net{
		between("leaky relu", &arch.LeakyReLU{Slope: 0.3}),
		between("rrelu", &arch.RReLU{Lower: 0.125, Upper: 0.4}),
		between("spatial pyramid", &arch.SpatialPyramid{Levels: []int{1, 3}}),
		between("prelu", &arch.PReLU{Slope: 0.25}),
		between("elu", &arch.ELU{Alpha: 0.7}),
		between("selu", &arch.SELU{}),
		between("softplus", &arch.Softplus{Shift: math.Ln2}),
		between("arcsinh", &arch.Arcsinh{}),
		between("maxout", &arch.Maxout{Pieces: 2}),
		between("batch norm", &arch.BatchNorm{Epsilon: 1e-3, Momentum: 0.1, Affine: true}),
		between("batch norm after relu", &arch.ReLU{}, &arch.BatchNorm{Epsilon: 1e-3, Momentum: 0.1, Affine: true}),
		between("local", &arch.Local{Conv: arch.Conv{Bias: true, Filters: 6, Kernel: 2, Stride: 1, Pad: pad, Groups: 2,
			Init: arch.Init{Kind: "he"}}}),
		between("local with strides", &arch.Local{Conv: arch.Conv{Bias: true, Filters: 3, Kernel: 2, Stride: 2, Groups: 1,
			Init: arch.Init{Kind: "he"}}}, &arch.Tanh{A: 1, B: 1}),
		between("maxavgpool", &arch.MaxAvgPool{Pool: arch.Pool{Kernel: 3, Stride: 2, Pad: pad, Ceil: true}}),
		between("global avgpool", &arch.GlobalAvgPool{}),
		between("no bias", &arch.Conv{Filters: 3, Kernel: 2, Stride: 1, Groups: 1, Init: arch.Init{Kind: "he"}},
			&arch.Dense{Outputs: 4, Init: arch.Init{Kind: "he"}}),
		between("residual", &arch.Residual{Shortcut: arch.ShortcutIdentity, Layers: inner("a", 4, 1)},
			&arch.Residual{Shortcut: arch.ShortcutIdentity, Layers: inner("b", 4, 1)}, &arch.ReLU{}),
		between("pad", &arch.Residual{Shortcut: arch.ShortcutPad, Layers: inner("a", 6, 2)}),
		between("projection", &arch.Residual{Shortcut: arch.ShortcutProjection, Layers: inner("a", 6, 2)}),
		between("projection everywhere", &arch.Residual{Shortcut: arch.ShortcutProjectionAlways, Layers: inner("a", 4, 1)}),
		between("dense connections", &arch.Residual{Shortcut: arch.ShortcutConcat, Layers: inner("a", 3, 1)},
			&arch.Residual{Shortcut: arch.ShortcutConcat, Layers: inner("b", 3, 1)}),
		between("plain", &arch.Residual{Shortcut: arch.ShortcutNone, Layers: inner("a", 4, 1)}),
		between("concat", &arch.Branches{Join: arch.JoinConcat, Paths: [][]arch.Layer{inner("a", 3, 2), inner("b", 2, 2),
			inner("c", 1, 2)}}),
		between("add", &arch.Branches{Join: arch.JoinAdd, Paths: [][]arch.Layer{{}, inner("b", 4, 1), {}, inner("c", 4, 1)}}),
		between("repeat", &arch.Repeat{Times: 3, Layers: []arch.Layer{
			{Name: "block", Spec: &arch.Residual{Shortcut: arch.ShortcutIdentity, Layers: inner("a", 4, 1)}}}}),
		between("stochasticpool", &arch.StochasticPool{Pool: arch.Pool{Kernel: 3, Stride: 2, Pad: pad, Ceil: true}}),
	}
}

// checkGradients checks at most the given number of values of each parameter.
func checkGradients(t *testing.T, net *arch.Net, most int) {
	const batch = 2
	g, err := build(net, batch, true, tensor.Float64)
	if err != nil {
		t.Fatal(err)
	}
	*g.Clock = Clock{Seed: 3, Step: 7}
	let(t, g.Input, wave(g.Input.Shape().TotalSize(), 0.9, 0.1))
	let(t, g.Labels, []float64{2, 0})
	values := map[string][]float64{}
	for i, p := range g.Params {
		values[p.Name] = wave(p.Node.Shape().TotalSize(), 1.3+0.1*float64(i), 0.2)
		let(t, p.Node, values[p.Name])
	}
	loss := func() float64 {
		run(t, g.Expr)
		return g.Loss.Value().Data().(float64)
	}
	loss()
	grads := map[string][]float64{}
	for _, p := range g.Params {
		grads[p.Name] = append([]float64(nil), p.Grad.Value().Data().([]float64)...)
	}
	const h = 1e-6
	for _, p := range g.Params {
		if p.Average > 0 { // it follows the batch, not the loss
			continue
		}
		v := values[p.Name]
		for i := 0; i < len(v); i += 1 + (len(v)-1)/most {
			old := v[i]
			v[i] = old + h
			let(t, p.Node, v)
			up := loss()
			v[i] = old - h
			let(t, p.Node, v)
			down := loss()
			v[i] = old
			let(t, p.Node, v)
			want, got := (up-down)/(2*h), grads[p.Name][i]
			rounding := 1e-15 * math.Abs(up) / h
			if math.Abs(want-got) > 1e-7*math.Max(1, math.Abs(want))+rounding {
				t.Errorf("%s[%d]: gradient %.10g, central difference %.10g", p.Name, i, got, want)
			}
		}
	}
}

// A fixture is a case computed by an independent framework.
type fixture struct {
	Name string
	Args struct {
		Stride, Groups, Kernel, Size int
		Pad                          [4]int // top, bottom, left, right
		Alpha, Beta, K               float64
		Labels                       []float64
	}
	Inputs [][]int
	Output []float64
	Grads  [][]float64
}

// forward makes the op of a fixture.
func (f fixture) forward(t *testing.T) gorgonia.Op {
	t.Helper()
	in := f.Inputs[0]
	batch, shape := in[0], arch.Shape{Height: in[1], Width: in[2], Channels: in[3]}
	window := func(kernel, channels int) Window {
		a := f.Args
		size := func(n, before, after int) int {
			if len(f.Inputs) == 1 { // pools round up
				return (n-kernel+a.Stride-1)/a.Stride + 1
			}
			return (n+before+after-kernel)/a.Stride + 1
		}
		return Window{In: shape, Kernel: kernel, Stride: a.Stride, Groups: max(a.Groups, 1),
			Pad: arch.Pad{Top: a.Pad[0], Bottom: a.Pad[1], Left: a.Pad[2], Right: a.Pad[3]},
			Out: arch.Shape{Height: size(in[1], a.Pad[0], a.Pad[1]), Width: size(in[2], a.Pad[2], a.Pad[3]), Channels: channels}}
	}
	switch f.Name[:4] {
	case "conv":
		return NewConv("l", batch, window(f.Inputs[1][0], f.Inputs[1][3]))
	case "lrn":
		return NewLRN("l", batch, shape, LRNParams{})
	case "maxp":
		return NewMaxPool("l", batch, window(f.Args.Kernel, in[3]))
	case "avgp":
		return NewAvgPool("l", batch, window(f.Args.Kernel, in[3]))
	case "dens":
		return NewDense("l", batch, shape, f.Inputs[1][1])
	case "soft":
		return NewSoftmaxLoss("loss", batch, in[3])
	}
	t.Fatalf("no op for %s", f.Name)
	return nil
}

// Outputs and gradients of the ops agree with PyTorch's on the committed fixtures.
func TestOpsAgainstPyTorch(t *testing.T) {
	text, err := os.ReadFile("testdata/pytorch.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Cases []fixture }
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Cases) != 7 {
		t.Fatalf("%d cases, want 7", len(file.Cases))
	}
	for _, f := range file.Cases {
		t.Run(f.Name, func(t *testing.T) { f.check(t) })
	}
}

func (f fixture) check(t *testing.T) {
	b := builder{g: &Graph{Expr: gorgonia.NewGraph()}, dt: tensor.Float64}
	var nodes gorgonia.Nodes
	for i, s := range f.Inputs {
		n := b.input("input"+string(rune('0'+i)), s)
		let(t, n, wave(tensor.Shape(s).TotalSize(), 0.7+0.1*float64(i), 0.3*float64(i)))
		nodes = append(nodes, n)
	}
	inputs := nodes
	var op gorgonia.Op
	if f.Name == "lrn" {
		// PyTorch divides alpha by the window.
		in := f.Inputs[0]
		op = NewLRN("l", in[0], arch.Shape{Height: in[1], Width: in[2], Channels: in[3]},
			LRNParams{Size: f.Args.Size, Alpha: f.Args.Alpha / float64(f.Args.Size), Beta: f.Args.Beta, K: f.Args.K, Groups: 1})
	} else {
		op = f.forward(t)
	}
	if f.Args.Labels != nil {
		labels := b.input("labels", tensor.Shape{len(f.Args.Labels)})
		let(t, labels, f.Args.Labels)
		inputs = append(inputs[:1:1], labels)
	}
	y, err := applied(op, inputs...)
	if err != nil {
		t.Fatal(err)
	}
	// The scalar to differentiate is Σ y·dy or, for the loss, the loss itself.
	dy := gorgonia.NewConstant(1.0)
	if y.Dims() > 0 {
		dy = b.input("dy", y.Shape())
		let(t, dy, wave(y.Shape().TotalSize(), 0.37, 0.9))
	}
	grads, err := op.(gorgonia.SDOp).SymDiff(inputs, y, dy)
	if err != nil {
		t.Fatal(err)
	}
	machine := gorgonia.NewTapeMachine(b.g.Expr)
	defer machine.Close()
	if err := machine.RunAll(); err != nil {
		t.Fatal(err)
	}
	near(t, "output", y.Value(), f.Output)
	for i := range nodes {
		near(t, "gradient "+string(rune('0'+i)), grads[i].Value(), f.Grads[i])
	}
}

func near(t *testing.T, what string, v gorgonia.Value, want []float64) {
	t.Helper()
	got, ok := v.Data().([]float64)
	if !ok {
		got = []float64{v.Data().(float64)}
	}
	if len(got) != len(want) {
		t.Fatalf("%s has %d values, want %d", what, len(got), len(want))
	}
	for i, w := range want {
		if math.Abs(got[i]-w) > 1e-10 {
			t.Errorf("%s[%d] = %.12g, want %.12g", what, i, got[i], w)
		}
	}
}

// Convolution, max pooling and their gradients agree with Gorgonia's own ops,
// which work on NCHW and do not support groups.
func TestConvolutionAndPoolAgainstGorgonia(t *testing.T) {
	const n, h, w, c, f, k = 2, 8, 7, 3, 4, 3
	in, out := arch.Shape{Height: h, Width: w, Channels: c}, arch.Shape{Height: h, Width: w, Channels: f}
	pooled := arch.Shape{Height: 3, Width: 3, Channels: f}
	b := builder{g: &Graph{Expr: gorgonia.NewGraph()}, dt: tensor.Float64}
	x, weights := wave(n*h*w*c, 0.9, 0), wave(k*k*c*f, 1.1, 0.4)

	ox, ow, ob := b.input("x", nhwc(n, in)), b.input("w", tensor.Shape{k, k, c, f}), b.input("b", tensor.Shape{f})
	let(t, ox, x)
	let(t, ow, weights)
	let(t, ob, make([]float64, f))
	y := apply1(t, NewConv("c", n, Window{In: in, Out: out, Kernel: k, Stride: 1, Pad: arch.Pad{Top: 1, Bottom: 1,
		Left: 1, Right: 1}, Groups: 1}), ox, ow, ob)
	p := apply1(t, NewMaxPool("p", n, Window{In: out, Out: pooled, Kernel: 3, Stride: 2, Groups: 1}), y)
	dp := b.input("dp", p.Shape())
	let(t, dp, wave(p.Shape().TotalSize(), 0.3, 0.2))
	poolGrad, err := p.Op().(gorgonia.SDOp).SymDiff(gorgonia.Nodes{y}, p, dp)
	if err != nil {
		t.Fatal(err)
	}
	convGrad, err := y.Op().(gorgonia.SDOp).SymDiff(gorgonia.Nodes{ox, ow, ob}, y, poolGrad[0])
	if err != nil {
		t.Fatal(err)
	}
	run(t, b.g.Expr)

	g := gorgonia.NewGraph()
	gx := gorgonia.NewTensor(g, tensor.Float64, 4, gorgonia.WithShape(n, c, h, w), gorgonia.WithName("x"))
	gw := gorgonia.NewTensor(g, tensor.Float64, 4, gorgonia.WithShape(f, c, k, k), gorgonia.WithName("w"))
	gd := gorgonia.NewTensor(g, tensor.Float64, 4, gorgonia.WithShape(n, f, 3, 3), gorgonia.WithName("dp"))
	let(t, gx, permute(x, []int{n, h, w, c}, []int{0, 3, 1, 2}))
	let(t, gw, permute(weights, []int{k, k, c, f}, []int{3, 2, 0, 1}))
	let(t, gd, permute(dp.Value().Data().([]float64), []int{n, 3, 3, f}, []int{0, 3, 1, 2}))
	gy := gorgonia.Must(gorgonia.Conv2d(gx, gw, tensor.Shape{k, k}, []int{1, 1}, []int{1, 1}, []int{1, 1}))
	gp := gorgonia.Must(gorgonia.MaxPool2D(gy, tensor.Shape{3, 3}, []int{0, 0}, []int{2, 2}))
	cost := gorgonia.Must(gorgonia.Sum(gorgonia.Must(gorgonia.HadamardProd(gp, gd))))
	grads, err := gorgonia.Grad(cost, gx, gw)
	if err != nil {
		t.Fatal(err)
	}
	run(t, g)

	near(t, "pooled", p.Value(), permute(gp.Value().Data().([]float64), []int{n, f, 3, 3}, []int{0, 2, 3, 1}))
	near(t, "data gradient", convGrad[0].Value(), permute(grads[0].Value().Data().([]float64), []int{n, c, h, w},
		[]int{0, 2, 3, 1}))
	near(t, "weight gradient", convGrad[1].Value(), permute(grads[1].Value().Data().([]float64), []int{f, c, k, k},
		[]int{2, 3, 1, 0}))
}

func apply1(t *testing.T, op gorgonia.Op, in ...*gorgonia.Node) *gorgonia.Node {
	t.Helper()
	n, err := applied(op, in...)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func run(t *testing.T, g *gorgonia.ExprGraph) {
	t.Helper()
	m := gorgonia.NewTapeMachine(g)
	defer m.Close()
	if err := m.RunAll(); err != nil {
		t.Fatal(err)
	}
}

// permute reorders the axes of a row-major array.
func permute(v []float64, shape, axes []int) []float64 {
	strides := make([]int, len(shape))
	for i, s := len(shape)-1, 1; i >= 0; i-- {
		strides[i] = s
		s *= shape[i]
	}
	out := make([]float64, 0, len(v))
	var walk func(axis, off int)
	walk = func(axis, off int) {
		if axis == len(axes) {
			out = append(out, v[off])
			return
		}
		for i := range shape[axes[axis]] {
			walk(axis+1, off+i*strides[axes[axis]])
		}
	}
	walk(0, 0)
	return out
}

// Two layers of equal geometry must stay two nodes: Gorgonia merges nodes of equal hash.
func TestEqualLayersStayApart(t *testing.T) {
	s := arch.Shape{Height: 1, Width: 1, Channels: 4}
	a, b := NewDropout("a", 1, s, arch.Dropout{Rate: 0.2}, true, nil), NewDropout("b", 1, s, arch.Dropout{Rate: 0.2},
		true, nil)
	c, d := NewDropout("a", 1, s, arch.Dropout{Rate: 0.9}, true, nil), NewDropout("a", 1, s, arch.Dropout{Rate: 0.2},
		false, nil)
	seen := map[uint32]bool{}
	for _, op := range []gorgonia.Op{a, b, c, d} {
		if seen[op.Hashcode()] {
			t.Errorf("%v has the hash of another op", op)
		}
		seen[op.Hashcode()] = true
	}
}

// Evaluation needs no labels, has no loss, and dropout scales instead of masking.
func TestEvaluationGraph(t *testing.T) {
	g, err := Build(testNet(), 2, false)
	if err != nil {
		t.Fatal(err)
	}
	if g.Loss != nil || g.Labels != nil || g.Logits == nil {
		t.Errorf("loss %v, labels %v, logits %v", g.Loss, g.Labels, g.Logits)
	}
}

// LRN agrees with the frameworks' definitions, on activations of 1, for which each value is a
// power that can be calculated by hand. PyTorch, Caffe and the 2012 source divide the sums by the
// size of the window; TensorFlow and the paper do not.
func TestNormConventions(t *testing.T) {
	yes, no := true, false
	five := arch.Shape{Height: 1, Width: 1, Channels: 5}
	square := arch.Shape{Height: 3, Width: 3, Channels: 1}
	for _, c := range []struct {
		name string
		l    arch.LRN
		s    arch.Shape
		want []float64
	}{
		// torch.nn.LocalResponseNorm(5, alpha=1, beta=0.75, k=1): (1 + 3/5, 4/5, 5/5)^−0.75.
		{"PyTorch", arch.LRN{Size: 5, Alpha: 1, AlphaOverSize: &yes, Beta: 0.75, K: 1, Region: arch.AcrossMaps}, five,
			[]float64{math.Pow(1.6, -0.75), math.Pow(1.8, -0.75), math.Pow(2, -0.75), math.Pow(1.8, -0.75),
				math.Pow(1.6, -0.75)}},
		// tf.nn.lrn(depth_radius=2, bias=1, alpha=1, beta=0.5), its defaults but for the radius: 1/√4, 1/√5, 1/√6.
		{"TensorFlow", arch.LRN{Size: 5, Alpha: 1, AlphaOverSize: &no, Beta: 0.5, K: 1, Region: arch.AcrossMaps}, five,
			[]float64{0.5, 1 / math.Sqrt(5), 1 / math.Sqrt(6), 1 / math.Sqrt(5), 0.5}},
		// Caffe's WITHIN_CHANNEL, local_size 3, alpha 1, beta 0.5: the border counts as zeros, the divisor stays 9.
		{"Caffe within a channel", arch.LRN{Size: 3, Alpha: 1, AlphaOverSize: &yes, Beta: 0.5, K: 1,
			Region: arch.WithinMap}, square,
			[]float64{3 / math.Sqrt(13), 3 / math.Sqrt(15), 3 / math.Sqrt(13), 3 / math.Sqrt(15), 1 / math.Sqrt(2),
				3 / math.Sqrt(15), 3 / math.Sqrt(13), 3 / math.Sqrt(15), 3 / math.Sqrt(13)}},
	} {
		x := make([]float64, c.s.Len())
		for i := range x {
			x[i] = 1
		}
		got := make([]float64, len(x))
		lrn(1, c.s, norm(&c.l, 1), x, got)
		for i, w := range c.want {
			if math.Abs(got[i]-w) > 1e-14 {
				t.Errorf("%s: activation %d is %v, want %v", c.name, i, got[i], w)
			}
		}
	}
	// The 2012 source's constants, in its own convention and in TensorFlow's.
	source := norm(&arch.LRN{Size: 5, Alpha: 1e-4, AlphaOverSize: &yes, Region: arch.AcrossMaps}, 1)
	if math.Abs(source.Alpha-2e-5) > 1e-19 {
		t.Errorf("alpha is %v, want 2e-5", source.Alpha)
	}
}
