package arch

import "fmt"

var _ = kind(learned, &Local{})

// Local is a convolution whose weights and biases are not shared: every output pixel has its own
// (cuda-convnet's locally connected layer with unshared biases). Weights are [height, width,
// kernel, kernel, channels/groups, filters] over the output's pixels, biases
// [height·width·filters].
type Local struct{ Conv }

func (*Local) Kind() string { return "local" }
func (*Local) stem() string { return "local" }

func (l *Local) place(p *LayerInfo, columns int) error {
	weights, err := l.slide(p, columns)
	if err != nil {
		return err
	}
	if p.MACs, err = product("weights", weights, p.Out.Height, p.Out.Width); err != nil {
		return fmt.Errorf("%d weights for each of %d pixels: %w", weights, p.Out.Height*p.Out.Width, err)
	}
	p.Params = p.MACs
	if l.Bias {
		p.Params += int64(p.Out.Len())
	}
	return nil
}

// Words returns a form such as "local 3×3/1 pad 1".
func (l *Local) Words(p LayerInfo) string { return l.words("local", p.Groups) }
