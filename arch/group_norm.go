package arch

import "fmt"

// GroupNorm normalises each group of channels to mean 0 and variance 1 over all pixels of one
// image, then scales and shifts every channel (Wu and He 2018, arXiv 1803.08494).
type GroupNorm struct {
	// the number of groups of channels
	Groups int `yaml:"groups" min:"1" max:"1048576" example:"8"`
	// added to the variance
	Epsilon float64 `yaml:"epsilon" above:"0" max:"1e6" example:"1.0e-5"`
	// learn a scale and a shift for each channel
	Affine bool `yaml:"affine" example:"false"`
}

// LayerNorm is GroupNorm with a single group: it normalises over all values of an image (Ba et al.
// 2016, arXiv 1607.06450).
type LayerNorm struct {
	// added to the variance
	Epsilon float64 `yaml:"epsilon" above:"0" max:"1e6" example:"1.0e-5"`
	// learn a scale and a shift for each channel
	Affine bool `yaml:"affine" example:"false"`
}

var (
	_ = kind(normalisation, &GroupNorm{})
	_ = kind(normalisation, &LayerNorm{})
)

func (*GroupNorm) Kind() string { return "group_norm" }
func (*GroupNorm) stem() string { return "gn" }
func (l *GroupNorm) defaults()  { *l = GroupNorm{Groups: 4, Epsilon: 1e-5, Affine: true} }

// Words returns a form such as "group_norm of 4".
func (l *GroupNorm) Words(LayerInfo) string { return fmt.Sprintf("group_norm of %d", l.Groups) }

func (l *GroupNorm) check() error {
	if l.Groups < 1 || l.Epsilon <= 0 {
		return fmt.Errorf("groups and epsilon must be positive")
	}
	return nil
}

func (l *GroupNorm) place(p *LayerInfo, _ int) error {
	p.Groups = l.Groups
	if p.In.Channels%l.Groups != 0 {
		return fmt.Errorf("%v cannot be split into %d groups: %w", p.In, l.Groups, ErrShape)
	}
	if l.Affine {
		p.Params = 2 * int64(p.In.Channels)
	}
	return nil
}

func (*LayerNorm) Kind() string           { return "layer_norm" }
func (*LayerNorm) stem() string           { return "ln" }
func (*LayerNorm) Words(LayerInfo) string { return "layer_norm" }
func (l *LayerNorm) defaults()            { *l = LayerNorm{Epsilon: 1e-5, Affine: true} }

func (l *LayerNorm) check() error {
	if l.Epsilon <= 0 {
		return fmt.Errorf("epsilon must be positive")
	}
	return nil
}

func (l *LayerNorm) place(p *LayerInfo, _ int) error {
	if l.Affine {
		p.Params = 2 * int64(p.In.Channels)
	}
	return nil
}
