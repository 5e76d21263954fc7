package graph

import (
	"gorgonia.org/tensor"

	"ablate/arch"
)

// nhwc returns [batch, height, width, channels], the shape of all activations; those of a dense
// layer are [batch, 1, 1, outputs].
func nhwc(batch int, s arch.Shape) tensor.Shape {
	return tensor.Shape{batch, s.Height, s.Width, s.Channels}
}

// A Window is the geometry of a convolution or a pooling layer on one image.
type Window struct {
	In, Out arch.Shape
	Kernel  int
	Stride  int
	Pad     arch.Pad
	Groups  int // those of a convolution; 1 for pooling
}

// Weights returns the shape of a convolution's weights: [kernel, kernel, in/groups, out].
func (w Window) Weights() []int {
	return []int{w.Kernel, w.Kernel, w.In.Channels / w.Groups, w.Out.Channels}
}

// each calls f for every (image, output pixel, kernel cell) whose input pixel lies inside the image.
func (w Window) each(batch int, f func(n, oy, ox, ky, kx, iy, ix int)) {
	for n := range batch {
		for oy := range w.Out.Height {
			for ox := range w.Out.Width {
				for ky := range w.Kernel {
					for kx := range w.Kernel {
						iy, ix := oy*w.Stride+ky-w.Pad.Top, ox*w.Stride+kx-w.Pad.Left
						if iy >= 0 && iy < w.In.Height && ix >= 0 && ix < w.In.Width {
							f(n, oy, ox, ky, kx, iy, ix)
						}
					}
				}
			}
		}
	}
}

func (w Window) input(n, y, x int) int { return ((n*w.In.Height+y)*w.In.Width + x) * w.In.Channels }

func (w Window) output(n, y, x int) int { return ((n*w.Out.Height+y)*w.Out.Width + x) * w.Out.Channels }

// products calls f with the indices of every product x·w → y of a convolution.
func (w Window) products(batch int, f func(x, weight, y int)) {
	cin, cout := w.In.Channels/w.Groups, w.Out.Channels/w.Groups
	w.each(batch, func(n, oy, ox, ky, kx, iy, ix int) {
		x, y := w.input(n, iy, ix), w.output(n, oy, ox)
		for g := range w.Groups {
			for i := range cin {
				k := ((ky*w.Kernel+kx)*cin + i) * w.Out.Channels
				for o := g * cout; o < (g+1)*cout; o++ {
					f(x+g*cin+i, k+o, y+o)
				}
			}
		}
	})
}

// area returns the number of a window's pixels that lie inside the image.
func (w Window) area(oy, ox int) int {
	span := func(o, pad, size int) int {
		first := o*w.Stride - pad
		return min(first+w.Kernel, size) - max(first, 0)
	}
	return span(oy, w.Pad.Top, w.In.Height) * span(ox, w.Pad.Left, w.In.Width)
}

// cells lists the input indices of every output's window, in row-major order.
func (w Window) cells(batch int) [][]int {
	cells := make([][]int, batch*w.Out.Len())
	w.each(batch, func(n, oy, ox, _, _, iy, ix int) {
		xi, yi := w.input(n, iy, ix), w.output(n, oy, ox)
		for c := range w.Out.Channels {
			cells[yi+c] = append(cells[yi+c], xi+c)
		}
	})
	return cells
}

// macs returns the number of multiply-accumulates of a convolution, or of either of its gradients,
// over a batch.
func (w Window) macs(batch int) int64 {
	return int64(batch) * int64(w.Kernel*w.Kernel*w.In.Channels/w.Groups) * int64(w.Out.Len())
}
