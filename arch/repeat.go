package arch

import "fmt"

// Repeat repeats its layers: the copies follow each other, each with its own weights. The layers of
// copy 2 of a repeat called stage are stage/2/conv1 and so on.
type Repeat struct {
	Part
	// the number of copies
	Times int `yaml:"times" min:"1" max:"4096" example:"5"`
	// the layers in order
	Layers []Layer `yaml:"layers" required:"true" items:"4096" example:"[{batch_norm: {}}, {relu: {}}]"`
}

var _ = kind(structure, &Repeat{})

func (*Repeat) Kind() string        { return "repeat" }
func (*Repeat) stem() string        { return "repeat" }
func (l *Repeat) lists() []*[]Layer { return []*[]Layer{&l.Layers} }

// Words returns a form such as "repeat 5 times".
func (l *Repeat) Words(LayerInfo) string { return fmt.Sprintf("repeat %d times", l.Times) }

func (l *Repeat) check() error {
	switch {
	case l.Times < 1:
		return fmt.Errorf("times is %d; want at least 1", l.Times)
	case len(l.Layers) == 0:
		return fmt.Errorf("layers is missing; list the layers to repeat")
	}
	return nil
}

func (l *Repeat) lay(b *layout, layer Layer, from int) (int, error) {
	before := b.prefix
	defer func() { b.prefix = before }()
	var err error
	for i := range l.Times {
		b.prefix = fmt.Sprintf("%s%s/%d/", before, layer.Name, i+1)
		if from, err = b.inside(l.Layers, from); err != nil {
			return 0, err
		}
	}
	return from, nil
}
