package arch

import "fmt"

var _ = kind(learned, &Dense{})

// Dense is a fully connected layer. Weights are [in, outputs], where in is height·width·channels,
// flattened in NHWC order.
type Dense struct {
	// the number of outputs; in the last layer, the number of classes
	Outputs int `yaml:"outputs" min:"1" max:"1048576" example:"1000"`
	// add a learned number to each output
	Bias bool `yaml:"bias" json:",omitempty" example:"false"`
	// how weights and biases are initialised
	Init Init `yaml:"init" example:"{kind: he}"`
	// multiplies the learning rate of weights and biases
	LR Factor `yaml:"lr_factor" example:"{bias: 2}"`
	// multiplies the weight decay; by default biases do not decay
	Decay Factor `yaml:"decay_factor" example:"{weight: 0}"`
}

func (*Dense) Kind() string { return "dense" }
func (*Dense) stem() string { return "fc" }

func (d *Dense) defaults() {
	*d = Dense{Bias: true, Init: Init{Kind: Gaussian}, LR: Factor{Weight: 1, Bias: 1}, Decay: Factor{Weight: 1}}
}

func (d *Dense) check() error {
	if d.Outputs < 1 {
		return fmt.Errorf("outputs must be positive")
	}
	return d.Init.check()
}

func (d *Dense) place(p *LayerInfo, _ int) (err error) {
	p.Out = Shape{Height: 1, Width: 1, Channels: d.Outputs}
	p.MACs, err = product("weights", p.In.Len(), d.Outputs)
	p.Params = p.MACs
	if d.Bias {
		p.Params += int64(d.Outputs)
	}
	return err
}

func (d *Dense) simplify(LayerInfo) {
	d.Init = d.Init.simple()
	if !d.Bias {
		d.Init.Bias, d.LR.Bias, d.Decay.Bias = 0, 0, 0
	}
}

// Words returns only the kind, since the output's shape tells the rest.
func (*Dense) Words(LayerInfo) string { return "dense" }
