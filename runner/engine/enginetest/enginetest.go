// Package enginetest is the conformance suite of the engine: every device must pass Run. It compares
// the result of each kernel with the op's plain definition in float64, and the result of each program
// with Gorgonia's own machine.
package enginetest

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"ablate/arch"
	"ablate/arch/archtest"
	"ablate/runner/engine"
	"ablate/runner/graph"
	"ablate/runner/random"
)

// An op is the interface of graph's ops that the suite uses.
type op interface {
	gorgonia.Op
	InputShapes() []tensor.Shape
	OutputShape() tensor.Shape
}

// Run tests a device. open returns a fresh one; the suite closes it.
func Run(t *testing.T, open func(t *testing.T) engine.Device) {
	with := func(f func(t *testing.T, dev engine.Device)) func(*testing.T) {
		return func(t *testing.T) {
			dev := open(t)
			defer dev.Close()
			f(t, dev)
		}
	}
	t.Run("kernels", with(kernels))
	t.Run("kernels in bfloat16", with(inBFloat16))
	t.Run("dropout off", with(dropoutOff))
	t.Run("update", with(update))
	t.Run("factors", with(factors))
	t.Run("averages", with(averages))
	t.Run("optimizers", with(optimizers))
	t.Run("ema", with(ema))
	t.Run("nets", with(nets))
	t.Run("pruning", with(pruning))
	t.Run("repeatable", with(repeatable))
	t.Run("unknown op", with(unknownOp))
}

func shape(h, w, c int) arch.Shape { return arch.Shape{Height: h, Width: w, Channels: c} }

func pad(n int) arch.Pad { return arch.Pad{Top: n, Bottom: n, Left: n, Right: n} }

// window returns the geometry of a convolution or, with groups 1 and 0 out channels, of a pooling
// layer. It counts windows one by one, whereas arch has a formula: see TestWindows.
func window(in arch.Shape, kernel, stride int, p arch.Pad, groups, channels int, ceil bool) graph.Window {
	size := func(n, before, after int) (windows int) {
		for start := -before; ; start += stride {
			switch reached := start - stride + kernel; { // the end of the previous window
			case start+kernel <= n+after:
			case ceil && start < n && (reached < n+after || windows == 0):
			default:
				return windows
			}
			windows++
		}
	}
	if channels == 0 {
		channels = in.Channels
	}
	out := shape(size(in.Height, p.Top, p.Bottom), size(in.Width, p.Left, p.Right), channels)
	return graph.Window{In: in, Out: out, Kernel: kernel, Stride: stride, Pad: p, Groups: groups}
}

// convolutions cover groups, strides, asymmetric padding, odd sizes and channel
// counts that fill no vector, one panel, and more than one.
var convolutions = []struct {
	name  string
	batch int
	w     graph.Window
}{
	{"1×1", 1, window(shape(1, 1, 1), 1, 1, pad(0), 1, 1, false)},
	{"cifar conv1", 2, window(shape(15, 14, 3), 5, 1, pad(2), 1, 32, false)},
	{"alexnet conv1", 1, window(shape(24, 27, 3), 11, 4, arch.Pad{Right: 3, Bottom: 3}, 1, 96, false)},
	{"two columns", 3, window(shape(9, 9, 24), 5, 1, pad(2), 2, 48, false)},
	{"panel and a half", 2, window(shape(7, 7, 16), 3, 1, pad(1), 1, 100, false)},
	{"odd", 5, window(shape(6, 17, 5), 3, 2, arch.Pad{Top: 1, Left: 2}, 1, 33, false)},
	{"odd groups", 2, window(shape(5, 7, 9), 3, 1, pad(1), 3, 15, false)},
	{"stride over kernel", 2, window(shape(9, 9, 4), 2, 3, pad(0), 1, 6, false)},
	{"pixels left over", 1, window(shape(8, 8, 3), 3, 3, pad(0), 1, 7, false)},
	{"wide pad", 1, window(shape(4, 4, 2), 3, 1, pad(3), 1, 5, false)},
	{"depthwise", 3, window(shape(9, 10, 20), 3, 1, pad(1), 20, 20, false)},
	{"depthwise, stride 2", 2, window(shape(11, 8, 37), 3, 2, arch.Pad{Bottom: 1, Right: 1}, 37, 37, false)},
	{"depthwise, wide pad", 9, window(shape(3, 2, 8), 5, 1, pad(4), 8, 8, false)},
	{"depthwise, stride over kernel", 2, window(shape(9, 9, 72), 2, 3, pad(0), 72, 72, false)},
	{"127 images", 127, window(shape(3, 3, 3), 3, 1, pad(1), 1, 31, false)},
}

