package graph

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"ablate/arch"
)

// Activations are [batch, height, width, channels] everywhere; a dense layer's are [batch, 1, 1, outputs].
func nhwc(batch int, s arch.Shape) tensor.Shape {
	return tensor.Shape{batch, s.Height, s.Width, s.Channels}
}

// Window is the geometry of a convolution or a pooling layer on one image.
type Window struct {
	In, Out arch.Shape
	Kernel  int
	Stride  int
	Pad     arch.Pad
	Groups  int // of a convolution; 1 elsewhere
}

// Weights is the shape of a convolution's weights: [kernel, kernel, in/groups, out].
func (w Window) Weights() []int {
	return []int{w.Kernel, w.Kernel, w.In.Channels / w.Groups, w.Out.Channels}
}

// Conv is y = x ∗ w + b, with x [N,H,W,C], w [k,k,C/groups,F], b [F], y [N,H',W',F].
type Conv struct {
	meta
	Layer string
	Batch int
	Window
}

// NewConv makes the convolution of one layer.
func NewConv(layer string, batch int, w Window) *Conv {
	o := &Conv{Layer: layer, Batch: batch, Window: w}
	o.meta = meta{
		text: fmt.Sprintf("conv{%s %d %+v}", layer, batch, w),
		in:   []tensor.Shape{nhwc(batch, w.In), w.Weights(), {w.Out.Channels}},
		out:  nhwc(batch, w.Out),
		f32:  func(in [][]float32, out []float32) { conv(o.Batch, o.Window, in[0], in[1], in[2], out) },
		f64:  func(in [][]float64, out []float64) { conv(o.Batch, o.Window, in[0], in[1], in[2], out) },
	}
	return o
}

// DiffWRT says that all three inputs have gradients.
func (o *Conv) DiffWRT(n int) []bool { return all(3, n) }

// SymDiff gives the gradients to the image, the weights and the biases.
func (o *Conv) SymDiff(in gorgonia.Nodes, _, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	dx, err := applied(NewConvDataGrad(o.Layer, o.Batch, o.Window), in[1], dy)
	if err != nil {
		return nil, err
	}
	dw, err := applied(NewConvWeightGrad(o.Layer, o.Batch, o.Window), in[0], dy)
	if err != nil {
		return nil, err
	}
	db, err := applied(NewBiasGrad(o.Layer, o.Batch, o.Out), dy)
	return gorgonia.Nodes{dx, dw, db}, err
}

// ConvDataGrad is the gradient of Conv to its image: (w, dy) → dx.
type ConvDataGrad struct {
	meta
	Layer string
	Batch int
	Window
}

// NewConvDataGrad makes the data gradient of a layer's convolution.
func NewConvDataGrad(layer string, batch int, w Window) *ConvDataGrad {
	o := &ConvDataGrad{Layer: layer, Batch: batch, Window: w}
	o.meta = meta{
		text: fmt.Sprintf("conv-data-grad{%s %d %+v}", layer, batch, w),
		in:   []tensor.Shape{w.Weights(), nhwc(batch, w.Out)},
		out:  nhwc(batch, w.In),
		f32:  func(in [][]float32, out []float32) { convDataGrad(o.Batch, o.Window, in[0], in[1], out) },
		f64:  func(in [][]float64, out []float64) { convDataGrad(o.Batch, o.Window, in[0], in[1], out) },
	}
	return o
}

// ConvWeightGrad is the gradient of Conv to its weights: (x, dy) → dw.
type ConvWeightGrad struct {
	meta
	Layer string
	Batch int
	Window
}

// NewConvWeightGrad makes the weight gradient of a layer's convolution.
func NewConvWeightGrad(layer string, batch int, w Window) *ConvWeightGrad {
	o := &ConvWeightGrad{Layer: layer, Batch: batch, Window: w}
	o.meta = meta{
		text: fmt.Sprintf("conv-weight-grad{%s %d %+v}", layer, batch, w),
		in:   []tensor.Shape{nhwc(batch, w.In), nhwc(batch, w.Out)},
		out:  w.Weights(),
		f32:  func(in [][]float32, out []float32) { convWeightGrad(o.Batch, o.Window, in[0], in[1], out) },
		f64:  func(in [][]float64, out []float64) { convWeightGrad(o.Batch, o.Window, in[0], in[1], out) },
	}
	return o
}

