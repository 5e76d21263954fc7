package arch

import (
	"fmt"
	"iter"

	"ablate/strictyaml"
)

// A part is a kind of layer that contains layers.
type part interface {
	Spec
	// lists returns its lists of layers.
	lists() []*[]Layer
	// lay lays out the contained layers after one layer, and returns the last.
	lay(b *layout, l Layer, from int) (last int, err error)
	// nested returns the fields that all parts have.
	nested() *Part
}

// Part is embedded in kinds that contain layers.
type Part struct {
	// At is the file:line of the part, so that errors about shapes can name it.
	At string
}

func (p *Part) nested() *Part             { return p }
func (*Part) defaults()                   {}
func (*Part) place(*LayerInfo, int) error { return nil }

// Lists returns the lists of layers inside a layer, and none if it is not a part.
func (l Layer) Lists() []*[]Layer {
	if p, ok := l.Spec.(part); ok {
		return p.lists()
	}
	return nil
}

// Names returns the names of a layer and of everything inside it.
func (l Layer) Names() []string {
	one := []Layer{l}
	var names []string
	for _, p := range places(nil, &one, 0) {
		names = append(names, p.Layer().Name)
	}
	return names
}

// A Place is the position of a layer, in the net's own list or in that of a part.
type Place struct {
	List  *[]Layer
	Index int
	depth int // the number of parts around it
}

// Layer returns the layer at the place.
func (p Place) Layer() *Layer { return &(*p.List)[p.Index] }

// Places returns the places of all layers from top to bottom. A part comes before the layers inside
// it.
func (n *Net) Places() []Place { return places(nil, &n.Layers, 0) }

func places(all []Place, list *[]Layer, depth int) []Place {
	for i := range *list {
		all = append(all, Place{list, i, depth})
		for _, inner := range (*list)[i].Lists() {
			all = places(all, inner, depth+1)
		}
	}
	return all
}

// All yields every layer from top to bottom. A part comes before the layers inside it.
func (n *Net) All() iter.Seq[*Layer] {
	return func(yield func(*Layer) bool) {
		for _, p := range n.Places() {
			if !yield(p.Layer()) {
				return
			}
		}
	}
}

// MaxLayers is the largest number of layers in a net, counting each copy of repeated ones.
const MaxLayers = 4096

// maxDepth limits how deeply parts are nested, because records must be readable.
const maxDepth = 8

// size counts the layers of a list, with each copy of repeated ones. It stops at one more than a
// net may have.
func size(list []Layer) int {
	n := 0
	for _, l := range list {
		inner := 1
		for _, more := range l.Lists() {
			inner += size(*more)
		}
		if r, ok := l.Spec.(*Repeat); ok && r.Times > 0 {
			inner *= min(r.Times, MaxLayers+1)
		}
		if n += inner; n > MaxLayers {
			return MaxLayers + 1
		}
	}
	return n
}

// checkParts refuses a net that is too large or too deep, before anything is laid out.
func (n *Net) checkParts() error {
	if size(n.Layers) > MaxLayers {
		return fmt.Errorf("more than %d layers, counting each copy of repeated ones", MaxLayers)
	}
	for _, p := range n.Places() {
		if p.depth > maxDepth {
			return fmt.Errorf("a %s is inside %d parts; want at most %d", p.Layer().Spec.Kind(), p.depth, maxDepth)
		}
		if inner, ok := p.Layer().Spec.(part); ok { // check again, since an edit may have emptied it
			if err := inner.check(); err != nil {
				return fmt.Errorf("part %s: %w", p.Layer().Name, err)
			}
		}
		if _, loss := p.Layer().Spec.(*SoftmaxLoss); loss && p.depth > 0 {
			return fmt.Errorf("a softmax_loss is inside a part; it must end the net")
		}
	}
	return nil
}

// A layout is a net in the order of computation: every layer comes after those whose outputs it
// reads.
type layout struct {
	net    *Net
	prefix string // prefix of the names in a repeated part
	depth  int
	layers []LayerInfo
	of     []*Layer // the layer that each is a copy of
}

// chain lays out layers one after the other.
func (b *layout) chain(list []Layer, from int) (last int, err error) {
	for i := range list {
		if from, err = b.layer(&list[i], from); err != nil {
			return 0, err
		}
	}
	return from, nil
}

// inside lays out a list of layers inside a part.
func (b *layout) inside(list []Layer, from int) (last int, err error) {
	b.depth++
	last, err = b.chain(list, from)
	b.depth--
	return last, err
}

func (b *layout) layer(l *Layer, from int) (int, error) {
	if p, ok := l.Spec.(part); ok {
		return p.lay(b, *l, from)
	}
	return b.add(l, *l, from)
}

// add lays out a layer that is not a part; it is a copy of another.
func (b *layout) add(of *Layer, l Layer, from int) (int, error) {
	in := b.shape(from)
	l.Name = b.prefix + l.Name
	p := LayerInfo{Layer: l, From: []int{from}, Depth: b.depth, In: in, Out: in, Groups: 1}
	err := l.Spec.place(&p, b.net.Columns)
	if err != nil {
		err = fmt.Errorf("net %s, layer %s after %s: %w", b.net.Name, l.Name, b.name(from), err)
	}
	return b.append(of, p, err)
}

// join lays out the end of a part, where the outputs of several layers are combined.
func (b *layout) join(l Layer, in int, out Shape, from ...int) (int, error) {
	l.Name = b.prefix + l.Name
	return b.append(nil, LayerInfo{Layer: l, From: from, Depth: b.depth, In: b.shape(in), Out: out, Groups: 1}, nil)
}

func (b *layout) append(of *Layer, p LayerInfo, err error) (int, error) {
	if err == nil {
		_, err = product("activations", p.Out.Height, p.Out.Width, p.Out.Channels)
		if err != nil {
			err = fmt.Errorf("net %s, layer %s: %v from %v: %w", b.net.Name, p.Layer.Name, p.Out, p.In, err)
		}
	}
	b.layers, b.of = append(b.layers, p), append(b.of, of)
	return len(b.layers) - 1, err
}

// misfit returns the error for a part whose shapes do not fit.
func (b *layout) misfit(l Layer, format string, args ...any) error {
	err := fmt.Errorf("net %s, part %s: %w", b.net.Name, b.prefix+l.Name, fmt.Errorf(format, args...))
	if at := l.Spec.(part).nested().At; at != "" {
		return &strictyaml.Error{Pos: at, Msg: err.Error(), Err: err}
	}
	return err
}

// shape and name return those of a laid-out layer, or of the input for −1.
func (b *layout) shape(i int) Shape {
	if i < 0 {
		return b.net.Input
	}
	return b.layers[i].Out
}

func (b *layout) name(i int) string {
	if i < 0 {
		return "the input"
	}
	return b.layers[i].Layer.Name
}
