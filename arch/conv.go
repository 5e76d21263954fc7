package arch

import (
	"fmt"

	"ablate/strictyaml"
)

var _ = kind(learned, &Conv{})

// Conv is a convolution. Weights are [kernel, kernel, channels/groups, filters].
type Conv struct {
	// channels of the output
	Filters int `yaml:"filters" min:"1" max:"1048576" example:"96"`
	// width and height of the window
	Kernel int `yaml:"kernel" min:"1" max:"16384" unit:"pixels" example:"11"`
	// step from one window to the next
	Stride int `yaml:"stride" min:"1" max:"16384" unit:"pixels" example:"4"`
	// zeros around the image: one number for all sides, or top, bottom, left and right
	Pad Pad `yaml:"pad" unit:"pixels" example:"{right: 3, bottom: 3}"`
	// the number of groups of channels; with as many groups as channels this is a depthwise
	// convolution
	Groups int `yaml:"groups" min:"1" max:"1048576" example:"2"`
	// each column of the net sees only its own channels: the number of groups is that of the net's
	// columns
	WithinColumn bool `yaml:"within_column" example:"true"`
	// add a learned number to each channel
	Bias bool `yaml:"bias" json:",omitempty" example:"false"`
	// how weights and biases are initialised
	Init Init `yaml:"init" example:"{std: 0.01, bias: 0}"`
	// multiplies the learning rate of weights and biases
	LR Factor `yaml:"lr_factor" example:"{bias: 2}"`
	// multiplies the weight decay; by default biases do not decay (the paper, section 5)
	Decay Factor `yaml:"decay_factor" example:"{weight: 0}"`
}

func (*Conv) Kind() string { return "conv" }
func (*Conv) stem() string { return "conv" }

func (c *Conv) defaults() {
	*c = Conv{Stride: 1, Groups: 1, Bias: true, Init: Init{Kind: Gaussian}, LR: Factor{Weight: 1, Bias: 1},
		Decay: Factor{Weight: 1}}
}

func (c *Conv) check() error {
	switch {
	case c.Filters < 1 || c.Kernel < 1 || c.Stride < 1 || c.Groups < 1:
		return fmt.Errorf("filters, kernel, stride and groups must be positive")
	case c.WithinColumn && c.Groups > 1:
		return fmt.Errorf("within_column already sets groups; drop one of them")
	}
	return c.Init.check()
}

func (c *Conv) place(p *LayerInfo, columns int) error {
	weights, err := c.slide(p, columns)
	if err != nil {
		return err
	}
	if p.MACs, err = product("multiply-accumulates", weights, p.Out.Height, p.Out.Width); err != nil {
		return err
	}
	p.Params = int64(weights)
	if c.Bias {
		p.Params += int64(c.Filters)
	}
	return nil
}

// slide sets the output and groups of a convolution, and returns the number of weights for one
// output pixel.
func (c *Conv) slide(p *LayerInfo, columns int) (weights int, err error) {
	p.Groups = c.Groups
	if c.WithinColumn {
		p.Groups = columns
	}
	if p.In.Channels%p.Groups != 0 || c.Filters%p.Groups != 0 {
		return 0, fmt.Errorf("%v cannot be split into %d groups with %d filters: %w", p.In, p.Groups, c.Filters, ErrShape)
	}
	if c.Filters%columns != 0 {
		return 0, fmt.Errorf("%d filters cannot be split into %d columns: %w", c.Filters, columns, ErrShape)
	}
	if err := p.window(c.Kernel, c.Stride, c.Pad, false, c.Filters); err != nil {
		return 0, err
	}
	n, err := product("weights", c.Kernel, c.Kernel, p.In.Channels/p.Groups, c.Filters)
	return int(n), err
}

func (c *Conv) simplify(p LayerInfo) {
	c.Groups, c.WithinColumn = p.Groups, false
	c.Init = c.Init.simple()
	if !c.Bias {
		c.Init.Bias, c.LR.Bias, c.Decay.Bias = 0, 0, 0
	}
}

// Words returns a form such as "conv 5×5/1 pad 2, 2 groups".
func (c *Conv) Words(p LayerInfo) string { return c.words("conv", p.Groups) }

func (c *Conv) words(kind string, groups int) string {
	s := fmt.Sprintf("%s %d×%d/%d", kind, c.Kernel, c.Kernel, c.Stride)
	if top := c.Pad.Top; c.Pad == (Pad{Top: top, Bottom: top, Left: top, Right: top}) {
		if top > 0 {
			s += fmt.Sprintf(" pad %d", top)
		}
	} else {
		s += fmt.Sprintf(" pad %d,%d,%d,%d", c.Pad.Top, c.Pad.Bottom, c.Pad.Left, c.Pad.Right)
	}
	if groups > 1 {
		s += fmt.Sprintf(", %d groups", groups)
	}
	return s
}

// Pad is zero padding in pixels. In YAML a single number applies to all four sides.
type Pad struct {
	// above the image
	Top int `yaml:"top" json:"top" min:"0" max:"16384" unit:"pixels" example:"1"`
	// below the image
	Bottom int `yaml:"bottom" json:"bottom" min:"0" max:"16384" unit:"pixels" example:"1"`
	// left of the image
	Left int `yaml:"left" json:"left" min:"0" max:"16384" unit:"pixels" example:"1"`
	// right of the image
	Right int `yaml:"right" json:"right" min:"0" max:"16384" unit:"pixels" example:"1"`
}

// UnmarshalStrict reads `pad: 2` or `pad: {right: 3, bottom: 3}`.
func (p *Pad) UnmarshalStrict(node *strictyaml.Node) error {
	if node.Kind == strictyaml.Scalar {
		var all int
		if err := node.Decode(&all); err != nil {
			return err
		}
		*p = Pad{Top: all, Bottom: all, Left: all, Right: all}
	} else {
		type plain Pad
		if err := node.Decode((*plain)(p)); err != nil {
			return err
		}
	}
	if min(p.Top, p.Bottom, p.Left, p.Right) < 0 {
		return node.Errorf("pad must not be negative")
	}
	return nil
}