var poolings = []struct {
	name  string
	batch int
	w     graph.Window
}{
	{"overlapping", 2, window(shape(13, 13, 17), 3, 2, pad(0), 1, 0, false)},
	{"ceil", 3, window(shape(16, 16, 32), 3, 2, pad(0), 1, 0, true)},
	{"padded", 1, window(shape(7, 9, 5), 3, 2, pad(1), 1, 0, false)},
	{"2/2 ceil", 2, window(shape(55, 5, 1), 2, 2, pad(0), 1, 0, true)},
	{"whole image", 4, window(shape(3, 3, 33), 3, 1, pad(0), 1, 0, false)},
	{"fours, padded", 2, window(shape(7, 9, 8), 3, 2, pad(1), 1, 0, false)},
	{"stride over window", 2, window(shape(8, 8, 4), 2, 3, pad(0), 1, 0, false)},
}

var norms = []struct {
	name  string
	batch int
	s     arch.Shape
	n     graph.LRNParams
}{
	{"paper", 2, shape(5, 5, 48), graph.LRNParams{Size: 5, Alpha: 1e-4, Beta: 0.75, K: 2, Groups: 1}},
	{"strong", 2, shape(3, 4, 31), graph.LRNParams{Size: 5, Alpha: 0.7, Beta: 0.75, K: 1, Groups: 1}},
	{"columns", 1, shape(3, 3, 12), graph.LRNParams{Size: 5, Alpha: 0.5, Beta: 0.75, K: 2, Groups: 2}},
	{"window over maps", 1, shape(2, 2, 3), graph.LRNParams{Size: 9, Alpha: 0.5, Beta: 0.75, K: 1, Groups: 1}},
	{"wide window", 2, shape(2, 3, 16), graph.LRNParams{Size: 11, Alpha: 0.5, Beta: 0.75, K: 1, Groups: 1}},
	{"window of seven", 1, shape(2, 3, 20), graph.LRNParams{Size: 7, Alpha: 0.5, Beta: 0.75, K: 1, Groups: 1}},
	{"window of nine", 2, shape(3, 2, 12), graph.LRNParams{Size: 9, Alpha: 0.5, Beta: 0.75, K: 1, Groups: 1}},
	{"short lines", 3, shape(11, 13, 4), graph.LRNParams{Size: 3, Alpha: 0.5, Beta: 0.75, K: 1, Groups: 1}},
	{"long line", 1, shape(1, 2, 1028), graph.LRNParams{Size: 5, Alpha: 0.5, Beta: 0.75, K: 1, Groups: 1}},
	{"another power", 1, shape(2, 2, 8), graph.LRNParams{Size: 3, Alpha: 0.5, Beta: 0.5, K: 1, Groups: 1}},
	{"within", 2, shape(7, 5, 6), graph.LRNParams{Size: 3, Alpha: 0.3, Beta: 0.75, K: 1, Groups: 1, Within: true}},
	{"within, window over image", 1, shape(2, 3, 5), graph.LRNParams{Size: 5, Alpha: 0.3, Beta: 0.75, K: 1, Groups: 1,
		Within: true}},
}

