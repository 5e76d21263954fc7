package graph

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"ablate/arch"
)

// Function names a non-linearity.
type Function string

// The non-linearities. Tanh is A·tanh(B·x), LeakyReLU has the slope A below 0, ELU is B·x above 0
// and A·B·(e^x − 1) below (SELU is one of them), and Softplus is log(1 + e^x) − A. The derivative
// of each is a function of its output, except for the last three, which are not monotonic: their
// derivatives are functions of the input.
const (
	ReLU      Function = "relu"
	LeakyReLU Function = "leaky-relu"
	ELU       Function = "elu"
	Softplus  Function = "softplus"
	Arcsinh   Function = "arcsinh"
	Tanh      Function = "tanh"
	Sigmoid   Function = "sigmoid"
	GELU      Function = "gelu"
	SiLU      Function = "silu"
	HardSwish Function = "hard-swish"
)

// Functions lists all non-linearities.
var Functions = []Function{ReLU, LeakyReLU, ELU, Softplus, Arcsinh, Tanh, Sigmoid, GELU, SiLU, HardSwish}

// OfInput reports whether the derivative is a function of the input.
func (f Function) OfInput() bool { return f == GELU || f == SiLU || f == HardSwish }

// Activation applies a non-linearity to every activation: x → y.
type Activation struct {
	meta
	Shape arch.Shape
	F     Function
	A, B  float64 // the function's constants
}

// NewActivation makes a layer that applies a function to every activation.
func NewActivation(layer string, batch int, s arch.Shape, f Function, a, b float64) *Activation {
	o := &Activation{Shape: s, F: f, A: a, B: b}
	o.meta = meta{
		kind: string(f), Layer: layer, Batch: batch, params: fmt.Sprintf("%+v %v %v", s, a, b),
		in:  []tensor.Shape{nhwc(batch, s)},
		out: nhwc(batch, s),
		f32: func(in [][]float32, out []float32) { activation(o.F, o.A, o.B, in[0], out) },
		f64: func(in [][]float64, out []float64) { activation(o.F, o.A, o.B, in[0], out) },
	}
	return o
}

// DiffWRT reports that the input has a gradient.
func (o *Activation) DiffWRT(n int) []bool { return all(1, n) }

// SymDiff returns the gradient to the input. It is computed from the output if possible, so that x
// need not be kept.
func (o *Activation) SymDiff(in gorgonia.Nodes, y, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	if o.F.OfInput() {
		y = in[0]
	}
	dx, err := applied(NewActivationGrad(o.Layer, o.Batch, o.Shape, o.F, o.A, o.B), y, dy)
	return gorgonia.Nodes{dx}, err
}

// ActivationGrad is the gradient of Activation: (y, dy) → dx, or (x, dy) → dx if OfInput. ReLU's
// derivative at 0 is 0.
type ActivationGrad struct {
	meta
	Shape arch.Shape
	F     Function
	A, B  float64
}

// NewActivationGrad makes the gradient of such a layer.
func NewActivationGrad(layer string, batch int, s arch.Shape, f Function, a, b float64) *ActivationGrad {
	o := &ActivationGrad{Shape: s, F: f, A: a, B: b}
	o.meta = meta{
		kind: string(f) + "-grad", Layer: layer, Batch: batch, params: fmt.Sprintf("%+v %v %v", s, a, b),
		in:  []tensor.Shape{nhwc(batch, s), nhwc(batch, s)},
		out: nhwc(batch, s),
		f32: func(in [][]float32, out []float32) { activationGrad(o.F, o.A, o.B, in[0], in[1], out) },
		f64: func(in [][]float64, out []float64) { activationGrad(o.F, o.A, o.B, in[0], in[1], out) },
	}
	return o
}

func activation[T float](f Function, a, b float64, x, y []T) {
	for i, v := range x {
		y[i] = T(f.At(a, b, float64(v)))
	}
}

func activationGrad[T float](f Function, a, b float64, y, dy, dx []T) {
	for i, v := range y {
		dx[i] = T(float64(dy[i]) * f.Slope(a, b, float64(v)))
	}
}

