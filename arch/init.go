package arch

import "fmt"

// Init kinds.
const (
	Gaussian = "gaussian"
	He       = "he"
	Uniform  = "uniform"
)

// Init says how a layer's weights and biases start.
type Init struct {
	// gaussian: deviation std; he: deviation √(2/fan-in); uniform: ±1/√fan-in, biases too, PyTorch's default
	Kind string `yaml:"kind" oneof:"gaussian he uniform" example:"he"`
	// standard deviation of the weights; needed by gaussian, not read by the others
	Std float64 `yaml:"std" min:"0" max:"1e6" example:"0.01"`
	// what every bias starts at
	Bias float64 `yaml:"bias" min:"-1e6" max:"1e6" example:"1"`
}

func (i Init) check() error {
	if i.Kind == Gaussian && i.Std <= 0 {
		return fmt.Errorf("init needs a std above 0, or kind: he or uniform")
	}
	return nil
}

// simple is the start without what its kind never reads.
func (i Init) simple() Init {
	if i.Kind != Gaussian {
		i.Std = 0
	}
	if i.Kind == Uniform {
		i.Bias = 0
	}
	return i
}

// Factor multiplies a recipe value (learning rate, weight decay) for one layer's weights and biases.
type Factor struct {
	// the factor for the weights
	Weight float64 `yaml:"weight" json:"weight" min:"0" max:"1e6" example:"1"`
	// the factor for the biases
	Bias float64 `yaml:"bias" json:"bias" min:"0" max:"1e6" example:"2"`
}