// cases returns the ops of every kind of layer, and ops at the geometries where kernels differ.
func cases(t testing.TB) map[string]op {
	all := map[string]op{}
	for _, kind := range arch.Kinds() {
		for name, o := range opsOf(t, kind) {
			all[kind+": "+name] = o
		}
	}
	clock := &graph.Clock{Seed: 3, Step: 11}
	for _, c := range convolutions {
		all["conv "+c.name] = graph.NewConv("l", c.batch, c.w)
		all["conv data grad "+c.name] = graph.NewConvDataGrad("l", c.batch, c.w)
		all["conv weight grad "+c.name] = graph.NewConvWeightGrad("l", c.batch, c.w)
		all["bias grad "+c.name] = graph.NewBiasGrad("l", c.batch, c.w.Out)
		all["local "+c.name] = graph.NewLocal("l", c.batch, c.w)
		all["local data grad "+c.name] = graph.NewLocalDataGrad("l", c.batch, c.w)
		all["local weight grad "+c.name] = graph.NewLocalWeightGrad("l", c.batch, c.w)
		all["local bias grad "+c.name] = graph.NewLocalBiasGrad("l", c.batch, c.w.Out)
		all["prelu "+c.name] = graph.NewPReLU("l", c.batch, c.w.In)
		all["prelu grad "+c.name] = graph.NewPReLUGrad("l", c.batch, c.w.In)
		all["prelu slope grad "+c.name] = graph.NewPReLUSlopeGrad("l", c.batch, c.w.In)
		all["batch mean "+c.name] = graph.NewBatchMean("l", c.batch, c.w.In)
		all["batch variance "+c.name] = graph.NewBatchVariance("l", c.batch, c.w.In)
		all["batch norm "+c.name] = graph.NewBatchNorm("l", c.batch, c.w.In, 1e-3)
		all["batch norm scale grad "+c.name] = graph.NewBatchNormScaleGrad("l", c.batch, c.w.In, 1e-3)
		all["batch norm grad "+c.name] = graph.NewBatchNormGrad("l", c.batch, c.w.In, 1e-3)
	}
	for _, c := range poolings {
		all["max pool "+c.name] = graph.NewMaxPool("l", c.batch, c.w)
		all["max pool grad "+c.name] = graph.NewMaxPoolGrad("l", c.batch, c.w)
		all["avg pool "+c.name] = graph.NewAvgPool("l", c.batch, c.w)
		all["avg pool grad "+c.name] = graph.NewAvgPoolGrad("l", c.batch, c.w)
		all["max-avg pool "+c.name] = graph.NewMaxAvgPool("l", c.batch, c.w)
		all["max-avg pool grad "+c.name] = graph.NewMaxAvgPoolGrad("l", c.batch, c.w)
		all["stochastic pool "+c.name] = graph.NewStochasticPool("l", c.batch, c.w, true, clock)
		all["stochastic pool in evaluation "+c.name] = graph.NewStochasticPool("l", c.batch, c.w, false, clock)
		all["stochastic pool grad "+c.name] = graph.NewStochasticPoolGrad("l", c.batch, c.w, clock)
	}
	for _, c := range norms {
		all["lrn "+c.name] = graph.NewLRN("l", c.batch, c.s, c.n)
		all["lrn grad "+c.name] = graph.NewLRNGrad("l", c.batch, c.s, c.n)
	}
	joins(all)
	for _, f := range graph.Functions {
		all[string(f)] = graph.NewActivation("l", 3, shape(5, 7, 33), f, 1.7, 0.6)
		all[string(f)+" grad"] = graph.NewActivationGrad("l", 3, shape(5, 7, 33), f, 1.7, 0.6)
	}
	for name, train := range map[string]bool{"rrelu": true, "rrelu in evaluation": false} {
		l := arch.RReLU{Lower: 0.125, Upper: 0.4}
		all[name] = graph.NewRReLU("l", 3, shape(5, 7, 31), l, train, clock)
		all[name+" grad"] = graph.NewRReLUGrad("l", 3, shape(5, 7, 31), l, train, clock)
	}
	for _, levels := range [][]int{{1}, {1, 2, 4}, {5, 3}} {
		all[fmt.Sprint("pyramid ", levels)] = graph.NewPyramidPool("l", 3, shape(5, 7, 12), levels)
		all[fmt.Sprint("pyramid grad ", levels)] = graph.NewPyramidPoolGrad("l", 3, shape(5, 7, 12), levels)
	}
	all["maxout of 3"] = graph.NewMaxout("l", 3, shape(5, 7, 12), 3)
	all["maxout grad of 3"] = graph.NewMaxoutGrad("l", 3, shape(5, 7, 12), 3)
	for _, d := range []struct {
		batch, outputs int
		in             arch.Shape
	}{{1, 1, shape(1, 1, 1)}, {7, 10, shape(2, 2, 16)}, {128, 65, shape(1, 1, 97)}, {5, 64, shape(3, 3, 77)},
		{13, 200, shape(1, 1, 600)}} {
		name := fmt.Sprintf("dense %d×%v→%d", d.batch, d.in, d.outputs)
		all[name] = graph.NewDense("l", d.batch, d.in, d.outputs)
		all[name+" data grad"] = graph.NewDenseDataGrad("l", d.batch, d.in, d.outputs)
		all[name+" weight grad"] = graph.NewDenseWeightGrad("l", d.batch, d.in, d.outputs)
	}
	all["dropout"] = graph.NewDropout("fc6", 3, shape(5, 7, 31), arch.Dropout{Rate: 0.4}, true, clock)
	all["dropout in evaluation"] = graph.NewDropout("fc6", 3, shape(5, 7, 31), arch.Dropout{Rate: 0.4}, false, clock)
	all["inverted dropout"] = graph.NewDropout("fc6", 3, shape(5, 7, 31), arch.Dropout{Rate: 0.4, Inverted: true}, true,
		clock)
	all["inverted dropout in evaluation"] = graph.NewDropout("fc6", 3, shape(5, 7, 31),
		arch.Dropout{Rate: 0.4, Inverted: true}, false, clock)
	for _, classes := range []int{2, 10, 1000} {
		all[fmt.Sprint("softmax loss ", classes)] = graph.NewSoftmaxLoss("loss", 5, classes)
		all[fmt.Sprint("softmax loss grad ", classes)] = graph.NewSoftmaxLossGrad("loss", 5, classes)
		all[fmt.Sprint("soft target loss ", classes)] = graph.NewSoftTargetLoss("loss", 5, classes)
		all[fmt.Sprint("soft target loss grad ", classes)] = graph.NewSoftTargetLossGrad("loss", 5, classes)
	}
	return all
}

