package arch

import "fmt"

var _ = kind(normalisation, &LRN{})

// The regions of LRN.
const (
	AcrossMaps = "across_maps"
	WithinMap  = "within_map"
)

// LRN is local response normalisation (the paper, section 3.3): it divides every
// activation by (k + alpha·Σx²)^beta. Across maps the sum runs over size adjacent
// channels of the same column at the same pixel; within a map, over size×size
// pixels of the same channel.
type LRN struct {
	// channels, or pixels along a side, of the window; odd, so that it has a centre
	Size int `yaml:"size" min:"1" max:"16383" example:"5"`
	// the factor of the sum of squares
	Alpha float64 `yaml:"alpha" min:"0" max:"1e6" example:"1.0e-4"`
	// whether alpha is divided by the size of the window, as in Caffe, PyTorch and the 2012 source
	// (true), or not, as in the paper and TensorFlow (false). It must be stated
	AlphaOverSize *bool `yaml:"alpha_over_size" required:"true" example:"false"`
	// the exponent
	Beta float64 `yaml:"beta" min:"-1e3" max:"1e3" example:"0.75"`
	// added to the sum
	K float64 `yaml:"k" above:"0" max:"1e6" example:"2"`
	// the shape of the window
	Region string `yaml:"region" oneof:"across_maps within_map" example:"within_map"`
}

func (*LRN) Kind() string { return "lrn" }
func (*LRN) stem() string { return "norm" }
func (l *LRN) defaults()  { *l = LRN{Region: AcrossMaps} }

// Words returns a form such as "lrn across, size 5".
func (l *LRN) Words(LayerInfo) string {
	where := "across"
	if l.Region == WithinMap {
		where = "within"
	}
	return fmt.Sprintf("lrn %s, size %d", where, l.Size)
}

func (l *LRN) check() error {
	switch {
	case l.Size < 1 || l.Size%2 == 0:
		return fmt.Errorf("size is %d; want an odd number", l.Size)
	case l.AlphaOverSize == nil:
		return fmt.Errorf("set alpha_over_size: true (Caffe, PyTorch, the 2012 source) " +
			"or false (the paper's formula, TensorFlow): implementations differ")
	case l.K <= 0 || l.Alpha < 0:
		return fmt.Errorf("k must be positive and alpha not negative")
	}
	return nil
}

func (l *LRN) place(p *LayerInfo, columns int) error {
	if l.Region == WithinMap {
		return nil
	}
	p.Groups = columns
	if p.In.Channels%columns != 0 {
		return fmt.Errorf("%v cannot be split into %d columns: %w", p.In, columns, ErrShape)
	}
	return nil
}