// BiasGrad is the gradient to a layer's biases: the sum of dy over images and pixels.
type BiasGrad struct {
	meta
	Layer string
	Batch int
	Shape arch.Shape // of dy, one image
}

// NewBiasGrad makes the bias gradient of a layer.
func NewBiasGrad(layer string, batch int, s arch.Shape) *BiasGrad {
	o := &BiasGrad{Layer: layer, Batch: batch, Shape: s}
	o.meta = meta{
		text: fmt.Sprintf("bias-grad{%s %d %+v}", layer, batch, s),
		in:   []tensor.Shape{nhwc(batch, s)},
		out:  tensor.Shape{s.Channels},
		f32:  func(in [][]float32, out []float32) { biasGrad(in[0], out) },
		f64:  func(in [][]float64, out []float64) { biasGrad(in[0], out) },
	}
	return o
}

// perPixel says that the biases are those of a locally-connected layer.
func (o *BiasGrad) perPixel() bool { return o.out.TotalSize() != o.Shape.Channels }

// Dense is y = x·w + b, with x [N,H,W,C] read as [N, H·W·C], w [H·W·C, outputs], y [N,1,1,outputs].
type Dense struct {
	meta
	Layer   string
	Batch   int
	In      arch.Shape
	Outputs int
}

func (o *Dense) inputs() int { return o.In.Height * o.In.Width * o.In.Channels }

// NewDense makes a fully connected layer.
func NewDense(layer string, batch int, in arch.Shape, outputs int) *Dense {
	o := &Dense{Layer: layer, Batch: batch, In: in, Outputs: outputs}
	k := o.inputs()
	o.meta = meta{
		text: fmt.Sprintf("dense{%s %d %+v %d}", layer, batch, in, outputs),
		in:   []tensor.Shape{nhwc(batch, in), {k, outputs}, {outputs}},
		out:  tensor.Shape{batch, 1, 1, outputs},
		f32:  func(in [][]float32, out []float32) { dense(o.Batch, k, outputs, in[0], in[1], in[2], out) },
		f64:  func(in [][]float64, out []float64) { dense(o.Batch, k, outputs, in[0], in[1], in[2], out) },
	}
	return o
}

// DiffWRT says that all three inputs have gradients.
func (o *Dense) DiffWRT(n int) []bool { return all(3, n) }

// SymDiff gives the gradients to the input, the weights and the biases.
func (o *Dense) SymDiff(in gorgonia.Nodes, _, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	dx, err := applied(NewDenseDataGrad(o.Layer, o.Batch, o.In, o.Outputs), in[1], dy)
	if err != nil {
		return nil, err
	}
	dw, err := applied(NewDenseWeightGrad(o.Layer, o.Batch, o.In, o.Outputs), in[0], dy)
	if err != nil {
		return nil, err
	}
	db, err := applied(NewBiasGrad(o.Layer, o.Batch, arch.Shape{Height: 1, Width: 1, Channels: o.Outputs}), dy)
	return gorgonia.Nodes{dx, dw, db}, err
}

// DenseDataGrad is the gradient of Dense to its input: (w, dy) → dx.
type DenseDataGrad struct {
	meta
	Layer   string
	Batch   int
	In      arch.Shape
	Outputs int
}

// NewDenseDataGrad makes the data gradient of a fully connected layer.
func NewDenseDataGrad(layer string, batch int, in arch.Shape, outputs int) *DenseDataGrad {
	o := &DenseDataGrad{Layer: layer, Batch: batch, In: in, Outputs: outputs}
	k := in.Height * in.Width * in.Channels
	o.meta = meta{
		text: fmt.Sprintf("dense-data-grad{%s %d %+v %d}", layer, batch, in, outputs),
		in:   []tensor.Shape{{k, outputs}, {batch, 1, 1, outputs}},
		out:  nhwc(batch, in),
		f32:  func(in [][]float32, out []float32) { denseDataGrad(o.Batch, k, outputs, in[0], in[1], out) },
		f64:  func(in [][]float64, out []float64) { denseDataGrad(o.Batch, k, outputs, in[0], in[1], out) },
	}
	return o
}

