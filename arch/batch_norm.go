package arch

import "fmt"

var _ = kind(normalisation, &BatchNorm{})

// BatchNorm normalises every channel to mean 0 and variance 1 over the batch and its pixels, then
// scales and shifts it (Ioffe and Szegedy 2015, arXiv 1502.03167). In evaluation it uses running
// averages of mean and variance.
type BatchNorm struct {
	// added to the variance
	Epsilon float64 `yaml:"epsilon" above:"0" max:"1e6" example:"1.0e-5"`
	// the share of the newest batch in the running averages (PyTorch's momentum)
	Momentum float64 `yaml:"momentum" alias:"average" above:"0" max:"1" example:"0.01"`
	// learn a scale and a shift for each channel
	Affine bool `yaml:"affine" example:"false"`
}

func (*BatchNorm) Kind() string           { return "batch_norm" }
func (*BatchNorm) stem() string           { return "bn" }
func (*BatchNorm) Words(LayerInfo) string { return "batch_norm" }
func (l *BatchNorm) defaults()            { *l = BatchNorm{Epsilon: 1e-5, Momentum: 0.1, Affine: true} }

func (l *BatchNorm) check() error {
	if l.Epsilon <= 0 || l.Momentum <= 0 || l.Momentum > 1 {
		return fmt.Errorf("epsilon must be above 0 and momentum above 0 and at most 1")
	}
	return nil
}

func (l *BatchNorm) place(p *LayerInfo, _ int) error {
	if l.Affine {
		p.Params = 2 * int64(p.In.Channels)
	}
	return nil
}
