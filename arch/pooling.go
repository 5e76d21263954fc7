package arch

import "fmt"

var (
	_ = kind(pooling, &MaxPool{})
	_ = kind(pooling, &AvgPool{})
	_ = kind(pooling, &MaxAvgPool{})
	_ = kind(pooling, &StochasticPool{})
)

// Pool has the fields that pooling layers share: a window that slides over the image. Windows are
// clipped to the image.
type Pool struct {
	// width and height of the window
	Kernel int `yaml:"kernel" min:"1" max:"16384" unit:"pixels" example:"3"`
	// step from one window to the next
	Stride int `yaml:"stride" min:"1" max:"16384" unit:"pixels" example:"2"`
	// border around the image, narrower than the window: one number, or top, bottom, left and right
	Pad Pad `yaml:"pad" unit:"pixels" example:"1"`
	// round the output's size up, as cuda-convnet and Caffe do; the last window must start inside the image
	Ceil bool `yaml:"ceil" example:"true"`
}

func (*Pool) stem() string { return "pool" }
func (l *Pool) defaults()  { l.Stride = 1 }

func (l *Pool) check() error {
	if l.Kernel < 1 || l.Stride < 1 {
		return fmt.Errorf("kernel and stride must be positive")
	}
	if m := max(l.Pad.Top, l.Pad.Bottom, l.Pad.Left, l.Pad.Right); m >= l.Kernel {
		return fmt.Errorf("pad %d leaves windows of a %d×%d kernel without pixels", m, l.Kernel, l.Kernel)
	}
	return nil
}

func (l *Pool) place(p *LayerInfo, _ int) error {
	return p.window(l.Kernel, l.Stride, l.Pad, l.Ceil, p.In.Channels)
}

// simplify drops ceil if rounding up and down are the same.
func (l *Pool) simplify(p LayerInfo) {
	down := p
	if down.window(l.Kernel, l.Stride, l.Pad, false, p.In.Channels) == nil && down.Out == p.Out {
		l.Ceil = false
	}
}

// Words returns a form such as "maxpool 3/2 ceil".
func (l *Pool) Words(p LayerInfo) string {
	s := fmt.Sprintf("%s %d/%d", p.Layer.Spec.Kind(), l.Kernel, l.Stride)
	if l.Ceil {
		s += " ceil"
	}
	return s
}

// MaxPool takes the maximum of each window.
type MaxPool struct{ Pool }

func (*MaxPool) Kind() string { return "maxpool" }

// AvgPool takes the mean of each window, over the pixels inside the image.
type AvgPool struct{ Pool }

func (*AvgPool) Kind() string { return "avgpool" }

// MaxAvgPool is the sum of each window's maximum and mean (Lee et al. 2015, arXiv 1509.08985).
type MaxAvgPool struct{ Pool }

func (*MaxAvgPool) Kind() string { return "maxavgpool" }

// StochasticPool takes a random activation of each window, with probabilities in proportion to the
// activations; in evaluation it takes their mean with these weights (Zeiler and Fergus 2013, arXiv
// 1301.3557). Activations below 0 are never taken. A window with none above 0 outputs 0.
type StochasticPool struct{ Pool }

func (*StochasticPool) Kind() string { return "stochasticpool" }

// GlobalAvgPool takes each channel's mean over all pixels (Lin et al. 2013, arXiv 1312.4400).
type GlobalAvgPool struct{}

var _ = kind(pooling, &GlobalAvgPool{})

func (*GlobalAvgPool) Kind() string           { return "global_avgpool" }
func (*GlobalAvgPool) stem() string           { return "pool" }
func (*GlobalAvgPool) Words(LayerInfo) string { return "global_avgpool" }
func (*GlobalAvgPool) defaults()              {}
func (*GlobalAvgPool) check() error           { return nil }

func (*GlobalAvgPool) place(p *LayerInfo, _ int) error {
	p.Out.Height, p.Out.Width = 1, 1
	return nil
}
