package arch

import "fmt"

var _ = kind(activation, &Maxout{})

// Maxout takes the largest of every few adjacent channels (Goodfellow et al. 2013, arXiv
// 1302.4389).
type Maxout struct {
	// how many channels compete for one channel of the output
	Pieces int `yaml:"pieces" min:"2" max:"65536" example:"2"`
}

func (*Maxout) Kind() string { return "maxout" }
func (*Maxout) stem() string { return "maxout" }
func (l *Maxout) defaults()  { *l = Maxout{Pieces: 2} }

// Words returns a form such as "maxout of 2".
func (l *Maxout) Words(LayerInfo) string { return fmt.Sprintf("maxout of %d", l.Pieces) }

func (l *Maxout) check() error {
	if l.Pieces < 2 {
		return fmt.Errorf("pieces is %d; want at least 2", l.Pieces)
	}
	return nil
}

func (l *Maxout) place(p *LayerInfo, columns int) error {
	if p.In.Channels%(l.Pieces*columns) != 0 {
		return fmt.Errorf("%v cannot be split into units of %d channels in %d columns: %w", p.In, l.Pieces, columns, ErrShape)
	}
	p.Out.Channels = p.In.Channels / l.Pieces
	return nil
}
