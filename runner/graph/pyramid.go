package graph

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"ablate/arch"
)

// A PyramidPool takes the maxima over the cells of several grids, each of which divides the whole
// map: x → y with 1×1 pixel. The output has level after level and, in each, cell after cell in
// row-major order, with all channels of a cell together (He et al. 2014, arXiv 1406.4729).
type PyramidPool struct {
	meta
	In     arch.Shape
	Levels []int // cells along a side of each grid
}

// NewPyramidPool makes a spatial pyramid.
func NewPyramidPool(layer string, batch int, in arch.Shape, levels []int) *PyramidPool {
	o := &PyramidPool{In: in, Levels: levels}
	o.meta = meta{
		kind: "pyramidpool", Layer: layer, Batch: batch, params: fmt.Sprintf("%v %v", in, levels),
		in:  []tensor.Shape{nhwc(batch, in)},
		out: nhwc(batch, o.out()),
		f32: func(in [][]float32, out []float32) { pyramid(batch, o.In, levels, in[0], nil, out) },
		f64: func(in [][]float64, out []float64) { pyramid(batch, o.In, levels, in[0], nil, out) },
	}
	return o
}

func (o *PyramidPool) out() arch.Shape {
	return arch.SpatialPyramid{Levels: o.Levels}.Out(o.In)
}

// DiffWRT reports that the input has a gradient.
func (o *PyramidPool) DiffWRT(n int) []bool { return all(1, n) }

// SymDiff returns the gradient to the input.
func (o *PyramidPool) SymDiff(in gorgonia.Nodes, _, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	dx, err := applied(NewPyramidPoolGrad(o.Layer, o.Batch, o.In, o.Levels), in[0], dy)
	return gorgonia.Nodes{dx}, err
}

// PyramidPoolGrad is the gradient of PyramidPool: (x, dy) → dx. The first of equal maxima gets the
// gradient.
type PyramidPoolGrad struct {
	meta
	In     arch.Shape
	Levels []int
}

// NewPyramidPoolGrad makes the gradient of a spatial pyramid.
func NewPyramidPoolGrad(layer string, batch int, in arch.Shape, levels []int) *PyramidPoolGrad {
	o := &PyramidPoolGrad{In: in, Levels: levels}
	o.meta = meta{
		kind: "pyramidpool-grad", Layer: layer, Batch: batch, params: fmt.Sprintf("%v %v", in, levels),
		in:  []tensor.Shape{nhwc(batch, in), nhwc(batch, arch.SpatialPyramid{Levels: levels}.Out(in))},
		out: nhwc(batch, in),
		f32: func(in [][]float32, out []float32) { pyramid(batch, o.In, levels, in[0], in[1], out) },
		f64: func(in [][]float64, out []float64) { pyramid(batch, o.In, levels, in[0], in[1], out) },
	}
	return o
}

// PyramidCell returns the pixels [from, to) of a side that cell i of a grid covers. Neighbouring
// cells overlap if the side cannot be divided evenly, so that no pixel is left out.
func PyramidCell(side, cells, i int) (from, to int) {
	return i * side / cells, ((i+1)*side + cells - 1) / cells
}

// pyramid writes the maxima. With dy, it adds each gradient at the place of the maximum instead.
func pyramid[T float](batch int, s arch.Shape, levels []int, x, dy, out []T) {
	at := 0
	for n := range batch {
		image := x[n*s.Len():][:s.Len()]
		for _, cells := range levels {
			for cell := range cells * cells {
				top, bottom := PyramidCell(s.Height, cells, cell/cells)
				left, right := PyramidCell(s.Width, cells, cell%cells)
				for c := range s.Channels {
					best := (top*s.Width+left)*s.Channels + c
					for y := top; y < bottom; y++ {
						for i := left; i < right; i++ {
							if p := (y*s.Width+i)*s.Channels + c; image[p] > image[best] {
								best = p
							}
						}
					}
					if dy == nil {
						out[at] = image[best]
					} else {
						out[n*s.Len()+best] += dy[at]
					}
					at++
				}
			}
		}
	}
}

// perCell divides the channels of each cell of a pyramid.
func perCell(batch int, in arch.Shape, levels []int) Sharding {
	cells := arch.SpatialPyramid{Levels: levels}.Out(in).Channels / in.Channels
	return Sharding{Outer: batch * cells, Length: in.Channels, Inner: 1}
}

// Shard divides by channels.
func (o *PyramidPool) Shard(s Split) (Shard, error) {
	shard := s.own(o, NewPyramidPool(o.Layer, o.Batch, s.shape(o.In), o.Levels))
	shard.Out = perCell(o.Batch, o.In, o.Levels)
	return shard, nil
}

// Shard divides by channels.
func (o *PyramidPoolGrad) Shard(s Split) (Shard, error) {
	shard := s.own(o, NewPyramidPoolGrad(o.Layer, o.Batch, s.shape(o.In), o.Levels))
	shard.In[1] = perCell(o.Batch, o.In, o.Levels)
	return shard, nil
}

var _ = builds(func(b *builder, p arch.LayerInfo, l *arch.SpatialPyramid, x *gorgonia.Node) (*gorgonia.Node, error) {
	return applied(NewPyramidPool(p.Layer.Name, b.g.Batch, p.In, l.Levels), x)
})
