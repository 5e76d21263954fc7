package graph

import (
	"math"

	"ablate/arch"
	"ablate/runner/random"
)

// The functions here are the plain definitions of the ops: loops that a reader
// can check against the formula. They are what Do runs and what every device is
// held to; they are not meant to be fast.

type float interface{ ~float32 | ~float64 }

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

func (w Window) input(n, y, x int) int  { return ((n*w.In.Height+y)*w.In.Width + x) * w.In.Channels }
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

func conv[T float](batch int, w Window, x, weights, bias, y []T) {
	for i := range y {
		y[i] = bias[i%w.Out.Channels]
	}
	w.products(batch, func(xi, wi, yi int) { y[yi] += x[xi] * weights[wi] })
}

func convDataGrad[T float](batch int, w Window, weights, dy, dx []T) {
	w.products(batch, func(xi, wi, yi int) { dx[xi] += dy[yi] * weights[wi] })
}

func convWeightGrad[T float](batch int, w Window, x, dy, dw []T) {
	w.products(batch, func(xi, wi, yi int) { dw[wi] += x[xi] * dy[yi] })
}

func biasGrad[T float](dy, db []T) {
	for i, d := range dy {
		db[i%len(db)] += d
	}
}

func dense[T float](batch, k, outputs int, x, w, b, y []T) {
	for n := range batch {
		for o := range outputs {
			sum := b[o]
			for i := range k {
				sum += x[n*k+i] * w[i*outputs+o]
			}
			y[n*outputs+o] = sum
		}
	}
}

func denseDataGrad[T float](batch, k, outputs int, w, dy, dx []T) {
	for n := range batch {
		for i := range k {
			var sum T
			for o := range outputs {
				sum += dy[n*outputs+o] * w[i*outputs+o]
			}
			dx[n*k+i] = sum
		}
	}
}

func denseWeightGrad[T float](batch, k, outputs int, x, dy, dw []T) {
	for n := range batch {
		for i := range k {
			for o := range outputs {
				dw[i*outputs+o] += x[n*k+i] * dy[n*outputs+o]
			}
		}
	}
}

func unit[T float](f Function, a, b float64, x, y []T) {
	for i, v := range x {
		y[i] = T(f.At(a, b, float64(v)))
	}
}

func unitGrad[T float](f Function, a, b float64, y, dy, dx []T) {
	for i, v := range y {
		dx[i] = T(float64(dy[i]) * f.Slope(a, b, float64(v)))
	}
}

// At is the function's value at x.
func (f Function) At(a, b, x float64) float64 {
	switch f {
	case ReLU:
		return max(x, 0)
	case LeakyReLU:
		if x < 0 {
			return a * x
		}
		return x
	case ELU:
		if x < 0 {
			return a * b * math.Expm1(x)
		}
		return b * x
	case Softplus: // log(1 + e^x), without overflow
		return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) - a
	case Arcsinh:
		return math.Asinh(x)
	case Tanh:
		return a * math.Tanh(b*x)
	case Sigmoid:
		return 1 / (1 + math.Exp(-x))
	}
	panic("no function " + string(f))
}

// Slope is the function's derivative where its value is y.
func (f Function) Slope(a, b, y float64) float64 {
	switch f {
	case ReLU:
		if y > 0 {
			return 1
		}
		return 0
	case LeakyReLU:
		if y < 0 {
			return a
		}
		return 1
	case ELU: // d/dx ab(e^x − 1) = ab·e^x = y + ab
		if y < 0 {
			return y + a*b
		}
		return b
	case Softplus: // σ(x) = 1 − e^−(y+a)
		return -math.Expm1(-(y + a))
	case Arcsinh: // 1/√(1+x²) = 1/cosh(y)
		return 1 / math.Cosh(y)
	case Tanh: // ab(1 − tanh²) = (b/a)(a² − y²)
		return b / a * (a*a - y*y)
	case Sigmoid:
		return y * (1 - y)
	}
	panic("no function " + string(f))
}

// window calls f with the indices of the activations in the window around each activation.
func (n Norm) window(batch int, s arch.Shape, f func(i, j int)) {
	half := n.Size / 2
	per := s.Channels / n.Groups
	for img := range batch {
		for y := range s.Height {
			for x := range s.Width {
				for c := range s.Channels {
					at := func(y, x, c int) int { return ((img*s.Height+y)*s.Width+x)*s.Channels + c }
					if n.Within {
						for yy := max(0, y-half); yy <= min(s.Height-1, y+half); yy++ {
							for xx := max(0, x-half); xx <= min(s.Width-1, x+half); xx++ {
								f(at(y, x, c), at(yy, xx, c))
							}
						}
						continue
					}
					first := c / per * per
					for cc := max(first, c-half); cc <= min(first+per-1, c+half); cc++ {
						f(at(y, x, c), at(y, x, cc))
					}
				}
			}
		}
	}
}

// denominators gives K + Alpha·Σx² for every activation.
func (n Norm) denominators(sums []float64) {
	for i := range sums {
		sums[i] = n.K + n.Alpha*sums[i]
	}
}

func lrn[T float](batch int, s arch.Shape, n Norm, x, y []T) {
	d := make([]float64, len(x))
	n.window(batch, s, func(i, j int) { d[i] += float64(x[j]) * float64(x[j]) })
	n.denominators(d)
	for i, v := range x {
		y[i] = T(float64(v) * math.Pow(d[i], -n.Beta))
	}
}