// opsOf returns the ops that a layer of a kind becomes, in training and in evaluation.
func opsOf(t testing.TB, kind string) map[string]op {
	ops := map[string]op{}
	for _, train := range []bool{true, false} {
		g, err := graph.Build(archtest.Net(t, kind), 3, train)
		if err != nil {
			t.Fatal(err)
		}
		*g.Clock = graph.Clock{Seed: 3, Step: 11}
		for _, n := range g.Expr.AllNodes() {
			if o, ok := n.Op().(graph.Op); ok && o.LayerName() == archtest.Layer {
				ops[fmt.Sprint(o.Name(), ", train ", train)] = o
			}
		}
	}
	return ops
}

// kernels compares every kernel with its op's plain definition in float64.
func kernels(t *testing.T, dev engine.Device) {
	all := cases(t)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		o := all[name]
		passed := t.Run(name, func(t *testing.T) {
			in := inputs(o, name)
			checkKernel(t, dev, o, in, false)
			switch o.(type) {
			case *graph.Conv, *graph.Dense, *graph.BatchNorm, *graph.Add:
				checkKernel(t, dev, o, in, true)
			}
		})
		if !passed && lost(dev) {
			t.Fatalf("the device is lost: what comes behind %q is not tested", name)
		}
	}
}

// lost reports whether a device will not compute again: every further test on it fails.
func lost(dev engine.Device) bool {
	async, ok := dev.(engine.Async)
	return ok && errors.Is(async.Wait(), engine.ErrDeviceLost)
}

// inputs draws values for an op. The y of a pool is the pool of its x. Labels are class numbers.
func inputs(o op, name string) [][]float32 {
	var in [][]float32
	for i, s := range o.InputShapes() {
		v := make([]float32, engine.Tensor{Shape: s}.Len())
		random.New(uint64(i), "inputs/"+name).Normal(v, 0, 0, 1)
		in = append(in, v)
	}
	switch o := o.(type) {
	case *graph.MaxPoolGrad:
		y, err := plain(graph.NewMaxPool("l", o.Batch, o.Window), in[:1])
		if err != nil {
			panic(err)
		}
		for i, v := range y {
			in[1][i] = float32(v)
		}
	case *graph.ActivationGrad: // y is a value of the function
		for i, v := range in[0] {
			if !o.F.OfInput() {
				in[0][i] = float32(o.F.At(o.A, o.B, float64(v)))
			}
		}
	case *graph.BatchNorm:
		positive(in[2])
	case *graph.BatchNormScaleGrad:
		positive(in[2])
	case *graph.BatchNormGrad:
		positive(in[2])
	case *graph.SoftmaxLoss:
		labels(in[1], o.Classes)
	case *graph.SoftmaxLossGrad:
		labels(in[1], o.Classes)
	}
	return in
}

// positive turns values into variances.
func positive(v []float32) {
	for i := range v {
		v[i] = v[i]*v[i] + 0.1
	}
}

func labels(v []float32, classes int) {
	for i := range v {
		v[i] = float32((i*7 + 1) % classes)
	}
}

// plain runs the op's own definition in float64.
func plain(o op, in [][]float32) ([]float64, error) {
	var values []gorgonia.Value
	for i, s := range o.InputShapes() {
		wide := make([]float64, len(in[i]))
		for j, v := range in[i] {
			wide[j] = float64(v)
		}
		if s.Dims() == 0 {
			values = append(values, gorgonia.NewF64(wide[0]))
			continue
		}
		values = append(values, tensor.New(tensor.WithShape(s...), tensor.WithBacking(wide)))
	}
	v, err := o.Do(values...)
	if err != nil {
		return nil, err
	}
	if scalar, ok := v.Data().(float64); ok {
		return []float64{scalar}, nil
	}
	return v.Data().([]float64), nil
}

func checkKernel(t *testing.T, dev engine.Device, o op, in [][]float32, relu bool) {
	t.Helper()
	want, err := plain(o, in)
	if err != nil {
		t.Fatal(err)
	}
	if relu {
		for i, v := range want {
			want[i] = max(v, 0)
		}
	}
	got := runKernel(t, dev, o, in, relu, engine.Context{Seed: 3, Step: 11}) // step and seed of the cases
	compare(t, got, want, fmt.Sprintf("relu %v", relu))
}

// compare compares the output of a kernel with that of the definition.
func compare(t *testing.T, got []float32, want []float64, what string) {
	t.Helper()
	// A sum of n products of order 1 is off by about √n rounding errors of its own size.
	if i, diff := worst(got, want); diff > 2e-5 {
		t.Errorf("%s: value %d is %v, the definition has %v (off by %.2g of the largest)", what, i, got[i], want[i], diff)
	}
}

// worst returns the largest difference in units of the largest value, and its index.
func worst(got []float32, want []float64) (at int, diff float64) {
	scale := 1e-30
	for _, v := range want {
		scale = max(scale, math.Abs(v))
	}
	for i, v := range want {
		if d := math.Abs(float64(got[i])-v) / scale; !(d <= diff) {
			at, diff = i, d
		}
	}
	return at, diff
}

// guard surrounds every operand. A kernel that writes outside its tensors changes a guard value.
const guard = float32(-123456.5)

