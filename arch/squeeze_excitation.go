package arch

import "fmt"

// SqueezeExcitation multiplies every channel of its input by a number, which its layers compute
// from the whole image (Hu et al. 2017, arXiv 1709.01507).
type SqueezeExcitation struct {
	Part
	// the layers in order. They compute one number for each channel, for example by a
	// global_avgpool, two dense layers and a sigmoid
	Layers []Layer `yaml:"layers" required:"true" items:"4096" example:"[{global_avgpool: {}}, {sigmoid: {}}]"`
}

var _ = kind(structure, &SqueezeExcitation{})

func (*SqueezeExcitation) Kind() string           { return "squeeze_excitation" }
func (*SqueezeExcitation) stem() string           { return "se" }
func (*SqueezeExcitation) Words(LayerInfo) string { return "squeeze_excitation" }
func (l *SqueezeExcitation) lists() []*[]Layer    { return []*[]Layer{&l.Layers} }

func (l *SqueezeExcitation) check() error {
	if len(l.Layers) == 0 {
		return fmt.Errorf("layers is missing; list the layers that compute the factors of the channels")
	}
	return nil
}

func (l *SqueezeExcitation) lay(b *layout, layer Layer, from int) (int, error) {
	last, err := b.inside(l.Layers, from)
	if err != nil {
		return 0, err
	}
	in, out := b.shape(from), b.shape(last)
	if out != (Shape{Height: 1, Width: 1, Channels: in.Channels}) {
		return 0, b.misfit(layer, "its layers turn %v into %v; they must compute one number for each channel, "+
			"1×1×%d: %w", in, out, in.Channels, ErrShape)
	}
	return b.join(layer, from, in, from, last)
}