// At returns the function's value at x.
func (f Function) At(a, b, x float64) float64 {
	switch f {
	case ReLU:
		return max(x, 0)
	case LeakyReLU:
		if x < 0 {
			return a * x
		}
		return x
	case ELU:
		if x < 0 {
			return a * b * math.Expm1(x)
		}
		return b * x
	case Softplus: // log(1 + e^x), without overflow
		return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) - a
	case Arcsinh:
		return math.Asinh(x)
	case Tanh:
		return a * math.Tanh(b*x)
	case Sigmoid:
		return 1 / (1 + math.Exp(-x))
	case GELU: // x·Φ(x)
		return x * math.Erfc(-x/math.Sqrt2) / 2
	case SiLU: // x·σ(x)
		return x / (1 + math.Exp(-x))
	case HardSwish:
		return x * min(max(x+3, 0), 6) / 6
	}
	panic("no function " + string(f))
}

// Slope returns the function's derivative where its value is y or, with OfInput, where its
// argument is y.
func (f Function) Slope(a, b, y float64) float64 {
	switch f {
	case ReLU:
		if y > 0 {
			return 1
		}
		return 0
	case LeakyReLU:
		if y < 0 {
			return a
		}
		return 1
	case ELU: // d/dx ab(e^x − 1) = ab·e^x = y + ab
		if y < 0 {
			return y + a*b
		}
		return b
	case Softplus: // σ(x) = 1 − e^−(y+a)
		return -math.Expm1(-(y + a))
	case Arcsinh: // 1/√(1+x²) = 1/cosh(y)
		return 1 / math.Cosh(y)
	case Tanh: // ab(1 − tanh²) = (b/a)(a² − y²)
		return b / a * (a*a - y*y)
	case Sigmoid:
		return y * (1 - y)
	case GELU: // Φ(x) + x·φ(x)
		return math.Erfc(-y/math.Sqrt2)/2 + y*math.Exp(-y*y/2)/math.Sqrt(2*math.Pi)
	case SiLU:
		s := 1 / (1 + math.Exp(-y))
		return s * (1 + y*(1-s))
	case HardSwish:
		switch {
		case y <= -3:
			return 0
		case y >= 3:
			return 1
		}
		return (2*y + 3) / 6
	}
	panic("no function " + string(f))
}

// Shard divides by channels.
func (o *Activation) Shard(s Split) (Shard, error) {
	return s.own(o, NewActivation(o.Layer, o.Batch, s.shape(o.Shape), o.F, o.A, o.B)), nil
}

// Shard divides by channels.
func (o *ActivationGrad) Shard(s Split) (Shard, error) {
	return s.own(o, NewActivationGrad(o.Layer, o.Batch, s.shape(o.Shape), o.F, o.A, o.B)), nil
}

// The constants of the SELU's fixed point (Klambauer et al. 2017, equation 14).
const (
	seluAlpha = 1.6732632423543772
	seluScale = 1.0507009873554805
)

// activates registers a kind of layer that applies a function to every activation.
func activates[S arch.Spec](function func(l S) (f Function, a, b float64)) struct{} {
	return builds(func(b *builder, p arch.LayerInfo, l S, x *gorgonia.Node) (*gorgonia.Node, error) {
		f, a, c := function(l)
		return applied(NewActivation(p.Layer.Name, b.g.Batch, p.In, f, a, c), x)
	})
}

var (
	_ = activates(func(l *arch.ReLU) (Function, float64, float64) { return ReLU, 0, 0 })
	_ = activates(func(l *arch.Tanh) (Function, float64, float64) { return Tanh, l.A, l.B })
	_ = activates(func(l *arch.Sigmoid) (Function, float64, float64) { return Sigmoid, 0, 0 })
	_ = activates(func(l *arch.LeakyReLU) (Function, float64, float64) { return LeakyReLU, l.Slope, 0 })
	_ = activates(func(l *arch.ELU) (Function, float64, float64) { return ELU, l.Alpha, 1 })
	_ = activates(func(l *arch.GELU) (Function, float64, float64) { return GELU, 0, 0 })
	_ = activates(func(l *arch.SiLU) (Function, float64, float64) { return SiLU, 0, 0 })
	_ = activates(func(l *arch.HardSwish) (Function, float64, float64) { return HardSwish, 0, 0 })
	_ = activates(func(l *arch.SELU) (Function, float64, float64) { return ELU, seluAlpha, seluScale })
	_ = activates(func(l *arch.Softplus) (Function, float64, float64) { return Softplus, l.Shift, 0 })
	_ = activates(func(l *arch.Arcsinh) (Function, float64, float64) { return Arcsinh, 0, 0 })
)