// runKernel runs an op on float32 values.
func runKernel(t *testing.T, dev engine.Device, o op, in [][]float32, relu bool, context engine.Context) []float32 {
	t.Helper()
	return run(t, dev, engine.Instr{Op: o, Fused: engine.Fused[engine.Tensor]{ReLU: relu}}, o, in,
		make([]engine.Type, len(in)+1), context)
}

// run binds an instruction to tensors between guard values, stored as the given types. It runs the
// instruction twice, since values left from the first run must not matter, and checks the guards and
// the inputs.
func run(t *testing.T, dev engine.Device, instr engine.Instr, o op, in [][]float32, types []engine.Type,
	context engine.Context) []float32 {
	t.Helper()
	shapes := append(slices.Clone(o.InputShapes()), o.OutputShape())
	const gap = 16
	total := gap
	var tensors []engine.Tensor
	for i, s := range shapes {
		tensors = append(tensors, engine.Tensor{Off: total, Shape: s, Type: types[i]})
		total += (tensors[i].Len()+gap-1)/gap*gap + gap
	}
	mem, err := dev.Alloc(total)
	if err != nil {
		t.Fatal(err)
	}
	host := make([]float32, total)
	for i := range host {
		host[i] = guard
	}
	for i := range tensors {
		tensors[i].Mem = mem
		if i < len(in) {
			pack(host[tensors[i].Off:], in[i], types[i])
		}
	}
	if err := mem.Write(0, host); err != nil {
		t.Fatal(err)
	}
	out := tensors[len(in)]
	instr.In, instr.Out = tensors[:len(in)], out
	k, err := dev.Kernel(instr)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := k.Run(&context); err != nil {
			t.Fatal(err)
		}
	}
	after := make([]float32, total)
	if err := mem.Read(0, after); err != nil {
		t.Fatal(err)
	}
	result := unpack(after[out.Off:], out.Len(), out.Type)
	pack(host[out.Off:], result, out.Type)
	if !slices.EqualFunc(after, host, func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }) {
		t.Errorf("the kernel wrote outside its output")
	}
	return result
}

// dropoutOff checks that the dropout of a training step acts as in evaluation where the context says
// so.
func dropoutOff(t *testing.T, dev engine.Device) {
	for _, inverted := range []bool{false, true} {
		o := graph.NewDropout("fc6", 3, shape(5, 7, 31), arch.Dropout{Rate: 0.4, Inverted: inverted}, true,
			&graph.Clock{Seed: 3, Step: 11, DropoutUntil: true})
		x := make([]float32, 3*5*7*31)
		random.New(1, "x").Normal(x, 0, 0, 1)
		want := make([]float64, len(x))
		for i, v := range x {
			if want[i] = float64(v); !inverted {
				want[i] *= 0.6
			}
		}
		defined, err := plain(o, [][]float32{x})
		if err != nil {
			t.Fatal(err)
		}
		if i, diff := worst(toFloat32(defined), want); diff > 1e-6 {
			t.Errorf("inverted %v: the definition has %v for value %d, want %v", inverted, defined[i], i, want[i])
		}
		compare(t, runKernel(t, dev, o, [][]float32{x}, false, engine.Context{Seed: 3, Step: 11, DropoutUntil: true}), want,
			fmt.Sprintf("inverted %v", inverted))
	}
}

func toFloat32(values []float64) []float32 {
	out := make([]float32, len(values))
	for i, v := range values {
		out[i] = float32(v)
	}
	return out
}

// factors checks that a factor acts as a learning rate does, and only on the parameters that it names.
// A factor of 0 must leave weights, momentum and running averages unchanged.
func factors(t *testing.T, dev engine.Device) {
	start := []float32{1, -2.5, 0.25, 0.5, -0.125, 2, 0.5, -1, 2} // weights, velocities, gradients
	run := func(u engine.Update, c engine.Context) []float32 {
		mem, err := dev.Alloc(3 * 16)
		if err != nil {
			t.Fatal(err)
		}
		var in []engine.Tensor
		for i := range 3 {
			in = append(in, engine.Tensor{Mem: mem, Off: 16 * i, Shape: []int{3}})
			if err := mem.Write(16*i, start[3*i:3*i+3]); err != nil {
				t.Fatal(err)
			}
		}
		k, err := dev.Kernel(engine.Instr{Op: u, In: in})
		if err != nil {
			t.Fatal(err)
		}
		if err := k.Run(&c); err != nil {
			t.Fatal(err)
		}
		after := make([]float32, 9)
		for i := range 3 {
			if err := mem.Read(16*i, after[3*i:3*i+3]); err != nil {
				t.Fatal(err)
			}
		}
		return after
	}
	w := engine.Update{Param: "w", LR: 1, Decay: 1}
	context := engine.Context{Rate: 0.01, Momentum: 0.9, Decay: 0.0005, Factors: map[string]float64{"w": 0.5, "frozen": 0}}
	half := context
	half.Rate, half.Factors = 0.005, nil
	if got, want := run(w, context), run(w, half); !slices.Equal(got, want) {
		t.Errorf("a factor of a half makes it %v, half the rate %v", got, want)
	}
	other, none := engine.Update{Param: "other", LR: 1, Decay: 1}, context
	none.Factors = nil
	if got, want := run(other, context), run(other, none); !slices.Equal(got, want) {
		t.Errorf("a parameter that no factor names moves to %v instead of %v", got, want)
	}
	for _, u := range []engine.Update{{Param: "frozen", LR: 1, Decay: 1}, {Param: "frozen", Average: 0.1}} {
		if got := run(u, context); !slices.Equal(got, start) {
			t.Errorf("frozen, %v became %v", start, got)
		}
	}
}

