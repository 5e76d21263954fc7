package arch

import "fmt"

// The kinds of initialisation.
const (
	Gaussian = "gaussian"
	He       = "he"
	Uniform  = "uniform"
)

// Init says how a layer's weights and biases are initialised.
type Init struct {
	// gaussian: standard deviation std; he: standard deviation √(2/fan-in); uniform: ±1/√fan-in,
	// also for biases, PyTorch's default
	Kind string `yaml:"kind" oneof:"gaussian he uniform" example:"he"`
	// standard deviation of the weights; required by gaussian, ignored by the others
	Std float64 `yaml:"std" min:"0" max:"1e6" example:"0.01"`
	// the initial value of every bias
	Bias float64 `yaml:"bias" min:"-1e6" max:"1e6" example:"1"`
}

func (i Init) check() error {
	if i.Kind == Gaussian && i.Std <= 0 {
		return fmt.Errorf("init needs a std above 0, or kind: he or uniform")
	}
	return nil
}

// simple returns the initialisation without the keys that its kind never reads.
func (i Init) simple() Init {
	if i.Kind != Gaussian {
		i.Std = 0
	}
	if i.Kind == Uniform {
		i.Bias = 0
	}
	return i
}

// Factor multiplies a value of the recipe (learning rate, weight decay) for the weights and biases
// of one layer.
type Factor struct {
	// the factor for the weights
	Weight float64 `yaml:"weight" json:"weight" min:"0" max:"1e6" example:"1"`
	// the factor for the biases
	Bias float64 `yaml:"bias" json:"bias" min:"0" max:"1e6" example:"2"`
}
