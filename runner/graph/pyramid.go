package graph

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"ablate/arch"
)

// A PyramidPool is the maxima over the cells of grids that each divide the whole
// map: x → y of 1×1 pixel, level by level, cell by cell in row-major order, all
// channels of a cell together (He et al. 2014, arXiv 1406.4729).
type PyramidPool struct {
	meta
	Layer  string
	Batch  int
	In     arch.Shape
	Levels []int // cells along a side of each grid
}

// NewPyramidPool makes a spatial pyramid.
func NewPyramidPool(layer string, batch int, in arch.Shape, levels []int) *PyramidPool {
	o := &PyramidPool{Layer: layer, Batch: batch, In: in, Levels: levels}
	o.meta = meta{
		text: fmt.Sprintf("pyramidpool{%s %d %v %v}", layer, batch, in, levels),
		in:   []tensor.Shape{nhwc(batch, in)},
		out:  nhwc(batch, o.out()),
		f32:  func(in [][]float32, out []float32) { pyramid(batch, o.In, levels, in[0], nil, out) },
		f64:  func(in [][]float64, out []float64) { pyramid(batch, o.In, levels, in[0], nil, out) },
	}
	return o
}

func (o *PyramidPool) out() arch.Shape {
	return arch.SpatialPyramid{Levels: o.Levels}.Out(o.In)
}

// DiffWRT says that the input has a gradient.
func (o *PyramidPool) DiffWRT(n int) []bool { return all(1, n) }

// SymDiff gives the gradient to the input.
func (o *PyramidPool) SymDiff(in gorgonia.Nodes, _, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	dx, err := applied(NewPyramidPoolGrad(o.Layer, o.Batch, o.In, o.Levels), in[0], dy)
	return gorgonia.Nodes{dx}, err
}

// PyramidPoolGrad is the gradient of PyramidPool: (x, dy) → dx. Of equal maxima the first gets it.
type PyramidPoolGrad struct {
	meta
	Batch  int
	In     arch.Shape
	Levels []int
}

// NewPyramidPoolGrad makes the gradient of a spatial pyramid.
func NewPyramidPoolGrad(layer string, batch int, in arch.Shape, levels []int) *PyramidPoolGrad {
	o := &PyramidPoolGrad{Batch: batch, In: in, Levels: levels}
	o.meta = meta{
		text: fmt.Sprintf("pyramidpool-grad{%s %d %v %v}", layer, batch, in, levels),
		in:   []tensor.Shape{nhwc(batch, in), nhwc(batch, arch.SpatialPyramid{Levels: levels}.Out(in))},
		out:  nhwc(batch, in),
		f32:  func(in [][]float32, out []float32) { pyramid(batch, o.In, levels, in[0], in[1], out) },
		f64:  func(in [][]float64, out []float64) { pyramid(batch, o.In, levels, in[0], in[1], out) },
	}
	return o
}

// PyramidCell is the part [from, to) of a side of so many pixels that cell i of
// a grid covers. Neighbours overlap where the side cannot be divided, so that no
// pixel is left out.
func PyramidCell(side, cells, i int) (from, to int) {
	return i * side / cells, ((i+1)*side + cells - 1) / cells
}

// pyramid writes the maxima, or with dy adds each to where its maximum lies.
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