// update compares the rule with the paper's formula, computed in float64: three steps on weights with
// decay and on biases without.
func update(t *testing.T, dev engine.Device) {
	const rate, momentum, decay = 0.01, 0.9, 0.0005
	start := []float64{1, -2.5, 0.25}
	grads := [][]float32{{0.5, -1, 2}, {0.25, 0, -1}, {-0.125, 3, 0.5}}
	for _, u := range []engine.Update{{Param: "w", LR: 1, Decay: 1}, {Param: "b", LR: 2, Decay: 0}} {
		mem, err := dev.Alloc(3 * 16)
		if err != nil {
			t.Fatal(err)
		}
		at := func(i int) engine.Tensor { return engine.Tensor{Mem: mem, Off: 16 * i, Shape: []int{3}} }
		w, v := slices.Clone(start), make([]float64, 3)
		write := func(i int, values []float64) {
			for j, x := range values {
				if err := mem.Write(16*i+j, []float32{float32(x)}); err != nil {
					t.Fatal(err)
				}
			}
		}
		write(0, w)
		k, err := dev.Kernel(engine.Instr{Op: u, In: []engine.Tensor{at(0), at(1), at(2)}})
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range grads {
			if err := mem.Write(32, g); err != nil {
				t.Fatal(err)
			}
			if err := k.Run(&engine.Context{Rate: rate, Momentum: momentum, Decay: decay}); err != nil {
				t.Fatal(err)
			}
			for i := range w {
				v[i] = momentum*v[i] - decay*u.Decay*rate*u.LR*w[i] - rate*u.LR*float64(g[i])
				w[i] += v[i]
			}
		}
		got := make([]float32, 3)
		if err := mem.Read(0, got); err != nil {
			t.Fatal(err)
		}
		if i, diff := worst(got, w); diff > 1e-6 {
			t.Errorf("%s: value %d is %v, the rule has %v", u.Param, i, got[i], w[i])
		}
	}
}

// tiny returns a net with every kind of layer, small enough for Gorgonia's machine.
func tiny() *arch.Net {
	no := false
	one := arch.Factor{Weight: 1, Bias: 1}
	he := arch.Init{Kind: "he"}
	layer := func(name string, p arch.Spec) arch.Layer { return arch.Layer{Name: name, Spec: p} }
	return &arch.Net{Name: "tiny", Input: shape(13, 11, 3), Columns: 2, Layers: []arch.Layer{
		layer("conv1", &arch.Conv{Bias: true, Filters: 12, Kernel: 3, Stride: 1, Pad: arch.Pad{Top: 1, Left: 1,
			Right: 2}, Groups: 1,
			Init: he, LR: one}),
		layer("relu1", &arch.ReLU{}),
		layer("norm1", &arch.LRN{Size: 5, Alpha: 0.1, AlphaOverSize: &no, Beta: 0.75, K: 2, Region: arch.AcrossMaps}),
		layer("pool1", &arch.MaxPool{Pool: arch.Pool{Kernel: 3, Stride: 2}}),
		layer("conv2", &arch.Conv{Bias: true, Filters: 18, Kernel: 3, Stride: 1, Pad: pad(1), Groups: 1,
			WithinColumn: true, Init: he,
			LR: one}),
		layer("tanh2", &arch.Tanh{A: 1.5, B: 0.7}),
		layer("norm2", &arch.LRN{Size: 3, Alpha: 0.1, AlphaOverSize: &no, Beta: 0.75, K: 1, Region: arch.WithinMap}),
		layer("pool2", &arch.AvgPool{Pool: arch.Pool{Kernel: 3, Stride: 2, Ceil: true}}),
		layer("fc3", &arch.Dense{Bias: true, Outputs: 21, Init: he, LR: one}),
		layer("relu3", &arch.ReLU{}),
		layer("drop3", &arch.Dropout{Rate: 0.3}),
		layer("fc4", &arch.Dense{Bias: true, Outputs: 8, Init: he, LR: one}),
		layer("sigmoid4", &arch.Sigmoid{}),
		layer("fc5", &arch.Dense{Bias: true, Outputs: 4, Init: he, LR: one}),
		layer("loss", &arch.SoftmaxLoss{}),
	}}
}

