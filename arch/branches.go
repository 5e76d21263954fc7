package arch

import "fmt"

// How branches are joined.
const (
	JoinConcat = "concat"
	JoinAdd    = "add"
)

// Branches send one input along several paths and join their outputs (Szegedy et al. 2014, arXiv
// 1409.4842).
type Branches struct {
	Part
	// concat concatenates the channels of all paths; add adds the outputs
	Join string `yaml:"join" oneof:"concat add" example:"add"`
	// the layers of each path in order; a path without layers passes on its input
	Paths [][]Layer `yaml:"paths" required:"true" items:"256" example:"[[{relu: {}}], []]"`
}

var _ = kind(structure, &Branches{})

func (*Branches) Kind() string { return "branches" }
func (*Branches) stem() string { return "branches" }
func (l *Branches) defaults()  { *l = Branches{Join: JoinConcat} }

func (l *Branches) lists() []*[]Layer {
	var lists []*[]Layer
	for i := range l.Paths {
		lists = append(lists, &l.Paths[i])
	}
	return lists
}

// Words returns a form such as "branches, concat of 4".
func (l *Branches) Words(LayerInfo) string {
	return fmt.Sprintf("branches, %s of %d", l.Join, len(l.Paths))
}

func (l *Branches) check() error {
	if len(l.Paths) < 2 {
		return fmt.Errorf("paths has %d; want at least two", len(l.Paths))
	}
	return nil
}

func (l *Branches) lay(b *layout, layer Layer, from int) (int, error) {
	var ends []int
	for _, path := range l.Paths {
		end, err := b.inside(path, from)
		if err != nil {
			return 0, err
		}
		ends = append(ends, end)
	}
	first := b.shape(ends[0])
	out := first
	for i, end := range ends[1:] {
		s := b.shape(end)
		switch {
		case l.Join == JoinAdd && s != first:
			return 0, b.misfit(layer, "path 1 outputs %v and path %d %v; join add needs equal shapes: %w",
				first, i+2, s, ErrShape)
		case s.Height != first.Height || s.Width != first.Width:
			return 0, b.misfit(layer, "path 1 outputs %v and path %d %v; join concat needs images of one size: %w",
				first, i+2, s, ErrShape)
		case l.Join == JoinConcat:
			out.Channels += s.Channels
		}
	}
	return b.join(layer, from, out, ends...)
}