// dx_i = dy_i·d_i^−β − 2αβ·x_i·Σ_j dy_j·x_j·d_j^−(β+1), j over the windows that hold i.
func lrnGrad[T float](batch int, s arch.Shape, n Norm, x, dy, dx []T) {
	d := make([]float64, len(x))
	n.window(batch, s, func(i, j int) { d[i] += float64(x[j]) * float64(x[j]) })
	n.denominators(d)
	sums := make([]float64, len(x))
	n.window(batch, s, func(i, j int) { sums[i] += float64(dy[j]) * float64(x[j]) * math.Pow(d[j], -n.Beta-1) })
	for i, v := range x {
		dx[i] = T(float64(dy[i])*math.Pow(d[i], -n.Beta) - 2*n.Alpha*n.Beta*float64(v)*sums[i])
	}
}

func maxPool[T float](batch int, w Window, x, y []T) {
	for i := range y {
		y[i] = T(math.Inf(-1))
	}
	w.each(batch, func(n, oy, ox, _, _, iy, ix int) {
		xi, yi := w.input(n, iy, ix), w.output(n, oy, ox)
		for c := range w.In.Channels {
			if v := x[xi+c]; v > y[yi+c] || v != v {
				y[yi+c] = v // a NaN stays a NaN: nothing is greater than it
			}
		}
	})
}

func maxPoolGrad[T float](batch int, w Window, x, y, dy, dx []T) {
	given := make([]bool, len(y))
	w.each(batch, func(n, oy, ox, _, _, iy, ix int) {
		xi, yi := w.input(n, iy, ix), w.output(n, oy, ox)
		for c := range w.In.Channels {
			if !given[yi+c] && x[xi+c] == y[yi+c] {
				given[yi+c] = true
				dx[xi+c] += dy[yi+c]
			}
		}
	})
}

// area is the number of a window's pixels that lie inside the image.
func (w Window) area(oy, ox int) int {
	span := func(o, pad, size int) int {
		first := o*w.Stride - pad
		return min(first+w.Kernel, size) - max(first, 0)
	}
	return span(oy, w.Pad.Top, w.In.Height) * span(ox, w.Pad.Left, w.In.Width)
}

func avgPool[T float](batch int, w Window, x, y []T) {
	w.each(batch, func(n, oy, ox, _, _, iy, ix int) {
		xi, yi := w.input(n, iy, ix), w.output(n, oy, ox)
		for c := range w.In.Channels {
			y[yi+c] += x[xi+c] / T(w.area(oy, ox))
		}
	})
}

func avgPoolGrad[T float](batch int, w Window, dy, dx []T) {
	w.each(batch, func(n, oy, ox, _, _, iy, ix int) {
		xi, yi := w.input(n, iy, ix), w.output(n, oy, ox)
		for c := range w.In.Channels {
			dx[xi+c] += dy[yi+c] / T(w.area(oy, ox))
		}
	})
}

// A Clock says which step of which run a graph is at; dropout masks depend on it.
type Clock struct {
	Seed         uint64
	Step         uint64
	DropoutUntil bool // dropout acts as in evaluation
}

// DropoutStream is the random stream a dropout layer draws its masks from: word i of step s decides activation i.
func DropoutStream(seed uint64, layer string) random.Stream {
	return random.New(seed, "dropout/"+layer)
}

// DropoutThreshold is the least random word for which an activation is kept.
func DropoutThreshold(rate float64) uint64 { return uint64(rate * (1 << 32)) }

func dropout[T float](o *Dropout, x, y []T) {
	if !o.Train || o.clock.DropoutUntil {
		for i, v := range x {
			y[i] = v * T(o.Kept())
		}
		return
	}
	stream, threshold := DropoutStream(o.clock.Seed, o.Layer), DropoutThreshold(o.Rate)
	for i, v := range x {
		if uint64(stream.Uint32(o.clock.Step, uint64(o.Part.Index(i, o.Shape)))) >= threshold {
			y[i] = v * T(o.Up())
		}
	}
}

// LogSumExp gives log Σ exp(row), shifted by the maximum so that it cannot overflow.
func LogSumExp[T float](row []T) float64 {
	top := math.Inf(-1)
	for _, v := range row {
		top = math.Max(top, float64(v))
	}
	var sum float64
	for _, v := range row {
		sum += math.Exp(float64(v) - top)
	}
	return top + math.Log(sum)
}

func softmaxLoss[T float](batch, classes int, logits, labels, loss []T) {
	var sum float64
	for n := range batch {
		row := logits[n*classes : (n+1)*classes]
		sum += LogSumExp(row) - float64(row[int(labels[n])])
	}
	loss[0] = T(sum / float64(batch))
}

func softmaxLossGrad[T float](batch, classes int, logits, labels []T, dloss T, dx []T) {
	for n := range batch {
		row := logits[n*classes : (n+1)*classes]
		z := LogSumExp(row)
		for c, v := range row {
			p := math.Exp(float64(v) - z)
			if c == int(labels[n]) {
				p--
			}
			dx[n*classes+c] = T(p) * dloss / T(batch)
		}
	}
}
