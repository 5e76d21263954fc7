package arch

import (
	"fmt"
	"slices"
)

var _ = kind(pooling, &SpatialPyramid{})

// SpatialPyramid takes the maxima over the cells of several grids, each of which divides the whole
// map (He et al. 2014, arXiv 1406.4729). Its output is 1×1 for a map of any size.
type SpatialPyramid struct {
	// the number of cells along a side of each grid
	Levels []int `yaml:"levels" min:"1" max:"1024" items:"16" example:"[1, 2, 4]"`
}

func (*SpatialPyramid) Kind() string { return "spatialpyramid" }
func (*SpatialPyramid) stem() string { return "pool" }
func (l *SpatialPyramid) defaults()  { *l = SpatialPyramid{Levels: []int{1, 2, 4}} }

// Words returns a form such as "spatialpyramid [1 2 4]".
func (l *SpatialPyramid) Words(LayerInfo) string { return fmt.Sprintf("spatialpyramid %v", l.Levels) }

func (l *SpatialPyramid) check() error {
	if len(l.Levels) == 0 {
		return fmt.Errorf("levels is %v; want the numbers of cells along a side of each grid, as in [1, 2, 4]", l.Levels)
	}
	return nil
}

func (l *SpatialPyramid) place(p *LayerInfo, _ int) error {
	if most := slices.Max(l.Levels); most > p.In.Height || most > p.In.Width {
		return fmt.Errorf("a grid of %d×%d cells does not fit %v: %w", most, most, p.In, ErrShape)
	}
	p.Out = l.Out(p.In)
	return nil
}

// Out returns the shape to which a map is pooled.
func (l SpatialPyramid) Out(in Shape) Shape {
	cells := 0
	for _, n := range l.Levels {
		cells += n * n
	}
	return Shape{Height: 1, Width: 1, Channels: cells * in.Channels}
}