// DenseWeightGrad is the gradient of Dense to its weights: (x, dy) → dw.
type DenseWeightGrad struct {
	meta
	Layer   string
	Batch   int
	In      arch.Shape
	Outputs int
}

// NewDenseWeightGrad makes the weight gradient of a fully connected layer.
func NewDenseWeightGrad(layer string, batch int, in arch.Shape, outputs int) *DenseWeightGrad {
	o := &DenseWeightGrad{Layer: layer, Batch: batch, In: in, Outputs: outputs}
	k := in.Height * in.Width * in.Channels
	o.meta = meta{
		text: fmt.Sprintf("dense-weight-grad{%s %d %+v %d}", layer, batch, in, outputs),
		in:   []tensor.Shape{nhwc(batch, in), {batch, 1, 1, outputs}},
		out:  tensor.Shape{k, outputs},
		f32:  func(in [][]float32, out []float32) { denseWeightGrad(o.Batch, k, outputs, in[0], in[1], out) },
		f64:  func(in [][]float64, out []float64) { denseWeightGrad(o.Batch, k, outputs, in[0], in[1], out) },
	}
	return o
}

// Function names a non-linearity.
type Function string

// The non-linearities. Tanh is A·tanh(B·x), LeakyReLU has the slope A below 0,
// ELU is B·x above 0 and A·B·(e^x − 1) below (SELU is one of them), Softplus is
// log(1 + e^x) − A. The derivative of each is a function of its output.
const (
	ReLU      Function = "relu"
	LeakyReLU Function = "leaky-relu"
	ELU       Function = "elu"
	Softplus  Function = "softplus"
	Arcsinh   Function = "arcsinh"
	Tanh      Function = "tanh"
	Sigmoid   Function = "sigmoid"
)

// Functions are all non-linearities.
var Functions = []Function{ReLU, LeakyReLU, ELU, Softplus, Arcsinh, Tanh, Sigmoid}

// Unit applies a non-linearity to every activation: x → y.
type Unit struct {
	meta
	Layer string
	Batch int
	Shape arch.Shape
	F     Function
	A, B  float64 // the function's constants
}

// NewUnit makes a layer of units.
func NewUnit(layer string, batch int, s arch.Shape, f Function, a, b float64) *Unit {
	o := &Unit{Layer: layer, Batch: batch, Shape: s, F: f, A: a, B: b}
	o.meta = meta{
		text: fmt.Sprintf("%s{%s %d %+v %v %v}", f, layer, batch, s, a, b),
		in:   []tensor.Shape{nhwc(batch, s)},
		out:  nhwc(batch, s),
		f32:  func(in [][]float32, out []float32) { unit(o.F, o.A, o.B, in[0], out) },
		f64:  func(in [][]float64, out []float64) { unit(o.F, o.A, o.B, in[0], out) },
	}
	return o
}

// DiffWRT says that the input has a gradient.
func (o *Unit) DiffWRT(n int) []bool { return all(1, n) }

// SymDiff gives the gradient to the input, computed from the output, so that x need not be kept.
func (o *Unit) SymDiff(_ gorgonia.Nodes, y, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	dx, err := applied(NewUnitGrad(o.Layer, o.Batch, o.Shape, o.F, o.A, o.B), y, dy)
	return gorgonia.Nodes{dx}, err
}

// UnitGrad is the gradient of Unit: (y, dy) → dx. ReLU's derivative at 0 is 0.
type UnitGrad struct {
	meta
	Layer string
	Batch int
	Shape arch.Shape
	F     Function
	A, B  float64
}

// NewUnitGrad makes the gradient of a layer of units.
func NewUnitGrad(layer string, batch int, s arch.Shape, f Function, a, b float64) *UnitGrad {
	o := &UnitGrad{Layer: layer, Batch: batch, Shape: s, F: f, A: a, B: b}
	o.meta = meta{
		text: fmt.Sprintf("%s-grad{%s %d %+v %v %v}", f, layer, batch, s, a, b),
		in:   []tensor.Shape{nhwc(batch, s), nhwc(batch, s)},
		out:  nhwc(batch, s),
		f32:  func(in [][]float32, out []float32) { unitGrad(o.F, o.A, o.B, in[0], in[1], out) },
		f64:  func(in [][]float64, out []float64) { unitGrad(o.F, o.A, o.B, in[0], in[1], out) },
	}
	return o
}