// later returns a net with the kinds of layers that came after the paper. Its batch norms follow the
// units. Before the units they would make the biases' gradients 0, and the test would compare the
// rounding errors of two machines.
func later() *arch.Net {
	one := arch.Factor{Weight: 1, Bias: 1}
	he := arch.Init{Kind: "he"}
	layer := func(name string, p arch.Spec) arch.Layer { return arch.Layer{Name: name, Spec: p} }
	return &arch.Net{Name: "later", Input: shape(9, 9, 3), Columns: 1, Layers: []arch.Layer{
		layer("conv1", &arch.Conv{Bias: true, Filters: 12, Kernel: 3, Stride: 1, Groups: 1, Init: he, LR: one}),
		layer("relu1", &arch.PReLU{Slope: 0.25}),
		layer("bn1", &arch.BatchNorm{Epsilon: 1e-3, Momentum: 0.25, Affine: true}),
		layer("pool1", &arch.MaxAvgPool{Pool: arch.Pool{Kernel: 3, Stride: 2}}),
		layer("local2", &arch.Local{Conv: arch.Conv{Bias: true, Filters: 8, Kernel: 3, Stride: 1, Pad: pad(1),
			Groups: 2, Init: he,
			LR: one}}),
		layer("elu2", &arch.ELU{Alpha: 1}),
		layer("pool2", &arch.StochasticPool{Pool: arch.Pool{Kernel: 2, Stride: 1}}),
		layer("maxout2", &arch.Maxout{Pieces: 2}),
		layer("fc3", &arch.Dense{Bias: true, Outputs: 6, Init: he, LR: one}),
		layer("softplus3", &arch.Softplus{}),
		layer("bn3", &arch.BatchNorm{Epsilon: 1e-3, Momentum: 0.25}),
		layer("fc4", &arch.Dense{Bias: true, Outputs: 4, Init: he, LR: one}),
		layer("loss", &arch.SoftmaxLoss{}),
	}}
}

const tinyBatch = 5

