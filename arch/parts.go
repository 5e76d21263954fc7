package arch

import (
	"fmt"
	"iter"
)

// A part is a kind of layer that holds layers.
type part interface {
	Spec
	// lists are its lists of layers.
	lists() []*[]Layer
	// lay lays out what it holds behind one layer, and returns the last.
	lay(b *layout, l Layer, from int) (last int, err error)
	// nested is what all parts have.
	nested() *Part
}

// Part is embedded by kinds that hold layers.
type Part struct {
	// At is where the part was written, file:line, so that shapes which do not fit can be found.
	At string
}

func (p *Part) nested() *Part             { return p }
func (*Part) defaults()                   {}
func (*Part) place(*LayerInfo, int) error { return nil }

// Lists are the lists of layers that a layer holds, none where it is not a part.
func (l Layer) Lists() []*[]Layer {
	if p, ok := l.Spec.(part); ok {
		return p.lists()
	}
	return nil
}

// Names are those of a layer and of all that it holds.
func (l Layer) Names() []string {
	one := []Layer{l}
	var names []string
	for _, p := range places(nil, &one, 0) {
		names = append(names, p.Layer().Name)
	}
	return names
}

// A Place is where a layer stands: in the net's own list or in that of a part.
type Place struct {
	List  *[]Layer
	Index int
	depth int // parts around it
}

// Layer is the layer at the place.
func (p Place) Layer() *Layer { return &(*p.List)[p.Index] }

// Places are the places of all layers from top to bottom, a part's before those that it holds.
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

// All yields every layer from top to bottom, a part before those that it holds.
func (n *Net) All() iter.Seq[*Layer] {
	return func(yield func(*Layer) bool) {
		for _, p := range n.Places() {
			if !yield(p.Layer()) {
				return
			}
		}
	}
}

// MaxLayers is how many layers a net may have, repeated ones counted each time.
const MaxLayers = 4096

// maxDepth bounds how deep parts lie in each other: their records must be read again.
const maxDepth = 8

// size counts the layers of a list as often as they are repeated, up to one more than a net may have.
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

// checkParts refuses a net that is too large or too deep before anything is laid out.
func (n *Net) checkParts() error {
	if size(n.Layers) > MaxLayers {
		return fmt.Errorf("more than %d layers, repeated ones counted each time", MaxLayers)
	}
	for _, p := range n.Places() {
		if p.depth > maxDepth {
			return fmt.Errorf("a %s lies in %d parts; at most %d may be nested", p.Layer().Spec.Kind(), p.depth, maxDepth)
		}
		if inner, ok := p.Layer().Spec.(part); ok { // once more: an edit may have emptied it
			if err := inner.check(); err != nil {
				return fmt.Errorf("part %s: %w", p.Layer().Name, err)
			}
		}
		if _, loss := p.Layer().Spec.(*SoftmaxLoss); loss && p.depth > 0 {
			return fmt.Errorf("a softmax_loss lies in a part; it ends a net")
		}
	}
	return nil
}

// A layout is a net as it is computed: every layer behind those whose outputs it reads.
type layout struct {
	net    *Net
	prefix string // of the names in a repeated part
	depth  int
	layers []LayerInfo
	of     []*Layer // what each is a copy of
}

// chain lays out layers one behind the other.
func (b *layout) chain(list []Layer, from int) (last int, err error) {
	for i := range list {
		if from, err = b.layer(&list[i], from); err != nil {
			return 0, err
		}
	}
	return from, nil
}

// inside lays out a list that a part holds.
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

// add lays out a layer that holds none, a copy of another.
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

// join lays out the end of a part, where the outputs of several layers come together.
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

// misfit is the error of a part whose shapes do not fit.
func (b *layout) misfit(l Layer, format string, args ...any) error {
	err := fmt.Errorf("net %s, part %s: %w", b.net.Name, b.prefix+l.Name, fmt.Errorf(format, args...))
	if at := l.Spec.(part).nested().At; at != "" {
		return fmt.Errorf("%s: %w", at, err)
	}
	return err
}

// shape and name are those of a layer that is laid out, or of the input, −1.
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