// Norm holds the constants of local response normalisation: y = x·(K + Alpha·Σx²)^−Beta.
// Alpha is what multiplies the sum: where the net divides it by the window's area, that is done already.
type Norm struct {
	Size   int
	Alpha  float64
	Beta   float64
	K      float64
	Groups int  // columns: a window across maps does not leave its column
	Within bool // the window is Size×Size pixels of one map, not Size maps
}

// LRN is local response normalisation: x → y.
type LRN struct {
	meta
	Layer string
	Batch int
	Shape arch.Shape
	Norm
}

// NewLRN makes a normalisation layer.
func NewLRN(layer string, batch int, s arch.Shape, n Norm) *LRN {
	o := &LRN{Layer: layer, Batch: batch, Shape: s, Norm: n}
	o.meta = meta{
		text: fmt.Sprintf("lrn{%s %d %+v %+v}", layer, batch, s, n),
		in:   []tensor.Shape{nhwc(batch, s)},
		out:  nhwc(batch, s),
		f32:  func(in [][]float32, out []float32) { lrn(o.Batch, o.Shape, o.Norm, in[0], out) },
		f64:  func(in [][]float64, out []float64) { lrn(o.Batch, o.Shape, o.Norm, in[0], out) },
	}
	return o
}

// DiffWRT says that the input has a gradient.
func (o *LRN) DiffWRT(n int) []bool { return all(1, n) }

// SymDiff gives the gradient to the input. The sums are computed again from x, which costs less than storing them.
func (o *LRN) SymDiff(in gorgonia.Nodes, _, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	dx, err := applied(NewLRNGrad(o.Layer, o.Batch, o.Shape, o.Norm), in[0], dy)
	return gorgonia.Nodes{dx}, err
}

// LRNGrad is the gradient of LRN: (x, dy) → dx.
type LRNGrad struct {
	meta
	Layer string
	Batch int
	Shape arch.Shape
	Norm
}

// NewLRNGrad makes the gradient of a normalisation layer.
func NewLRNGrad(layer string, batch int, s arch.Shape, n Norm) *LRNGrad {
	o := &LRNGrad{Layer: layer, Batch: batch, Shape: s, Norm: n}
	o.meta = meta{
		text: fmt.Sprintf("lrn-grad{%s %d %+v %+v}", layer, batch, s, n),
		in:   []tensor.Shape{nhwc(batch, s), nhwc(batch, s)},
		out:  nhwc(batch, s),
		f32:  func(in [][]float32, out []float32) { lrnGrad(o.Batch, o.Shape, o.Norm, in[0], in[1], out) },
		f64:  func(in [][]float64, out []float64) { lrnGrad(o.Batch, o.Shape, o.Norm, in[0], in[1], out) },
	}
	return o
}

// MaxPool takes each window's maximum: x → y.
type MaxPool struct {
	meta
	Layer string
	Batch int
	Window
}

// NewMaxPool makes a max-pooling layer.
func NewMaxPool(layer string, batch int, w Window) *MaxPool {
	o := &MaxPool{Layer: layer, Batch: batch, Window: w}
	o.meta = meta{
		text: fmt.Sprintf("maxpool{%s %d %+v}", layer, batch, w),
		in:   []tensor.Shape{nhwc(batch, w.In)},
		out:  nhwc(batch, w.Out),
		f32:  func(in [][]float32, out []float32) { maxPool(o.Batch, o.Window, in[0], out) },
		f64:  func(in [][]float64, out []float64) { maxPool(o.Batch, o.Window, in[0], out) },
	}
	return o
}

// DiffWRT says that the input has a gradient.
func (o *MaxPool) DiffWRT(n int) []bool { return all(1, n) }

// SymDiff gives the gradient to the input. Where the maximum stood is found again from x and y: no index is stored.
func (o *MaxPool) SymDiff(in gorgonia.Nodes, y, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	dx, err := applied(NewMaxPoolGrad(o.Layer, o.Batch, o.Window), in[0], y, dy)
	return gorgonia.Nodes{dx}, err
}

// MaxPoolGrad is the gradient of MaxPool: (x, y, dy) → dx. Of equal maxima in a
// window the first in row-major order gets the gradient.
type MaxPoolGrad struct {
	meta
	Layer string
	Batch int
	Window
}