// feed writes the same weights and batch to a program and, if vm is set, to Gorgonia's nodes.
func feed(t *testing.T, g *graph.Graph, params *engine.Params, prog *engine.Program, vm bool) {
	t.Helper()
	let := func(n *gorgonia.Node, v []float32) {
		if !vm {
			return
		}
		if err := gorgonia.Let(n, tensor.New(tensor.WithShape(n.Shape()...),
			tensor.WithBacking(slices.Clone(v)))); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range g.Params {
		v := make([]float32, engine.Tensor{Shape: p.Shape}.Len())
		random.New(5, p.Name).Normal(v, 0, 0.1, math.Sqrt(1/float64(p.FanIn)))
		if err := params.SetWeights(p.Name, v); err != nil {
			t.Fatal(err)
		}
		let(p.Node, v)
	}
	x := make([]float32, engine.Tensor{Shape: g.Input.Shape()}.Len())
	random.New(5, "x").Normal(x, 0, 0, 1)
	if err := prog.Write(g.Input, x); err != nil {
		t.Fatal(err)
	}
	let(g.Input, x)
	if g.Labels != nil {
		y := make([]float32, g.Batch)
		labels(y, g.Logits.Shape()[3])
		if err := prog.Write(g.Labels, y); err != nil {
			t.Fatal(err)
		}
		let(g.Labels, y)
	}
	*g.Clock = graph.Clock{Seed: 9, Step: 4}
	prog.Context = engine.Context{Seed: 9, Step: 4}
}

func compiled(t *testing.T, dev engine.Device, net *arch.Net, keep func(*graph.Graph) []*gorgonia.Node) (*graph.Graph,
	*engine.Params, *engine.Program) {
	t.Helper()
	g, err := graph.Build(net, tinyBatch, true)
	if err != nil {
		t.Fatal(err)
	}
	params, err := engine.NewParams(engine.Placement{Group: engine.NewGroup(dev)}, g.Params)
	if err != nil {
		t.Fatal(err)
	}
	prog, err := engine.Train(g, params, keep(g)...)
	if err != nil {
		t.Fatal(err)
	}
	return g, params, prog
}

func gradients(g *graph.Graph) (nodes []*gorgonia.Node) {
	for _, p := range g.Params {
		nodes = append(nodes, p.Grad)
	}
	return nodes
}

// nets compares a whole training step, loss and all gradients, with Gorgonia's own machine, and the
// evaluation pass with that of the training graph.
func nets(t *testing.T, dev engine.Device) {
	for _, net := range []*arch.Net{tiny(), later(), joined()} {
		t.Run(net.Name, func(t *testing.T) { checkNet(t, dev, net) })
	}
}

func checkNet(t *testing.T, dev engine.Device, net *arch.Net) {
	g, params, prog := compiled(t, dev, net, gradients)
	feed(t, g, params, prog, true)
	for _, vm := range []gorgonia.VM{prog, gorgonia.NewTapeMachine(g.Expr)} {
		vm.Reset()
		if err := vm.RunAll(); err != nil {
			t.Fatal(err)
		}
		defer vm.Close()
	}
	for _, n := range append(gradients(g), g.Loss, g.Logits) {
		var want []float64
		switch d := n.Value().Data().(type) {
		case float32:
			want = []float64{float64(d)}
		case []float32:
			for _, v := range d {
				want = append(want, float64(v))
			}
		}
		got := make([]float32, len(want))
		if err := prog.Read(n, got); err != nil {
			t.Fatal(err)
		}
		if i, diff := worst(got, want); diff > 1e-4 {
			t.Errorf("%v: value %d is %v, Gorgonia's machine has %v", n, i, got[i], want[i])
		}
	}
}

// pruning checks that a gradient that no action needs is not computed: the first layer's data
// gradient.
func pruning(t *testing.T, dev engine.Device) {
	_, _, prog := compiled(t, dev, tiny(), gradients)
	counts := map[string]int{}
	for _, s := range prog.Steps() {
		for _, prefix := range []string{"conv-data-grad{conv1", "conv-data-grad{conv2", "conv{conv1", "relu{relu1",
			"update{conv1.weight"} {
			if len(s) >= len(prefix) && s[:len(prefix)] == prefix {
				counts[prefix]++
			}
		}
	}
	for prefix, want := range map[string]int{"conv-data-grad{conv1": 0, "conv-data-grad{conv2": 1, "conv{conv1": 1,
		"relu{relu1": 0, "update{conv1.weight": 1} {
		if counts[prefix] != want {
			t.Errorf("%s… runs %d times, want %d\nsteps: %q", prefix, counts[prefix], want, prog.Steps())
		}
	}
}

// repeatable trains three steps twice and checks that the weights are the same, bit for bit.
func repeatable(t *testing.T, dev engine.Device) {
	if a, b := Digest(t, dev, 3), Digest(t, dev, 3); a != b {
		t.Errorf("two runs of the same steps gave different weights: %x, %x", a, b)
	}
}

// Digest trains small nets with every kind of layer for some steps and returns the SHA-256 of their
// weights. Tests compare the digests of devices that promise equal bits.
func Digest(t *testing.T, dev engine.Device, steps int) [32]byte {
	t.Helper()
	h := sha256.New()
	for _, net := range []*arch.Net{tiny(), later(), joined()} {
		g, params, prog := compiled(t, dev, net, func(*graph.Graph) []*gorgonia.Node { return nil })
		feed(t, g, params, prog, false)
		for s := range steps {
			prog.Context = engine.Context{Seed: 9, Step: uint64(s), Rate: 0.05, Momentum: 0.9, Decay: 5e-4}
			if err := prog.RunAll(); err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range params.Names() {
			w, err := params.Weights(name)
			if err != nil {
				t.Fatal(err)
			}
			if err := binary.Write(h, binary.LittleEndian, w); err != nil {
				t.Fatal(err)
			}
		}
	}
	return [32]byte(h.Sum(nil))
}

// averages checks that running averages follow the batch's values, and that scale and shift do not
// change where the layer does not learn them.
func averages(t *testing.T, dev engine.Device) {
	g, params, prog := compiled(t, dev, later(), gradients)
	feed(t, g, params, prog, false)
	before := map[string][]float32{}
	for _, name := range params.Names() {
		before[name], _ = params.Weights(name)
	}
	prog.Context = engine.Context{Seed: 9, Step: 4, Rate: 0.1, Momentum: 0.9, Decay: 0.1}
	if err := prog.RunAll(); err != nil {
		t.Fatal(err)
	}
	for _, p := range g.Params {
		after, err := params.Weights(p.Name)
		if err != nil {
			t.Fatal(err)
		}
		want := make([]float64, len(after))
		switch {
		case p.Average > 0:
			batch := make([]float32, len(after))
			if err := prog.Read(p.Grad, batch); err != nil {
				t.Fatal(err)
			}
			for i, w := range before[p.Name] {
				want[i] = 0.75*float64(w) + 0.25*float64(batch[i])
			}
		case p.Name == "bn3.weight" || p.Name == "bn3.bias": // not affine
			for i, w := range before[p.Name] {
				want[i] = float64(w)
			}
		default:
			continue
		}
		if i, diff := worst(after, want); diff > 1e-6 {
			t.Errorf("%s: value %d is %v, want %v", p.Name, i, after[i], want[i])
		}
	}
}

type noOp struct{}

// unknownOp checks that an unknown op is an error when it is bound, not when it runs.
func unknownOp(t *testing.T, dev engine.Device) {
	if _, err := dev.Kernel(engine.Instr{Op: noOp{}}); !errors.Is(err, engine.ErrNoKernel) {
		t.Errorf("an unknown op: %v, want ErrNoKernel", err)
	}
}
