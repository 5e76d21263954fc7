package arch

import "fmt"

var (
	_ = kind(activation, &ReLU{})
	_ = kind(activation, &Tanh{})
	_ = kind(activation, &Sigmoid{})
	_ = kind(activation, &LeakyReLU{})
	_ = kind(activation, &RReLU{})
	_ = kind(activation, &PReLU{})
	_ = kind(activation, &ELU{})
	_ = kind(activation, &SELU{})
	_ = kind(activation, &Softplus{})
	_ = kind(activation, &Arcsinh{})
	_ = kind(activation, &GELU{})
	_ = kind(activation, &SiLU{})
	_ = kind(activation, &HardSwish{})
)

// ReLU is max(0, x).
type ReLU struct{ Elementwise }

func (*ReLU) Kind() string           { return "relu" }
func (*ReLU) stem() string           { return "relu" }
func (*ReLU) Words(LayerInfo) string { return "relu" }

// Tanh is a·tanh(b·x): cuda-convnet's form, the plain tanh by default.
type Tanh struct {
	Elementwise
	// scales the output; not 0
	A float64 `yaml:"a" min:"-1e6" max:"1e6" example:"1.7159"`
	// scales the input; not 0
	B float64 `yaml:"b" min:"-1e6" max:"1e6" example:"0.6667"`
}

func (*Tanh) Kind() string           { return "tanh" }
func (*Tanh) stem() string           { return "tanh" }
func (*Tanh) Words(LayerInfo) string { return "tanh" }
func (l *Tanh) defaults()            { *l = Tanh{A: 1, B: 1} }

func (l *Tanh) check() error {
	if l.A == 0 || l.B == 0 {
		return fmt.Errorf("a and b must not be 0")
	}
	return nil
}

// Sigmoid is 1/(1+e^−x).
type Sigmoid struct{ Elementwise }

func (*Sigmoid) Kind() string           { return "sigmoid" }
func (*Sigmoid) stem() string           { return "sigmoid" }
func (*Sigmoid) Words(LayerInfo) string { return "sigmoid" }

// LeakyReLU is x above 0 and slope·x below (Maas et al. 2013; "very leaky" with 1/3).
type LeakyReLU struct {
	Elementwise
	// the slope of the line below 0
	Slope float64 `yaml:"slope" above:"0" max:"1e6" example:"0.333"`
}

func (*LeakyReLU) Kind() string           { return "leaky_relu" }
func (*LeakyReLU) stem() string           { return "relu" }
func (*LeakyReLU) Words(LayerInfo) string { return "leaky_relu" }
func (l *LeakyReLU) defaults()            { *l = LeakyReLU{Slope: 0.01} }

func (l *LeakyReLU) check() error {
	if l.Slope <= 0 {
		return fmt.Errorf("slope is %v; it must be above 0 (at 0 it is a relu)", l.Slope)
	}
	return nil
}

// RReLU is a leaky ReLU with a random slope. In training, a slope is drawn for each value,
// uniformly from lower to upper; in evaluation, it is the mean of the two (Xu et al. 2015, arXiv
// 1505.00853).
type RReLU struct {
	Elementwise
	// the smallest slope
	Lower float64 `yaml:"lower" above:"0" max:"1e6" example:"0.125"`
	// the largest slope, at least lower
	Upper float64 `yaml:"upper" above:"0" max:"1e6" example:"0.333"`
}

func (*RReLU) Kind() string { return "rrelu" }
func (*RReLU) stem() string { return "relu" }
func (l *RReLU) defaults()  { *l = RReLU{Lower: 1. / 8, Upper: 1. / 3} }

// Words are as in "rrelu 0.125 to 0.333".
func (l *RReLU) Words(LayerInfo) string { return fmt.Sprintf("rrelu %.3g to %.3g", l.Lower, l.Upper) }

func (l *RReLU) check() error {
	if l.Lower <= 0 || l.Upper < l.Lower {
		return fmt.Errorf("lower is %v and upper %v; want 0 < lower ≤ upper", l.Lower, l.Upper)
	}
	return nil
}

// PReLU is a leaky ReLU with a learned slope for each channel (He et al. 2015, arXiv 1502.01852).
// The slopes learn at the layer's rate and do not decay.
type PReLU struct {
	Elementwise
	// the initial slope
	Slope float64 `yaml:"slope" min:"-1e6" max:"1e6" example:"0.25"`
}

func (*PReLU) Kind() string           { return "prelu" }
func (*PReLU) stem() string           { return "relu" }
func (*PReLU) Words(LayerInfo) string { return "prelu" }
func (l *PReLU) defaults()            { *l = PReLU{Slope: 0.25} }

func (l *PReLU) place(p *LayerInfo, _ int) error {
	p.Params = int64(p.In.Channels)
	return nil
}

// ELU is x above 0 and alpha·(e^x − 1) below (Clevert et al. 2015, arXiv 1511.07289).
type ELU struct {
	Elementwise
	// minus the smallest output
	Alpha float64 `yaml:"alpha" above:"0" max:"1e6" example:"1"`
}

func (*ELU) Kind() string           { return "elu" }
func (*ELU) stem() string           { return "elu" }
func (*ELU) Words(LayerInfo) string { return "elu" }
func (l *ELU) defaults()            { *l = ELU{Alpha: 1} }

// SELU is the ELU scaled so that mean 0 and variance 1 are a fixed point (Klambauer et al. 2017, arXiv 1706.02515).
type SELU struct{ Elementwise }

func (*SELU) Kind() string           { return "selu" }
func (*SELU) stem() string           { return "selu" }
func (*SELU) Words(LayerInfo) string { return "selu" }

// Softplus is log(1 + e^x) − shift; with a shift of log 2 it goes through 0.
type Softplus struct {
	Elementwise
	// subtracted from the output
	Shift float64 `yaml:"shift" min:"-1e6" max:"1e6" example:"0.6931"`
}

func (*Softplus) Kind() string           { return "softplus" }
func (*Softplus) stem() string           { return "softplus" }
func (*Softplus) Words(LayerInfo) string { return "softplus" }

// Arcsinh is log(x + √(x² + 1)): linear about 0, logarithmic far from it.
type Arcsinh struct{ Elementwise }

func (*Arcsinh) Kind() string           { return "arcsinh" }
func (*Arcsinh) stem() string           { return "arcsinh" }
func (*Arcsinh) Words(LayerInfo) string { return "arcsinh" }

// GELU is x·Φ(x), where Φ is the distribution function of the normal distribution (Hendrycks and
// Gimpel 2016, arXiv 1606.08415).
type GELU struct{ Elementwise }

func (*GELU) Kind() string           { return "gelu" }
func (*GELU) stem() string           { return "gelu" }
func (*GELU) Words(LayerInfo) string { return "gelu" }

// SiLU is x times the logistic function of x, also called swish (Elfwing et al. 2017, arXiv
// 1702.03118).
type SiLU struct{ Elementwise }

func (*SiLU) Kind() string           { return "silu" }
func (*SiLU) stem() string           { return "silu" }
func (*SiLU) Words(LayerInfo) string { return "silu" }

// HardSwish approximates SiLU by straight lines, x·min(max(x + 3, 0), 6)/6 (Howard et al. 2019,
// arXiv 1905.02244).
type HardSwish struct{ Elementwise }

func (*HardSwish) Kind() string           { return "hard_swish" }
func (*HardSwish) stem() string           { return "swish" }
func (*HardSwish) Words(LayerInfo) string { return "hard_swish" }