// NewMaxPoolGrad makes the gradient of a max-pooling layer.
func NewMaxPoolGrad(layer string, batch int, w Window) *MaxPoolGrad {
	o := &MaxPoolGrad{Layer: layer, Batch: batch, Window: w}
	o.meta = meta{
		text: fmt.Sprintf("maxpool-grad{%s %d %+v}", layer, batch, w),
		in:   []tensor.Shape{nhwc(batch, w.In), nhwc(batch, w.Out), nhwc(batch, w.Out)},
		out:  nhwc(batch, w.In),
		f32:  func(in [][]float32, out []float32) { maxPoolGrad(o.Batch, o.Window, in[0], in[1], in[2], out) },
		f64:  func(in [][]float64, out []float64) { maxPoolGrad(o.Batch, o.Window, in[0], in[1], in[2], out) },
	}
	return o
}

// AvgPool takes each window's mean over the pixels inside the image: x → y.
type AvgPool struct {
	meta
	Layer string
	Batch int
	Window
}

// NewAvgPool makes an average-pooling layer.
func NewAvgPool(layer string, batch int, w Window) *AvgPool {
	o := &AvgPool{Layer: layer, Batch: batch, Window: w}
	o.meta = meta{
		text: fmt.Sprintf("avgpool{%s %d %+v}", layer, batch, w),
		in:   []tensor.Shape{nhwc(batch, w.In)},
		out:  nhwc(batch, w.Out),
		f32:  func(in [][]float32, out []float32) { avgPool(o.Batch, o.Window, in[0], out) },
		f64:  func(in [][]float64, out []float64) { avgPool(o.Batch, o.Window, in[0], out) },
	}
	return o
}

// DiffWRT says that the input has a gradient.
func (o *AvgPool) DiffWRT(n int) []bool { return all(1, n) }

// SymDiff gives the gradient to the input.
func (o *AvgPool) SymDiff(_ gorgonia.Nodes, _, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	dx, err := applied(NewAvgPoolGrad(o.Layer, o.Batch, o.Window), dy)
	return gorgonia.Nodes{dx}, err
}

// AvgPoolGrad is the gradient of AvgPool: dy → dx.
type AvgPoolGrad struct {
	meta
	Layer string
	Batch int
	Window
}

// NewAvgPoolGrad makes the gradient of an average-pooling layer.
func NewAvgPoolGrad(layer string, batch int, w Window) *AvgPoolGrad {
	o := &AvgPoolGrad{Layer: layer, Batch: batch, Window: w}
	o.meta = meta{
		text: fmt.Sprintf("avgpool-grad{%s %d %+v}", layer, batch, w),
		in:   []tensor.Shape{nhwc(batch, w.Out)},
		out:  nhwc(batch, w.In),
		f32:  func(in [][]float32, out []float32) { avgPoolGrad(o.Batch, o.Window, in[0], out) },
		f64:  func(in [][]float64, out []float64) { avgPoolGrad(o.Batch, o.Window, in[0], out) },
	}
	return o
}

// Dropout sets each activation to 0 with probability Rate: x → y. The same op
// on dy is its own gradient. In evaluation it multiplies by 1−Rate instead
// (paper, section 4.2). Inverted, it multiplies what is kept by 1/(1−Rate) in
// training and does nothing in evaluation. The mask is a pure function of (seed,
// layer, step, index), so none is stored and every device draws the same one.
type Dropout struct {
	meta
	Layer    string
	Batch    int
	Shape    arch.Shape
	Rate     float64
	Inverted bool
	Train    bool
	Part     Part
	clock    *Clock
}

// Up multiplies the activations that are kept in training.
func (o *Dropout) Up() float64 {
	if o.Inverted {
		return 1 / (1 - o.Rate)
	}
	return 1
}

// Kept multiplies every activation in evaluation.
func (o *Dropout) Kept() float64 {
	if o.Inverted {
		return 1
	}
	return 1 - o.Rate
}

// NewDropout makes a dropout layer that reads seed and step from clock when it is run by Do.
func NewDropout(layer string, batch int, s arch.Shape, l arch.Dropout, train bool, clock *Clock) *Dropout {
	return newDropout("dropout", layer, batch, s, l, train, clock)
}

