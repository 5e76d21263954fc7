package arch

import "fmt"

// The shortcuts of a residual block.
const (
	ShortcutIdentity         = "identity"
	ShortcutPad              = "pad"
	ShortcutProjection       = "projection"
	ShortcutProjectionAlways = "projection_always"
	ShortcutConcat           = "concat"
	ShortcutNone             = "none"
)

// Residual adds its input to the output of its layers (He et al. 2015, arXiv 1512.03385).
type Residual struct {
	Part
	// how the input reaches the sum: unchanged (identity). If the shape changes: every few pixels,
	// with zeros for the new channels (pad, option A of He et al.), or through a 1×1 convolution
	// (projection, option B), with batch norm if the layers have it. Through a 1×1 convolution
	// everywhere (projection_always, option C). As channels before those of the layers (concat,
	// DenseNet). Not at all (none, a plain net)
	Shortcut string `yaml:"shortcut" oneof:"identity pad projection projection_always concat none" example:"projection"`
	// the layers in order
	Layers []Layer `yaml:"layers" required:"true" items:"4096" example:"[{batch_norm: {}}, {relu: {}}]"`
}

var _ = kind(structure, &Residual{})

func (*Residual) Kind() string        { return "residual" }
func (*Residual) stem() string        { return "block" }
func (l *Residual) defaults()         { *l = Residual{Shortcut: ShortcutIdentity} }
func (l *Residual) lists() []*[]Layer { return []*[]Layer{&l.Layers} }

// Words returns a form such as "residual, shortcut projection".
func (l *Residual) Words(LayerInfo) string { return "residual, shortcut " + l.Shortcut }

func (l *Residual) check() error {
	if len(l.Layers) == 0 {
		return fmt.Errorf("layers is missing; a residual block adds its input to their output")
	}
	return nil
}

func (l *Residual) lay(b *layout, layer Layer, from int) (int, error) {
	last, err := b.inside(l.Layers, from)
	if err != nil || l.Shortcut == ShortcutNone {
		return last, err
	}
	in, out := b.shape(from), b.shape(last)
	if l.Shortcut == ShortcutConcat {
		if in.Height != out.Height || in.Width != out.Width {
			return 0, b.misfit(layer, "its layers turn %v into %v, but shortcut concat needs images of one size: %w",
				in, out, ErrShape)
		}
		out.Channels += in.Channels
		return b.join(layer, from, out, from, last)
	}
	shortcut := from
	switch {
	case l.Shortcut == ShortcutIdentity && in != out:
		return 0, b.misfit(layer, "its layers turn %v into %v, but shortcut identity needs equal shapes; "+
			"pad and projection fit others: %w", in, out, ErrShape)
	case l.Shortcut == ShortcutPad && in.Channels > out.Channels:
		return 0, b.misfit(layer, "its layers turn %v into %v, but shortcut pad only adds channels; "+
			"projection can remove some: %w", in, out, ErrShape)
	case l.Shortcut == ShortcutProjection && in == out:
	case l.Shortcut == ShortcutIdentity:
	default:
		stride, ok := StrideBetween(in, out)
		if !ok {
			return 0, b.misfit(layer, "its layers turn %v into %v, and no stride leads there for shortcut %s: %w", in, out,
				l.Shortcut, ErrShape)
		}
		if l.Shortcut != ShortcutPad {
			if shortcut, err = l.project(b, layer.Name, stride, out.Channels, from); err != nil {
				return 0, err
			}
		}
	}
	return b.join(layer, from, out, last, shortcut)
}

// project lays out the shortcut's convolution, with batch norm if the block has it.
func (l *Residual) project(b *layout, block string, stride, filters, from int) (int, error) {
	conv := New("conv").(*Conv)
	conv.Filters, conv.Kernel, conv.Stride, conv.Bias, conv.Init.Kind = filters, 1, stride, false, He
	b.depth++
	defer func() { b.depth-- }()
	last, err := b.add(nil, Layer{Name: block + "/shortcut", Spec: conv}, from)
	if err != nil {
		return 0, err
	}
	for _, p := range places(nil, &l.Layers, 0) {
		if norm, ok := p.Layer().Spec.(*BatchNorm); ok {
			norm := *norm
			return b.add(nil, Layer{Name: block + "/shortcut_bn", Spec: &norm}, last)
		}
	}
	return last, nil
}

// StrideBetween returns the stride that leads from the pixels of one shape to those of another.
func StrideBetween(in, out Shape) (stride int, ok bool) {
	for stride = 1; stride <= max(in.Height, in.Width); stride++ {
		if (in.Height-1)/stride+1 == out.Height && (in.Width-1)/stride+1 == out.Width {
			return stride, true
		}
	}
	return 0, false
}