func newDropout(kind, layer string, batch int, s arch.Shape, l arch.Dropout, train bool, clock *Clock) *Dropout {
	o := &Dropout{Layer: layer, Batch: batch, Shape: s, Rate: l.Rate, Inverted: l.Inverted, Train: train, Part: Part{Channels: s.Channels}, clock: clock}
	o.meta = meta{
		text: fmt.Sprintf("%s{%s %d %+v %+v %v}", kind, layer, batch, s, l, train),
		in:   []tensor.Shape{nhwc(batch, s)},
		out:  nhwc(batch, s),
		f32:  func(in [][]float32, out []float32) { dropout(o, in[0], out) },
		f64:  func(in [][]float64, out []float64) { dropout(o, in[0], out) },
	}
	return o
}

// at is the same layer on a part of its activations.
func (o *Dropout) at(s arch.Shape, p Part) *Dropout {
	kind, _ := o.label()
	part := newDropout(kind, o.Layer, o.Batch, s, arch.Dropout{Rate: o.Rate, Inverted: o.Inverted}, o.Train, o.clock)
	part.Part = p
	return part
}

// DiffWRT says that the input has a gradient.
func (o *Dropout) DiffWRT(n int) []bool { return all(1, n) }

// SymDiff gives the gradient to the input: the same mask on dy.
func (o *Dropout) SymDiff(_ gorgonia.Nodes, _, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	dx, err := applied(newDropout("dropout-grad", o.Layer, o.Batch, o.Shape, arch.Dropout{Rate: o.Rate, Inverted: o.Inverted}, o.Train, o.clock), dy)
	return gorgonia.Nodes{dx}, err
}

// SoftmaxLoss is the mean over the batch of −log softmax(logits)[label]:
// (logits [N,1,1,classes], labels [N]) → scalar. Labels are class numbers held
// as floats, exact up to 2²⁴, so that a device handles one type only.
type SoftmaxLoss struct {
	meta
	Batch, Classes int
}

// NewSoftmaxLoss makes the loss.
func NewSoftmaxLoss(batch, classes int) *SoftmaxLoss {
	o := &SoftmaxLoss{Batch: batch, Classes: classes}
	o.meta = meta{
		text: fmt.Sprintf("softmax-loss{%d %d}", batch, classes),
		in:   []tensor.Shape{{batch, 1, 1, classes}, {batch}},
		out:  tensor.Shape{},
		f32:  func(in [][]float32, out []float32) { softmaxLoss(o.Batch, o.Classes, in[0], in[1], out) },
		f64:  func(in [][]float64, out []float64) { softmaxLoss(o.Batch, o.Classes, in[0], in[1], out) },
	}
	return o
}

// DiffWRT says that the logits have a gradient and the labels none.
func (o *SoftmaxLoss) DiffWRT(n int) []bool { return all(1, n) }

// SymDiff gives the gradient to the logits.
func (o *SoftmaxLoss) SymDiff(in gorgonia.Nodes, _, dloss *gorgonia.Node) (gorgonia.Nodes, error) {
	dx, err := applied(NewSoftmaxLossGrad(o.Batch, o.Classes), in[0], in[1], dloss)
	return gorgonia.Nodes{dx, nil}, err
}

// SoftmaxLossGrad is the gradient of SoftmaxLoss: (logits, labels, dloss) → (softmax − one-hot)·dloss/N.
type SoftmaxLossGrad struct {
	meta
	Batch, Classes int
}

// NewSoftmaxLossGrad makes the gradient of the loss.
func NewSoftmaxLossGrad(batch, classes int) *SoftmaxLossGrad {
	o := &SoftmaxLossGrad{Batch: batch, Classes: classes}
	o.meta = meta{
		text: fmt.Sprintf("softmax-loss-grad{%d %d}", batch, classes),
		in:   []tensor.Shape{{batch, 1, 1, classes}, {batch}, {}},
		out:  tensor.Shape{batch, 1, 1, classes},
		f32:  func(in [][]float32, out []float32) { softmaxLossGrad(o.Batch, o.Classes, in[0], in[1], in[2][0], out) },
		f64:  func(in [][]float64, out []float64) { softmaxLossGrad(o.Batch, o.Classes, in[0], in[1], in[2][0], out) },
	}
	return o
}
